"""`GET /dashboard/feed`: the WebSocket of the operator's page."""

from dataclasses import dataclass
from typing import Any, Final

import structlog

from node.auth import Gate, Scope
from node.feed import PROTOCOL, Feed, Viewer
from node.handlers.headers import secure
from node.handlers.problem import refuse
from node.listener import Listener
from node.sockets import Socket, SocketHandler
from router.errors import Forbidden, SwitchboardError, TooMany

_MOST: Final = 64
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FeedContext:
    """What the handler needs of its node.

    Args:
        gate: says who may look.
        feed: shows them.
        max_waiting_bytes: per page.
    """

    gate: Gate
    feed: Feed
    max_waiting_bytes: int


class FeedHandler(SocketHandler):
    """The handshake of one page that looks."""

    def initialize(self, context: FeedContext) -> None:
        """See `tornado.web.RequestHandler.initialize`."""
        self._context = context

    def set_default_headers(self) -> None:
        """Let refusals carry what every answer carries."""
        secure(self)

    def check_origin(self, origin: str) -> bool:
        """Let `get` decide: Tornado lets in whatever page has our own address unasked."""
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Take ours; never the one that carries the key."""
        return PROTOCOL if PROTOCOL in subprotocols else None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Check the handshake before it is answered."""
        try:
            self._check()
        except SwitchboardError as exc:
            refuse(self, exc)
            return
        await super().get(*args, **kwargs)

    def _check(self) -> None:
        if not self._context.gate.allows_origin(self.request):
            origin = self.request.headers.get("Origin", "")
            raise Forbidden(f"Origin: a page from '{origin}' may not connect to this node")
        self._context.gate.authorize(self.request, Scope.ADMIN)
        if len(self._context.feed) >= _MOST:
            raise TooMany("dashboard", f"{_MOST} pages are open at this node already", 5.0)

    def opened(self, socket: Socket) -> Listener:
        """The handshake is done: show it the cluster."""
        viewer = Viewer(socket, self._context.max_waiting_bytes, self._may_still_look)
        self._context.feed.join(viewer)
        address = str(self.request.remote_ip)
        _log.info("dashboard opened", address=address)
        return _Page(self._context.feed, viewer, address)

    def _may_still_look(self) -> None:
        # A key that was taken away is good for nothing. Asked for less than at the door: what is
        # done as an admin is logged, and this is done again and again.
        self._context.gate.authorize(self.request, Scope.READ)


class _Page(Listener):
    """One page that looks. What it says is not heard."""

    __slots__ = ("_address", "_feed", "_viewer")

    def __init__(self, feed: Feed, viewer: Viewer, address: str) -> None:
        super().__init__()
        self._feed = feed
        self._viewer = viewer
        self._address = address

    def on_message(self, message: str | bytes) -> None:
        """Note that it is there."""
        self._viewer.heard = True

    def on_pong(self, data: bytes) -> None:
        """Note that it is there."""
        self._viewer.heard = True

    def on_close(self, code: int | None) -> None:
        """See `Listener.on_close`."""
        self._feed.leave(self._viewer)
        _log.info("dashboard closed", address=self._address, code=code)
