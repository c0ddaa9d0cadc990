"""A cluster and a browser for the tests of the page."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import DESKTOP, Tab, running_browser
from tests.support.processes import Switchboard, free_port_range
from tests.support.scripted_node import Scene, ScriptedNode

# Counters travel with heartbeats: quick ones save each test that looks at them some seconds.
_ENVIRONMENT = {"SWITCHBOARD_LEASE__HEARTBEAT_S": "0.5"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two nodes that run as users run them: `urls` by node name."""

    urls: dict[str, str]

    def ask(self, path: str, node: str = "n1", method: str = "GET") -> Any:
        """Return what a node's API answers."""
        request = urllib.request.Request(f"{self.urls[node]}api/v1/{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the live nodes by name."""
        return {
            node["name"]: node for node in self.ask("nodes")["nodes"] if node["state"] == "live"
        }

    def received(self) -> dict[str, int]:
        """Return each node's counter as of now: wait until each has sent a heartbeat."""
        asked_at = time.monotonic()
        while True:
            nodes = self.nodes()
            waited_s = time.monotonic() - asked_at
            assert waited_s < 30, nodes
            if all(node["heartbeat_age_s"] < waited_s for node in nodes.values()):
                return {name: node["received"] for name, node in nodes.items()}
            time.sleep(0.05)


@contextmanager
def _running_cluster(folder: Path) -> Iterator[Cluster]:
    port = str(free_port_range(2))
    up = ("up", "--nodes", "2", "--port", port, "--json")
    with Switchboard(folder, *up, environment=_ENVIRONMENT) as switchboard:
        nodes = switchboard.document()["nodes"]
        yield Cluster({node["name"]: node["url"] for node in nodes})


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with _running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


# A module's, not the session's: while Playwright runs, no other event loop can run in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser, cluster: Cluster) -> Iterator[Callable[..., Tab]]:
    """Make tabs: `tab("n2")` is served by n2, further arguments go to the browser context."""
    contexts = []
    tabs: list[Tab] = []

    def make(node: str = "n1", **options: Any) -> Tab:
        contexts.append(browser.new_context(**{"viewport": DESKTOP, **options}))
        tabs.append(Tab(contexts[-1].new_page(), cluster.urls[node]))
        return tabs[-1]

    yield make
    complaints = [complaint for each in tabs for complaint in each.complaints]
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def scene(tab: Callable[..., Tab]) -> Scene:
    """Connect a page to a scripted node, and stop its clock."""
    mine, node = tab(), ScriptedNode()
    mine.page.clock.install()
    mine.page.route_web_socket("**/ws?*", node.take)
    mine.open().connect("alice")
    mine.page.clock.pause_at(mine.run("Date.now()") / 1_000 + 1)
    return Scene(mine, node)
