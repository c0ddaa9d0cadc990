"""The page offers what the cluster's delivery mode can promise, and says how messages travel."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.support.browser import Tab

MakeTab = Callable[..., Tab]
LEVELS = ["acked", "delivered", "written", "accepted"]


def levels(tab: Tab) -> list[str]:
    found = tab.page.locator("#confirm option").evaluate_all("all => all.map((one) => one.value)")
    return [str(value) for value in found]


def test_routed_can_promise_all_and_what_needs_no_application_is_chosen(tab: MakeTab) -> None:
    mine = tab().open()
    expect(mine.page.locator("#nodes li")).to_have_count(2)
    assert levels(mine) == LEVELS
    expect(mine.page.locator("#confirm")).to_have_value("delivered")
    expect(mine.page.get_by_label("Durable")).to_be_visible()
    expect(mine.page.locator("h1")).to_have_text("One message, one node")


@pytest.mark.parametrize(
    ("mode", "title"),
    [
        ("channel", "One message, one channel"),
        ("broadcast", "One message, every node"),
        ("fanout", "One message, every node"),
    ],
)
def test_what_cannot_be_promised_is_not_offered(tab: MakeTab, mode: str, title: str) -> None:
    mine = tab()
    stats = {"mode": mode, "confirms": ["accepted"]}
    mine.page.route("**/api/v1/stats", lambda route: route.fulfill(json=stats))
    mine.open()
    expect(mine.page.locator("h1")).to_have_text(title)
    assert levels(mine) == ["accepted"]
    expect(mine.page.locator("#confirm")).to_have_value("accepted")
    expect(mine.page.get_by_label("Durable")).to_be_hidden()
    expect(mine.page.locator("#mode-words")).to_contain_text("send one, and")
