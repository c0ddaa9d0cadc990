"""Messages that wait for those who are away, on the page."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.support.browser import Tab

MakeTab = Callable[..., Tab]


def kinds(tab: Tab, log: str) -> list[str]:
    """Return how the newest entry is marked."""
    return tab.page.locator(f"{log} li").first.locator(".kind").all_inner_texts()


def test_a_durable_message_waits_for_its_user_and_comes_once(tab: MakeTab) -> None:
    alice = tab("n1").open().connect("alice", "n1")
    alice.page.get_by_label("Durable").check()
    alice.send("boris", "when you are back")
    alice.expect_outcome("queued")
    assert kinds(alice, "#sent") == ["durable"]

    boris = tab("n2").open().connect("boris", "n2")
    boris.expect_received("when you are back")
    assert kinds(boris, "#received") == ["durable", "replayed"]
    alice.send("boris", "welcome")
    boris.expect_received("welcome", "when you are back")
    assert kinds(boris, "#received") == ["durable"]
    alice.expect_outcome("delivered")

    boris.page.get_by_role("button", name="Disconnect").click()
    boris.connect("boris", "n1")
    alice.send("boris", "and again")
    boris.expect_received("and again", "welcome", "when you are back")


def test_the_page_acknowledges_what_it_shows(tab: MakeTab) -> None:
    alice = tab("n1").open().connect("alice", "n1")
    tab("n2").open().connect("bella", "n2")
    alice.page.get_by_label("Wait until it is").select_option("acked")
    for durable in (True, False):
        alice.page.get_by_label("Durable").set_checked(durable)
        alice.send("bella", "seen?")
        alice.expect_outcome("acked")
    expect(alice.page.locator("#sent li").first).to_contain_text("acknowledged it")
