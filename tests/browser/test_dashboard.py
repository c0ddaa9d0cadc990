"""The operator's page: what it shows of the feed, and what it does when there is none."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.support.browser import DESKTOP, PHONE, Tab
from tests.support.dashboard import Dashboard, ScriptedFeed, figures, node
from tests.support.processes import wait_until

MakeTab = Callable[..., Tab]
KEY = "sb_ops_Zx81aB"
_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter((element) => element.getBoundingClientRect().right > innerWidth)
    .map((element) => `${element.tagName}.${element.getAttribute("class")}`)"""


@pytest.fixture
def board(tab: MakeTab) -> Dashboard:
    """A page with a scripted feed, not opened yet."""
    board = Dashboard(tab())
    board.script_feed()
    return board


def feed_of(board: Dashboard) -> ScriptedFeed:
    assert board.feed is not None
    return board.feed


def keyed(board: Dashboard, key: str) -> list[str]:
    """Let the API answer to this key only; return what it is sent."""
    sent: list[str] = []

    def answer(route: Route) -> None:
        sent.append(route.request.headers.get("authorization", ""))
        if sent[-1] == f"Bearer {key}":
            route.continue_()
        else:
            detail = "this key is not known" if sent[-1] else "a key is needed"
            route.fulfill(status=401, json={"detail": detail, "status": 401})

    board.page.route("**/api/v1/**", answer)
    return sent


def enter_key(board: Dashboard, key: str) -> None:
    board.page.get_by_label("Admin key").fill(key)
    board.page.get_by_role("button", name="Open the dashboard").click()


def test_it_shows_the_cluster_as_the_feed_tells_it(board: Dashboard) -> None:
    lost = node("n3", state="lost", heartbeat_age_s=None, cpu_percent=None, lag_ms=None)
    board.open_scripted(node("n1"), node("n2", state="draining", inbox=7), lost)
    assert board.cell("n1", "Sessions") == "12"
    assert board.cell("n1", "Received") == "42/s"
    assert board.cell("n1", "Memory") == "84 MiB"
    assert board.cell("n1", "CPU") == "13 %"
    assert board.cell("n1", "Loop lag") == "0.42 ms"
    assert board.cell("n1", "Heartbeat") == "0.4 s ago"
    assert board.cell("n2", "State") == "draining"
    assert board.cell("n2", "Inbox") == "7"
    assert board.cell("n3", "Heartbeat") == "ended"
    assert board.cell("n3", "CPU") == "\N{EN DASH}"
    assert board.total("Nodes live") == "Nodes live\n1\n1 draining, 1 lost"
    assert board.total("Messages").startswith("Messages\n43/s")
    assert board.total("Sessions") == "Sessions\n24\n20 users"
    expect(board.page.get_by_role("button", name="Drain n1")).to_be_visible()
    expect(board.page.get_by_role("button", name="Drain")).to_have_count(1)

    feed_of(board).say(figures(node("n1", sessions=13), sessions=13))
    expect(board.page.locator("#nodes tr")).to_have_count(1)
    assert board.cell("n1", "Sessions") == "13"


def test_the_charts_are_drawn_told_and_tabled(board: Dashboard) -> None:
    board.open_scripted()
    page = board.page
    for chart in ("messages", "latency", "sessions", "rescues"):
        page.locator(f"[data-chart={chart}]").scroll_into_view_if_needed()
        expect(page.locator(f"[data-chart={chart}] .main-svg").first).to_be_visible()
    latency = page.get_by_role("img", name="Latency, from send to write: now p50 1.3 ms, p99 7.5")
    expect(latency).to_be_attached()
    expect(page.locator("[data-chart=messages] .legend li")).to_have_text(
        ["delivered 40/s", "offline 2.5/s"]
    )
    page.locator("[data-chart=messages] summary").click()
    feed_of(board).say(figures(rescues=2))
    expect(page.locator("[data-chart=messages] thead th")).to_have_text(
        ["time", "delivered", "offline"]
    )
    expect(page.locator("[data-chart=messages] tbody tr").first).to_contain_text("40/s")
    expect(page.locator("[data-chart=rescues] .legend li").first).to_have_text("rescues 2")


