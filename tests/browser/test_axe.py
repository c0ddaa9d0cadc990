"""axe-core finds nothing wrong with either page, in the light, in the dark and on a phone."""

from collections.abc import Callable, Iterator

from playwright.sync_api import Page, expect

from tests.support.axe import violations
from tests.support.browser import DESKTOP, PHONE, Tab
from tests.support.dashboard import Dashboard, figures, node

MakeTab = Callable[..., Tab]


def _looks(page: Page) -> Iterator[str]:
    for look, size in (("light", DESKTOP), ("dark", DESKTOP), ("phone", PHONE)):
        page.emulate_media(color_scheme="dark" if look == "dark" else "light")
        page.set_viewport_size(size)
        yield look


def _violations(page: Page) -> list[str]:
    return [f"{look}: {each}" for look in _looks(page) for each in violations(page)]


def test_the_page(tab: MakeTab) -> None:
    mine = tab().open()
    assert violations(mine.page) == []
    mine.connect("alice")
    mine.send("alice", "to myself")
    mine.expect_outcome("delivered")
    assert _violations(mine.page) == []


def test_the_dashboard(tab: MakeTab) -> None:
    board = Dashboard(tab())
    nodes = [node("n1"), node("n2", state="draining"), node("n3", state="lost", lag_ms=None)]
    board.open_scripted(*nodes)
    page, feed = board.page, board.feed
    assert feed is not None
    expect(page.locator(".main-svg").first).to_be_attached()
    board.look_up("nobody")
    page.get_by_role("button", name="Send and trace").click()
    expect(page.locator("#test-outcome")).to_have_text("offline")
    for summary in page.locator("summary").all():
        summary.click()
    feed.say(figures(*nodes))
    expect(page.locator("[data-chart=latency] tbody tr").first).to_be_visible()
    assert _violations(page) == []

    page.get_by_role("button", name="Drain n1").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert _violations(page) == []
    page.keyboard.press("Escape")

    feed.close(4401, "the key was revoked")
    expect(page.get_by_label("Admin key")).to_be_visible()
    assert _violations(page) == []


def test_the_dashboard_without_its_connection(tab: MakeTab) -> None:
    board = Dashboard(tab()).open_scripted()
    assert board.feed is not None
    board.page.route("**/api/v1/stats", lambda route: route.abort())
    board.feed.close()
    expect(board.page.locator("#lost")).to_be_visible()
    assert _violations(board.page) == []
    board.tab.complaints.clear()  # the browser notes down what failed to load
