"""A client that is a page in Chromium: what its application sees goes into the ledger."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page as Tab

from scripts.faults.connection import LOST
from scripts.faults.entries import Acked, Closed, Got, Ns, Opened
from scripts.faults.ledger import Pen, now

DEVICE: Final = "page"
_ACK: Final = (
    "manual"  # as far as nodes know: the SDK acknowledges what its application has handled
)
_APPLICATION: Final = Path(__file__).with_name("page.js")
_GLANCES: Final = 5  # at the page's clock


class Page:
    """A page on `/static/switchboard.js`; what `sdk_device.SdkDevice` is for `router.client`.

    It leaves everything to the SDK. Its times are the page's own, so that no wait between the
    browser and the ledger makes a session longer than it was.

    Args:
        user: who it is.
        nodes: their addresses; the first one serves it.
        tab: an empty page.
        numbers: gives connections their numbers.
        pen: the ledger.
        ping_s: time after which it asks a silent node whether it is there.
    """

    def __init__(
        self,
        user: str,
        nodes: Sequence[str],
        tab: Tab,
        *,
        numbers: Callable[[], int],
        pen: Pen,
        ping_s: float,
    ) -> None:
        self.user = user
        self.live = False
        self.failed = ""
        self._nodes = nodes
        self._tab = tab
        self._numbers = numbers
        self._pen = pen
        self._ping_s = ping_s
        self._number = 0
        self._begun: Ns = 0
        self._tell = {"state": self._entered, "message": self._take, "error": self._complain}

    async def start(self) -> None:
        """Load the page and its module, and have it connect; returns before it has.

        Raises:
            playwright.async_api.Error: the page or its module cannot be loaded.
        """
        tab = self._tab
        tab.on("pageerror", lambda error: self._bad(f"the page has thrown: {error}"))
        tab.on("crash", lambda _: self._bad("the page has crashed"))
        await tab.expose_function("tell", self._told)
        # Any document of a node will do: it gives the page its origin, and runs nothing by itself.
        await tab.goto(f"http://{self._nodes[0]}/static/switchboard.d.ts")
        self._begun = await self._beginning()
        await tab.evaluate(
            _APPLICATION.read_text(encoding="utf-8"),
            {
                "urls": [f"ws://{address}/ws" for address in self._nodes],
                "user": self.user,
                "device": DEVICE,
                "options": {
                    "pingIntervalMs": 1000 * self._ping_s,
                    "retryBaseMs": 100,
                    "retryCapMs": 2000,
                },
            },
        )

    async def flush(self) -> None:
        """Wait until everything that the page has told is in the ledger."""
        await self._tab.evaluate("() => null")

    async def _beginning(self) -> Ns:
        """Return when the page's clock began.

        What is read is late by the way back at most: a page never seems to see a thing too early.
        """
        begun = math.inf
        for _ in range(_GLANCES):
            read_ms = await self._tab.evaluate("() => performance.now()")
            begun = min(begun, now() - round(read_ms * 1e6))
        return int(begun)

    def _told(self, event: dict[str, Any]) -> None:
        at = self._begun + round(event["at_ms"] * 1e6)
        self._tell[event["what"]](at, event)

    def _entered(self, at: Ns, event: dict[str, Any]) -> None:
        if self.live:
            self._pen.note(Closed(at, self._number, LOST, event.get("code") or 0))
        self.live = event["state"] == "open"
        if self.live:
            self._number = self._numbers()
            self._pen.note(
                Opened(
                    at,
                    self._number,
                    self.user,
                    DEVICE,
                    event["node"],
                    event["session"],
                    event["resumed"],
                    event["offset"],
                    event["since"],
                    _ACK,
                )
            )
        elif event["state"] == "closed":
            self._bad(f"the SDK has given up: {event['reason']}")

    def _take(self, at: Ns, event: dict[str, Any]) -> None:
        number, message, offset = self._number, event["id"], event.get("offset") or ""
        replay = bool(event.get("replay"))
        self._pen.note(Got(at, number, message, event["from"], event["data"], offset, replay))
        self._pen.note(Acked(at, number, offset, message))

    def _complain(self, at: Ns, event: dict[str, Any]) -> None:
        self._bad(f"the SDK complains: {event['text']}")

    def _bad(self, text: str) -> None:
        """Write a line into the log that the audit takes for a broken promise."""
        self.failed = self.failed or text
        head = {"timestamp": datetime.now(UTC).isoformat(), "level": "error", "event": text}
        print(json.dumps({**head, "user": self.user}), file=sys.stderr, flush=True)
