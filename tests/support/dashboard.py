"""The operator's page in a real Chromium, and a feed that says what a test wants it to say."""

import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import WebSocketRoute, expect

from tests.support.browser import Tab
from tests.support.processes import wait_until

FEED: Final = "**/dashboard/feed"
PROTOCOL: Final = "switchboard.dashboard.v1.json"


def node(name: str, **told: Any) -> dict[str, Any]:
    """Return one node as the feed tells it."""
    usual = {
        "name": name,
        "endpoint": f"{name}.1a2b3c",
        "pid": 4711,
        "address": f"127.0.0.1:8{name[-1]}",
        "state": "live",
        "sessions": 12,
        "inbox": 0,
        "heartbeat_age_s": 0.4,
        "received": 1_000,
        "delivered": 900,
        "received_per_second": 41.5,
        "delivered_per_second": 40.25,
        "cpu_percent": 12.5,
        "rss_bytes": 88_080_384,
        "lag_ms": 0.42,
    }
    return {**usual, **told}


def figures(*nodes: dict[str, Any], **told: Any) -> dict[str, Any]:
    """Return one frame of the feed."""
    usual = {
        "type": "cluster",
        "at": time.time(),
        "nodes": list(nodes) or [node("n1"), node("n2")],
        "per_second": {"delivered": 40.0, "offline": 2.5, "busy": 0.0},
        "latency_ms": {"p50": 1.25, "p99": 7.5},
        "sessions": 24,
        "users": 20,
        "rescues": 0,
        "fences": 0,
    }
    return {**usual, **told}


@dataclass
class ScriptedFeed:
    """Takes every feed of the page; the newest is last."""

    sockets: list[WebSocketRoute] = field(default_factory=list)
    taken: int = 0

    def take(self, socket: WebSocketRoute) -> None:
        """Accept a feed."""
        self.sockets.append(socket)
        self.taken += 1

    def say(self, frame: dict[str, Any]) -> None:
        """Send a frame on the newest feed."""
        self.sockets[-1].send(json.dumps(frame))

    def close(self, code: int = 1001, reason: str = "") -> None:
        """Close the newest feed."""
        self.sockets[-1].close(code=code, reason=reason)


class Dashboard:
    """One operator's page.

    Args:
        tab: a fresh one.
    """

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.page = tab.page
        self.feed: ScriptedFeed | None = None

    def script_feed(self) -> ScriptedFeed:
        """Let the test say what the feed says."""
        self.feed = ScriptedFeed()
        self.page.route_web_socket(FEED, self.feed.take)
        return self.feed

    def open(self) -> "Dashboard":
        """Load the page."""
        self.page.goto(f"{self.tab.url}dashboard")
        return self

    def open_scripted(self, *nodes: dict[str, Any], **told: Any) -> "Dashboard":
        """Load the page with a scripted feed, and say one frame."""
        feed = self.script_feed()
        self.open()
        self.wait_for_feed(1)
        feed.say(figures(*nodes, **told))
        return self.expect_live()

    def wait_for_feed(self, number: int) -> None:
        """Wait until the page has opened that many feeds."""
        feed = self.feed
        assert feed is not None
        # The evaluation lets Playwright hand over what has come.
        wait_until(lambda: self.tab.run("1") and feed.taken >= number, f"feed {number} is open")

    def expect_live(self) -> "Dashboard":
        """Wait until there are figures."""
        expect(self.page.locator("#state")).to_have_text("Live")
        expect(self.page.locator("#nodes tr").first).to_be_visible()
        return self

    def look_up(self, user: str) -> None:
        """Search a user and wait until they are shown."""
        self.page.get_by_label("User id").fill(user)
        self.page.get_by_role("button", name="Look up").click()
        expect(self.page.locator("#found-name")).to_have_text(user)

    def cell(self, name: str, label: str) -> str:
        """Return what the table of nodes says."""
        row = self.page.locator("#nodes tr", has=self.page.get_by_text(name, exact=True))
        return row.locator(f"[data-label='{label}']").inner_text()

    def total(self, name: str) -> str:
        """Return what stands under a total's name."""
        return self.page.locator("#totals > div", has_text=name).inner_text()
