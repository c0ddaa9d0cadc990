"""How the page looks and reads: on a phone, in the dark, to a keyboard and to a screen reader."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.support.browser import DESKTOP, PHONE, Tab
from tests.support.processes import wait_until
from tests.support.scripted_node import Scene

MakeTab = Callable[..., Tab]

# Every text that can be seen, with the contrast of its colour to what lies behind it (WCAG 2.2,
# "contrast ratio"); colours that let something through are not used for text.
_CONTRASTS = """() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = parse(colour).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if ((parse(colour)[3] ?? 1) === 1) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const texts = [...document.querySelectorAll("body *")].filter((element) =>
        element.checkVisibility() &&
        (element.matches("input, select, textarea") ||
            [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())));
    return texts.map((element) => {
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        return [element.tagName + "." + element.className + " " + element.textContent, ratio];
    });
}"""

_SMALL_TARGETS = """() => [...document.querySelectorAll("button, input, select, textarea")]
    .filter((element) => element.checkVisibility())
    .map((element) => [element.id || element.textContent, element.getBoundingClientRect()])
    .filter(([, box]) => box.width < 24 || box.height < 24)
    .map(([name]) => name)"""


def _fill(scene: Scene) -> None:
    """Bring every kind of thing onto the page: long names, long data, good and bad outcomes."""
    long = "W" * 128
    message = {"type": "message", "from": long, "sent_at": 1_795_419_635.12}
    scene.node.say({**message, "id": "1", "data": "long " * 200})
    scene.node.say({**message, "id": "2", "data": {"key": "x" * 500}, "replay": True})
    scene.node.say({"type": "error", "code": "bad_frame", "message": "no sense"})
    for ref, outcome in enumerate(("delivered", "offline", "dropped"), 1):
        scene.tab.send(long, "x" * 300)
        scene.node.say({"type": "outcome", "ref": str(ref), "id": "m", "outcome": outcome})
        scene.tab.expect_outcome(outcome)
    nodes = [
        {
            "name": name,
            "pid": pid,
            "address": f"127.0.0.1:{pid}",
            "state": state,
            "sessions": 1_000_000,
            "received": 1_234_567_890,
            "delivered": 1_234_567_890,
        }
        for pid, (name, state) in enumerate(
            [("n1", "live"), ("n2", "draining"), ("N" * 64, "lost")], 9001
        )
    ]
    users = [{"user": long, "sessions": 3, "nodes": ["n1", "N" * 64], "since": 1_795_419_635.12}]
    page = scene.tab.page
    page.route("**/api/v1/nodes", lambda route: route.fulfill(json={"nodes": nodes}))
    page.route(
        "**/api/v1/users?*", lambda route: route.fulfill(json={"users": users, "cursor": "c"})
    )

    def are_listed() -> bool:
        scene.pass_time(2_100)  # a look that is under way when its time comes is not begun again
        return page.locator("#nodes li").count() == 3

    wait_until(are_listed, "the nodes are listed")
    expect(page.locator("#people li")).to_have_count(1)


def test_it_fits_and_can_be_read_on_every_screen(scene: Scene) -> None:
    _fill(scene)
    page = scene.tab.page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        grounds = scene.tab.run("getComputedStyle(document.body).backgroundColor")
        assert grounds == {"light": "rgb(244, 246, 248)", "dark": "rgb(14, 20, 27)"}[scheme]
        for size in (PHONE, {"width": 768, "height": 1024}, DESKTOP):
            page.set_viewport_size({"width": size["width"], "height": size["height"]})
            assert scene.tab.run("document.documentElement.scrollWidth") == size["width"]
            assert scene.tab.run(_SMALL_TARGETS) == []
        contrasts = scene.tab.run(_CONTRASTS)
        assert len(contrasts) > 40
        assert [each for each in contrasts if each[1] < 4.5] == []


def test_old_figures_and_errors_can_be_read_too(scene: Scene) -> None:
    page = scene.tab.page
    page.route("**/api/v1/**", lambda route: route.abort())
    scene.pass_time(2_100)
    expect(page.locator("#registry-problem")).not_to_be_empty()
    scene.node.close(4410)
    expect(page.locator("#connect-problem")).not_to_be_empty()
    for dark in (False, True):
        page.emulate_media(color_scheme="dark" if dark else "light")
        assert [each for each in scene.tab.run(_CONTRASTS) if each[1] < 4.5] == []
    scene.tab.complaints.clear()  # the browser notes down what failed to load


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everything_works_from_the_keyboard(tab: MakeTab, size: dict[str, int]) -> None:
    mine = tab("n1", viewport=size).open()
    keys = mine.page.keyboard

    def go_to(name: str) -> None:
        """Press Tab until the control of this name has the focus, and see that it shows."""
        for _ in range(20):
            keys.press("Tab")
            if mine.page.get_by_label(name, exact=True).evaluate(
                "e => e === document.activeElement"
            ):
                break
        expect(mine.page.get_by_label(name, exact=True)).to_be_focused()
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert mine.run(outline) == "solid"

    go_to("User id")
    keys.press("Control+A")
    keys.type("keyla")
    go_to("Node")
    keys.type("n2")
    keys.press("Tab")
    keys.press("Enter")
    mine.expect_connected("n2")

    expect(mine.page.get_by_label("To user")).to_be_focused()  # on with what comes next
    keys.type("keyla")
    go_to("Message")
    keys.type("first line")
    keys.press("Shift+Enter")
    keys.type("second line")
    keys.press("Enter")
    mine.expect_received("first line\nsecond line")
    mine.expect_outcome("delivered")
    expect(mine.page.get_by_label("Message", exact=True)).to_be_focused()

    keys.press("Shift+Tab")
    keys.press("Shift+Tab")
    keys.press("Shift+Tab")
    expect(mine.page.get_by_role("button", name="Disconnect")).to_be_focused()
    keys.press("Enter")
    expect(mine.page.get_by_label("User id")).to_be_focused()


def test_a_screen_reader_is_told_what_happens(tab: MakeTab) -> None:
    mine = tab().open().connect("alice")
    mine.send("alice", "to myself")
    mine.expect_received("to myself")
    page = mine.page
    expect(page.locator("#state")).to_have_role("status")
    expect(page.locator("#registry-problem")).to_have_role("status")
    expect(page.locator("#connect-problem")).to_have_role("alert")
    expect(page.locator("#send-problem")).to_have_role("alert")
    for log, name in (("#received", "Received"), ("#sent", "Sent, and what became of it")):
        expect(page.locator(log)).to_have_role("log")
        expect(page.locator(log)).to_have_accessible_name(name)
    expect(page.locator("#sent")).to_have_attribute("aria-live", "off")  # the status says it
    expect(page.get_by_role("status").filter(has_text="delivered")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    for name in ("You", "Send", "Online", "Received", "Sent, and what became of it", "Nodes"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_attached()
    unnamed = """() => [...document.querySelectorAll("input, select, textarea")]
        .filter((element) => element.labels.length !== 1).map((element) => element.id)"""
    assert page.evaluate(unnamed) == []


def test_the_title_tells_tabs_apart(tab: MakeTab) -> None:
    alice = tab().open()
    expect(alice.page).to_have_title("Switchboard")
    alice.connect("alice", "n2")
    expect(alice.page).to_have_title("alice on n2 · Switchboard")
    alice.page.get_by_role("button", name="Disconnect").click()
    expect(alice.page).to_have_title("Switchboard")


def test_motion_is_left_out_where_it_is_not_wanted(tab: MakeTab) -> None:
    mine = tab(reduced_motion="reduce").open()
    mine.connect("alice", "n1")
    mine.send("alice", "to myself")
    expect(mine.page.locator("#nodes [data-node=n1] .rise")).to_have_text("+1")
    assert mine.run("document.getAnimations().length") == 0
