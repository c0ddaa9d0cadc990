"""A node that says what a test wants it to say, to a page in the browser."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import WebSocketRoute, expect

from tests.support.browser import Tab
from tests.support.processes import wait_until

_WELCOME: Final = {
    "type": "welcome",
    "session": "s1",
    "user": "alice",
    "node": "n1",
    "device": "web",
    "resumed": False,
    "offset": "",
    "max_message_bytes": 65_536,
}


@dataclass
class ScriptedNode:
    """Takes every WebSocket of the page.

    Args:
        sockets: all of them, the newest last.
        welcome: fields of the welcome that differ from the usual ones.
        pongs: whether it answers pings.
        pings: how many there were.
        heard: every other frame.
    """

    sockets: list[WebSocketRoute] = field(default_factory=list)
    welcome: dict[str, Any] = field(default_factory=dict)
    pongs: bool = True
    pings: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)

    def take(self, socket: WebSocketRoute) -> None:
        """Accept a WebSocket and welcome its user."""
        self.sockets.append(socket)
        socket.on_message(lambda text: self._hear(socket, json.loads(text)))
        self.say({**_WELCOME, **self.welcome})

    def _hear(self, socket: WebSocketRoute, frame: dict[str, Any]) -> None:
        if frame["type"] == "ping":
            self.pings += 1
            if self.pongs:
                socket.send('{"type":"pong"}')
        else:
            self.heard.append(frame)

    def say(self, frame: dict[str, Any]) -> None:
        """Send a frame on the newest WebSocket."""
        self.sockets[-1].send(json.dumps(frame))

    def close(self, code: int) -> None:
        """Close the newest WebSocket."""
        self.sockets[-1].close(code=code)


@dataclass
class Scene:
    """A page that is connected to a scripted node; its clock moves only when told to."""

    tab: Tab
    node: ScriptedNode

    def pass_time(self, milliseconds: int) -> None:
        """Move the page's clock; what is due on the way happens."""
        self.tab.page.clock.run_for(milliseconds)

    def pass_time_until(self, condition: Callable[[], bool], what: str, step_ms: int = 250) -> int:
        """Move the clock until `condition` holds; return by how many milliseconds."""
        passed_ms = 0

        def step() -> bool:
            nonlocal passed_ms
            self.pass_time(step_ms)
            passed_ms += step_ms
            return condition()

        wait_until(step, what)
        return passed_ms

    def pass_time_until_it_dials(self, step_ms: int = 250) -> int:
        """Move the clock until there is one more WebSocket; return by how many milliseconds."""
        sockets = len(self.node.sockets)
        return self.pass_time_until(
            lambda: len(self.node.sockets) > sockets, "it comes back", step_ms
        )

    def expect_pings(self, count: int) -> None:
        """Wait until the node has been pinged so often, and its answers have arrived."""
        wait_until(lambda: self.tab.run("1") and self.node.pings >= count, f"{count} pings")
        self.tab.run("1")  # an answer is sent before what is asked after it

    def expect_state(self, words: str) -> None:
        """Wait until the page says that it is in this state."""
        expect(self.tab.page.locator("#state")).to_contain_text(words)