def test_without_the_script_of_the_charts_there_are_tables(board: Dashboard) -> None:
    board.page.route("**/static/vendor/**", lambda route: route.fulfill(status=404))
    board.open_scripted()
    expect(board.page.locator("#charts-problem")).to_contain_text("their script did not load")
    board.page.locator("[data-chart=latency] summary").click()
    feed_of(board).say(figures())
    expect(board.page.locator("[data-chart=latency] tbody tr").first).to_contain_text("7.5 ms")
    board.tab.complaints.clear()  # the browser notes down what failed to load


def test_a_lost_connection_is_said_and_comes_back(board: Dashboard) -> None:
    board.open_scripted()
    page, feed = board.page, feed_of(board)
    page.route("**/api/v1/stats", lambda route: route.abort())
    feed.close(1001, "node stopping")
    expect(page.locator("#state")).to_have_text("Connection lost")
    expect(page.locator("#lost-words")).to_contain_text("It is tried again by itself.")
    expect(page.locator("#age")).to_contain_text("Old figures")
    expect(page.locator("#board.stale")).to_be_visible()
    expect(page).to_have_title("Connection lost · Switchboard dashboard")
    assert board.cell("n1", "Sessions") == "12"

    page.unroute("**/api/v1/stats")
    page.get_by_role("button", name="Try now").click()
    board.wait_for_feed(2)
    feed.say(figures(node("n1", sessions=99)))
    board.expect_live()
    expect(page.locator("#board.stale")).to_have_count(0)
    expect(page.locator("#lost")).to_be_hidden()
    assert board.cell("n1", "Sessions") == "99"

    feed.close()  # and by itself
    board.wait_for_feed(3)
    feed.say(figures())
    board.expect_live()
    board.tab.complaints.clear()


def test_a_node_that_has_no_figures_says_why(board: Dashboard) -> None:
    board.open_scripted()
    feed_of(board).say({"type": "error", "code": "unavailable", "message": "the store is away"})
    expect(board.page.locator("#state")).to_have_text("No figures")
    expect(board.page.locator("#lost-words")).to_have_text(
        "The node has no figures: the store is away."
    )
    expect(board.page.locator("#board.stale")).to_be_visible()
    feed_of(board).say(figures())
    board.expect_live()


def test_another_node_can_be_named(board: Dashboard, tab: MakeTab) -> None:
    board.open_scripted()
    page, other = board.page, tab("n2").url
    page.route("**/api/v1/stats", lambda route: route.abort())
    feed_of(board).close()
    field = page.get_by_label("Another node")
    field.fill("https://evil.example/x")
    page.get_by_role("button", name="Go there").click()
    expect(page.locator("#other-problem")).to_contain_text("An address is host:port")
    expect(field).to_be_focused()
    page.unroute("**/api/v1/stats")
    field.fill(other.removeprefix("http://").rstrip("/"))
    page.get_by_role("button", name="Go there").click()
    page.wait_for_url(f"{other}dashboard")
    board.tab.complaints.clear()


def test_a_key_is_asked_for_and_goes_where_it_belongs(board: Dashboard) -> None:
    page, feed = board.page, feed_of(board)
    sent = keyed(board, KEY)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.add_init_script(
        "globalThis.offered = []; globalThis.WebSocket = class extends WebSocket {"
        "constructor(url, names) { super(url, names); offered.push(url, ...names); } };"
    )
    board.open()
    expect(page.get_by_label("Admin key")).to_be_focused()
    expect(page.locator("#key-problem")).to_have_text("")
    expect(page.locator("#board")).to_be_hidden()
    enter_key(board, "no key")
    expect(page.locator("#key-problem")).to_contain_text("That is no key")
    enter_key(board, "sb_wrong")
    expect(page.locator("#key-problem")).to_have_text("The key was refused: this key is not known.")
    enter_key(board, KEY)
    board.wait_for_feed(1)
    feed.say(figures())
    board.expect_live()
    expect(page.get_by_label("Admin key")).to_be_hidden()
    assert board.tab.run("offered.slice(-2)") == [
        "switchboard.dashboard.v1.json",
        f"switchboard.bearer.{KEY}",
    ]
    assert f"Bearer {KEY}" in sent
    assert not [url for url in [*urls, *board.tab.run("offered")] if KEY in url and "ws" in url]
    assert board.tab.run("JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    board.tab.complaints.clear()  # the browser notes down each 401


def test_a_key_is_remembered_in_this_tab_only_if_wished(board: Dashboard) -> None:
    page, feed = board.page, feed_of(board)
    keyed(board, KEY)
    board.open()
    page.get_by_label("Remember it in this tab").check()
    enter_key(board, KEY)
    board.wait_for_feed(1)
    feed.say(figures())
    board.expect_live()
    page.reload()
    board.wait_for_feed(2)
    feed.say(figures())
    board.expect_live()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("Admin key")).to_be_focused()
    assert board.tab.run("sessionStorage.length") == 0
    page.reload()
    expect(page.get_by_label("Admin key")).to_be_focused()
    board.tab.complaints.clear()


