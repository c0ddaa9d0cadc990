"""What the operator's page is told: the cluster's figures once a second, while somebody looks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from node.disconnects import SLOW, STOPPING, Disconnect
from node.figures import Figures
from node.limits import Room
from node.outgoing import Outgoing
from node.rounds import Rounds
from node.sockets import Socket, frame, ping_frame
from router.errors import SwitchboardError
from router.model import Endpoint
from router.service import Services

PROTOCOL: Final = "switchboard.dashboard.v1.json"
_EVERY_S: Final = 1.0
_NO_MORE: Final = Disconnect(4401, "the key does not count any more", reconnect=False)


class Trouble(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What is sent in place of figures that cannot be had."""

    code: str
    message: str


class Viewer:
    """One open page.

    Args:
        socket: where its frames go.
        max_waiting_bytes: bound on what waits to be taken by it.
        may_look: raises when it may look no more.
    """

    def __init__(
        self, socket: Socket, max_waiting_bytes: int, may_look: Callable[[], None]
    ) -> None:
        self._socket = socket
        self._may_look = may_look
        self._outgoing = Outgoing(socket, max_waiting_bytes)
        self.heard = True
        self.closed = False

    def show(self, whole: bytes) -> None:
        """Write one frame; a page that does not read is closed as a slow consumer."""
        if self.closed:
            return
        if self._outgoing.put(whole, "") is Room.TAKE:
            self._outgoing.flush()
        else:
            self.close(SLOW)

    def check(self) -> None:
        """Ping it; end one that has not answered since the last time, or may look no more."""
        if not self.heard:
            self.closed = True
            self._socket.abort()
        elif not self.closed:
            try:
                self._may_look()
            except SwitchboardError:
                self.close(_NO_MORE)
                return
            self.heard = False
            self._socket.write(ping_frame(b""))

    def close(self, disconnect: Disconnect) -> None:
        """Close from this side."""
        self.closed = True
        self._outgoing.drop()
        self._socket.close(disconnect.code, disconnect.reason)


class Feed:
    """Makes one frame a second for all pages that are open at this node, none for none.

    Args:
        look: returns every endpoint of the cluster.
        services: gets the loop.
        check_s: how often a page is pinged, seconds.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Sequence[Endpoint]]],
        services: Services,
        check_s: float,
    ) -> None:
        self._look = look
        self._viewers: set[Viewer] = set()
        self._somebody = asyncio.Event()
        self._feeding = services.add("feed", self._feed_forever)
        self._to_check: Rounds[Viewer] = Rounds(check_s)

    def __len__(self) -> int:
        """Return how many pages are open."""
        return len(self._viewers)

    def start(self) -> None:
        """Feed whoever looks from now on."""
        self._feeding.start()

    async def stop(self) -> None:
        """Close every page and end. Idempotent."""
        await self._feeding.stop()
        for viewer in self._viewers:
            viewer.close(STOPPING)

    def join(self, viewer: Viewer) -> None:
        """Show a page everything from now on; the first frame comes within a second."""
        self._viewers.add(viewer)
        self._to_check.join(viewer)
        self._somebody.set()

    def leave(self, viewer: Viewer) -> None:
        """Let a page go: its connection has ended."""
        viewer.closed = True
        self._viewers.discard(viewer)
        if not self._viewers:
            self._somebody.clear()

    async def _feed_forever(self) -> None:
        while True:
            await self._somebody.wait()
            await self._feed()

    async def _feed(self) -> None:
        """Feed until nobody looks any more; then what was seen is too old to compare with."""
        loop = asyncio.get_running_loop()
        figures = Figures()
        last = loop.time()
        while self._viewers:
            now = loop.time()
            whole = frame(msgspec.json.encode(await self._tell(figures)), binary=False)
            for viewer in list(self._viewers):
                viewer.show(whole)
            for viewer in self._to_check.due(now - last):
                viewer.check()
            last = now
            await asyncio.sleep(max(0.0, now + _EVERY_S - loop.time()))

    async def _tell(self, figures: Figures) -> msgspec.Struct:
        try:
            endpoints = await self._look()
            return figures.read(endpoints, asyncio.get_running_loop().time(), time.time())
        except SwitchboardError as exc:
            return Trouble(exc.code, str(exc))
