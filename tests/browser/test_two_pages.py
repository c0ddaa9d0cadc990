"""Two people on two nodes: what the page is for."""

import os
import re
import signal
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Cluster
from tests.support.browser import Tab
from tests.support.processes import wait_until

MakeTab = Callable[..., Tab]


def test_a_message_appears_on_its_recipients_page_only(tab: MakeTab) -> None:
    alice = tab("n1").open().connect("alice", "n1")
    bob = tab("n1").open().connect("bob", "n2")
    carol = tab("n2").open().connect("carol", "n2")

    alice.send("bob", "hello bob")

    bob.expect_received("hello bob")
    expect(bob.page.locator("#received li")).to_contain_text("from alice")
    alice.expect_outcome("delivered")
    assert alice.received() == []
    assert carol.received() == []


def test_only_the_recipients_node_moves_its_counter(tab: MakeTab, cluster: Cluster) -> None:
    alice = tab("n1").open().connect("alice", "n1")
    tab("n2").open().connect("bob", "n2")
    before = cluster.received()
    number = alice.page.locator("#nodes [data-node=n2] .number")
    expect(number).to_have_text(str(before["n2"]))

    alice.send("bob", "one")

    alice.expect_outcome("delivered")
    expect(number).to_have_text(str(before["n2"] + 1))
    expect(alice.page.locator("#nodes [data-node=n2] .rise")).to_have_text("+1")
    expect(alice.page.locator("#nodes [data-node=n1] .number")).to_have_text(str(before["n1"]))
    expect(alice.page.locator("#last-change")).to_have_text(
        re.compile("n2 received 1 message; the other node received nothing")
    )
    assert cluster.received() == {"n1": before["n1"], "n2": before["n2"] + 1}


def test_nobody_there_is_offline(tab: MakeTab) -> None:
    alice = tab().open().connect("alice")
    alice.send("nobody", "are you there?")
    alice.expect_outcome("offline")
    expect(alice.page.locator("#sent li").first).to_contain_text("nobody is not connected")


def test_what_parses_as_json_travels_as_json_and_the_rest_as_text(
    tab: MakeTab, cluster: Cluster
) -> None:
    alice = tab().open().connect("alice")
    bob = tab().open().connect("bob", "n2")
    frames: list[str | bytes] = []

    def _keep(frame: str | bytes) -> None:  # Playwright cannot take the built-in method itself
        frames.append(frame)

    bob.page.on("websocket", lambda socket: socket.on("framereceived", _keep))
    bob.page.get_by_role("button", name="Disconnect").click()
    bob.connect("bob", "n2")

    alice.send("bob", '{ "order": 42 }')
    bob.expect_received('{"order":42}')
    alice.send("bob", "order 42")
    bob.expect_received("order 42", '{"order":42}')

    assert any('"data":{"order":42}' in str(frame) for frame in frames)
    assert any('"data":"order 42"' in str(frame) for frame in frames)


def test_an_answer_starts_from_the_message(tab: MakeTab) -> None:
    alice = tab().open().connect("alice")
    bob = tab().open().connect("bob", "n2")
    alice.send("bob", "ping")
    bob.page.get_by_role("button", name="Reply to alice").click()
    expect(bob.page.get_by_label("Message", exact=True)).to_be_focused()
    bob.page.keyboard.type("pong")
    bob.page.keyboard.press("Enter")
    alice.expect_received("pong")


def test_who_is_online_and_where(tab: MakeTab) -> None:
    alice = tab().open().connect("alice", "n1")
    bob = tab().open().connect("bob", "n2")
    people = alice.page.locator("#people li")
    expect(people).to_have_count(2)
    expect(people.nth(0)).to_contain_text("you")
    expect(people.nth(0).locator(".where")).to_have_text("n1")
    expect(people.nth(1)).to_contain_text("bob")
    expect(people.nth(1).locator(".where")).to_have_text("n2")

    people.nth(1).get_by_role("button").click()
    expect(alice.page.get_by_label("To user")).to_have_value("bob")

    alice.page.get_by_label("Name starts with").fill("al")
    expect(people).to_have_count(1)
    alice.page.get_by_label("Name starts with").fill("")
    bob.page.get_by_role("button", name="Disconnect").click()
    expect(people).to_have_count(1)