def test_a_key_that_ends_while_it_is_used_brings_the_form_back(board: Dashboard) -> None:
    board.open_scripted()
    page, feed = board.page, feed_of(board)
    keyed(board, KEY)
    page.get_by_label("User id").fill("alice")  # asks for names to offer
    expect(page.get_by_label("Admin key")).to_be_focused()
    enter_key(board, KEY)
    board.wait_for_feed(2)
    feed.say(figures())
    board.expect_live()
    feed.close(4403, "this key has not the scope admin")
    expect(page.locator("#key-problem")).to_have_text(
        "The key was refused: this key has not the scope admin."
    )
    expect(page.locator("#board.stale")).to_be_visible()
    board.tab.complaints.clear()


def test_a_drain_is_asked_about_and_tells_what_it_does(board: Dashboard) -> None:
    asked: list[str] = []

    def drained(route: Route) -> None:
        asked.append(f"{route.request.method} {route.request.url.partition('/api')[2]}")
        route.fulfill(status=202, json={"node": "n2", "endpoint": "n2.1a2b3c"})

    board.page.route("**/drain", drained)
    board.open_scripted()
    page = board.page
    page.get_by_role("button", name="Drain n2").click()
    dialog = page.get_by_role("dialog", name="Drain n2?")
    expect(dialog).to_contain_text("Its clients (12 sessions) are sent to other nodes")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Drain n2")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert asked == []
    page.get_by_role("button", name="Drain n2").click()
    dialog.get_by_role("button", name="Drain n2").click()
    expect(page.locator("#nodes-done")).to_have_text("n2 was told to drain.")
    assert asked == ["POST /v1/nodes/n2/drain"]

    feed_of(board).say(figures(node("n1")))
    expect(page.locator("#nodes tr")).to_have_count(1)
    page.get_by_role("button", name="Drain n1").click()
    expect(page.get_by_role("dialog")).to_contain_text("It is the only live node")


def test_a_trace_is_shown_step_by_step(board: Dashboard) -> None:
    page = board.page
    steps = [
        {"at": 1_795_419_635.1, "node": "n1", "step": "accepted", "detail": ""},
        {"at": 1_795_419_635.1005, "node": "n1", "step": "looked_up", "detail": "1 session on n2"},
        {"at": 1_795_419_635.103, "node": "n2", "step": "written", "detail": ""},
        {"at": 1_795_419_635.1101, "node": "n1", "step": "settled", "detail": "delivered"},
    ]
    sent = {"id": "m1", "user": "alice", "outcome": "delivered", "sessions": 1, "trace": "ab" * 16}
    page.route("**/messages?trace=true", lambda route: route.fulfill(json=sent))
    told = iter((2, 4))
    page.route(
        "**/api/v1/traces/*",
        lambda route: route.fulfill(json={"trace": "ab" * 16, "steps": steps[: next(told)]}),
    )
    board.open_scripted()
    page.locator("#test-to").fill("alice")
    page.get_by_role("button", name="Send and trace").click()
    expect(page.locator("#test-outcome")).to_have_text("delivered")
    expect(page.locator("#steps li")).to_have_count(4)
    expect(page.locator("#steps .step-time")).to_have_text(
        ["+0 ms", "+0.5 ms", "+3 ms", "+10.1 ms"]
    )
    expect(page.locator("#steps li").nth(1)).to_contain_text("1 session on n2")


def test_an_outcome_that_http_calls_an_error_is_shown_as_one(board: Dashboard) -> None:
    page = board.page
    unknown = {
        "id": "m",
        "user": "a",
        "outcome": "unknown",
        "sessions": 1,
        "reason": "time ran out",
    }
    page.route("**/messages?trace=true", lambda route: route.fulfill(status=504, json=unknown))
    board.open_scripted()
    page.locator("#test-to").fill("alice")
    page.get_by_role("button", name="Send and trace").click()
    expect(page.locator("#test-outcome")).to_have_text("unknown")
    expect(page.locator("#test-words")).to_contain_text("Reason: time ran out.")
    page.unroute("**/messages?trace=true")
    page.route(
        "**/messages?trace=true",
        lambda route: route.fulfill(status=503, json={"detail": "the store is away"}),
    )
    page.get_by_role("button", name="Send and trace").click()
    expect(page.locator("#test-words")).to_have_text("It was refused: the store is away.")
    board.tab.complaints.clear()


def test_it_fits_on_every_screen(board: Dashboard) -> None:
    long = "W" * 64
    big = {"sessions": 1_000_000, "received_per_second": 123_456.0, "inbox": 10_000}
    board.open_scripted(node("n1"), {**node(long), **big, "rss_bytes": 7 << 30, "lag_ms": 12_345.0})
    user = {
        "user": "U" * 128,
        "online": True,
        "mailbox": 1_000,
        "last_seen": None,
        "sessions": [
            {
                "session": f"{number:016x}",
                "node": long,
                "endpoint": "e",
                "device": "d" * 64,
                "address": "2001:db8:85a3:8d3:1319:8a2e:370:7348",
                "since": 1_795_419_635.1,
            }
            for number in range(2)
        ],
    }
    board.page.route("**/api/v1/users/U*", lambda route: route.fulfill(json=user))
    board.look_up("U" * 128)
    expect(board.page.get_by_role("button", name="Kick all sessions")).to_be_visible()
    for width in (PHONE["width"], 600, 800, 1024, DESKTOP["width"], 1600):
        board.page.set_viewport_size({"width": width, "height": 800})
        wide = board.tab.run(_WIDE)
        assert board.tab.run("document.documentElement.scrollWidth") == width, wide


def test_it_works_from_the_keyboard(board: Dashboard) -> None:
    board.open_scripted(node("n1"))
    page, keys = board.page, board.page.keyboard
    names: list[str] = []
    for _ in range(20):
        keys.press("Tab")
        focused = page.locator(":focus")
        names.append(focused.evaluate("e => e.id || e.getAttribute('aria-label') || e.tagName"))
        if names[-1] == "test-confirm":
            break
        if names[-1] == "user":
            keys.type("nobody")
    assert names == [
        "Drain n1",
        *["SUMMARY"] * 4,
        "user",
        "BUTTON",
        "test-to",
        "test-data",
        "test-confirm",
    ]
    assert board.tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_what_is_not_seen_is_not_drawn(board: Dashboard) -> None:
    board.open_scripted()
    page = board.page
    hide = "value => Object.defineProperty(document, 'hidden', { value, configurable: true })"
    page.evaluate(hide, True)
    feed_of(board).say(figures(node("n1", sessions=77)))
    wait_until(lambda: board.tab.run("1") == 1, "the page has heard it")
    assert board.cell("n1", "Sessions") == "12"
    page.evaluate(hide, False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#nodes [data-label=Sessions]")).to_have_text("77")


def test_no_policy_is_broken(board: Dashboard) -> None:
    page = board.page
    page.add_init_script(
        "globalThis.broken = []; document.addEventListener('securitypolicyviolation',"
        " (event) => broken.push(`${event.violatedDirective} ${event.blockedURI}`));"
    )
    board.open_scripted()
    chart = page.locator("[data-chart=messages] .chart")
    expect(chart.locator(".main-svg").first).to_be_visible()
    feed_of(board).say(figures())
    chart.hover()
    expect(chart.locator(".hoverlayer text").first).to_be_attached()
    page.set_viewport_size(PHONE)
    feed_of(board).say(figures())
    assert board.tab.run("broken") == []
    assert page.locator("style").count() == 0