def test_markup_stays_text_wherever_it_is_shown(tab: MakeTab) -> None:
    attack = '<img src=x onerror="window.attacked=true">'
    name = "<b>eve</b>"
    eve = tab().open().connect(name)
    bob = tab().open().connect("bob", "n2")
    eve.send("bob", attack)
    bob.expect_received(attack)
    eve.expect_outcome("delivered")
    expect(bob.page.locator("#people")).to_contain_text(name)
    expect(bob.page.locator("#received")).to_contain_text(f"from {name}")
    for each in (eve, bob):
        assert each.page.locator("main b, main img").count() == 0
        assert each.run("window.attacked") is None


def test_the_node_that_served_the_page_is_offered_first(tab: MakeTab) -> None:
    for node in ("n1", "n2"):
        page = tab(node).open().page
        expect(page.locator("#node option:checked")).to_have_text(f"{node} (serves this page)")


def test_a_second_window_is_somebody_else_on_the_other_node(tab: MakeTab) -> None:
    alice = tab("n1").open().connect("alice", "n1")
    with alice.page.expect_popup() as popup:
        alice.page.get_by_role("link", name="Open a second window as bob on n2").click()
    second = popup.value
    expect(second.get_by_label("User id")).to_have_value("bob")
    expect(second.locator("#node option:checked")).to_contain_text("n2")


def test_bad_input_is_explained_and_kept(tab: MakeTab) -> None:
    alice = tab().open()
    alice.send("bob", "too early")
    problem = alice.page.locator("#send-problem")
    expect(problem).to_contain_text("You are not connected")
    expect(alice.page.get_by_label("Message", exact=True)).to_have_value("too early")

    alice.page.get_by_label("User id").fill("al ice")
    alice.page.get_by_role("button", name="Connect", exact=True).click()
    expect(alice.page.locator("#connect-problem")).to_have_text("A user id has no spaces.")
    expect(alice.page.get_by_label("User id")).to_be_focused()

    alice.connect("alice")
    alice.send("", "to whom?")
    expect(problem).to_have_text("Please enter a user id.")
    alice.send("bob", "")
    expect(problem).to_have_text("Please type a message.")


def test_a_message_over_the_limit_is_refused_and_the_connection_lives(tab: MakeTab) -> None:
    alice = tab().open().connect("alice")
    alice.send("alice", "x" * 70_000)
    alice.expect_outcome("not sent")
    expect(alice.page.locator("#sent li").first).to_contain_text("over the limit of 65536")
    alice.send("alice", "short")
    alice.expect_outcome("delivered")


def test_a_kicked_page_says_so_and_stays_away(tab: MakeTab, cluster: Cluster) -> None:
    kim = tab().open().connect("kim", "n2")
    assert cluster.ask("users/kim/sessions", method="DELETE") == {"closed": 1}
    expect(kim.page.locator("#connect-problem")).to_contain_text("disconnected by an operator")
    expect(kim.page.locator("#state")).to_have_text("Not connected")


def test_a_page_finds_its_way_back_when_its_node_dies(tab: MakeTab, cluster: Cluster) -> None:
    fred = tab("n1").open().connect("fred", "n1")
    sam = tab("n1").open().connect("sam", "n2")
    pid = cluster.nodes()["n2"]["pid"]

    os.kill(pid, signal.SIGKILL)

    expect(sam.page.locator("#state")).not_to_contain_text("Connected")
    sam.expect_connected()
    fred.send("sam", "are you back?")
    sam.expect_received("are you back?")
    fred.expect_outcome("delivered")
    wait_until(lambda: cluster.nodes().get("n2", {}).get("pid", pid) != pid, "n2 is back")
    # The browser itself notes down that nobody answered; the page has no say in that.
    assert all("WebSocket connection to" in complaint for complaint in sam.complaints)
    sam.complaints.clear()
