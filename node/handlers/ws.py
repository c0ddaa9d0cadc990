"""`GET /ws`: the WebSocket of a client."""

import asyncio
import math
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from node.admission import Admission, Full
from node.auth import Gate
from node.auth.tickets import Tickets
from node.disconnects import TOO_MANY
from node.expiry import Expiry
from node.frames import CODECS, JSON_PROTOCOL
from node.handlers.headers import secure
from node.handlers.problem import RETRY_AFTER_S, Problem, problem_of, set_headers
from node.identity import Identity
from node.inbound import Inbound
from node.listener import Listener
from node.pace import Pace
from node.presence import Presence
from node.session import ClientSession
from node.sockets import Socket, SocketHandler
from router.counts import Counts
from router.errors import Forbidden, InvalidRequest, SwitchboardError, TooMany
from router.model import DEFAULT_DEVICE, Offset, SessionId, check_name

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WebSocketContext:
    """What the handler needs of its node.

    Args:
        gate: says who a handshake comes from, and which browser pages may connect.
        tickets: knows those who come with one.
        admission: says which handshakes are too many.
        accepting: says why no session is taken now; None when it is.
        presence: registers sessions.
        inbound: takes their frames.
        expiry: watches over the end of what they came in with.
        on_ack: told how far a session's device has everything.
        max_waiting_bytes: per session.
        counts: of the process.
    """

    gate: Gate
    tickets: Tickets
    admission: Admission
    accepting: Callable[[], str | None]
    presence: Presence
    inbound: Inbound
    expiry: Expiry
    on_ack: Callable[[ClientSession, Offset], None]
    max_waiting_bytes: int
    counts: Counts = field(default_factory=Counts)


class ClientHandler(SocketHandler):
    """The handshake of one WebSocket."""

    def initialize(self, context: WebSocketContext) -> None:
        """See `tornado.web.RequestHandler.initialize`."""
        self._context = context

    def set_default_headers(self) -> None:
        """Let refusals carry what every answer carries."""
        secure(self)

    def check_origin(self, origin: str) -> bool:
        """See `WebSocketHandler.check_origin`."""
        return self._context.gate.allows_origin(self.request)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Take the first subprotocol of ours that the client offers."""
        return next((name for name in subprotocols if name in CODECS), None)

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Check the handshake before it is answered."""
        context = self._context
        refusal = context.accepting()
        if refusal is not None:
            self._elsewhere(refusal, RETRY_AFTER_S)
            return
        try:
            now = asyncio.get_running_loop().time()
            context.admission.ask(str(self.request.remote_ip), now, random.random())
            self._check_page()
            self._identity = await self._who()
            context.admission.ask_user(self._identity.user)
            self._device = self._named_device()
            since = self.get_query_argument("since", "")
            self._since = Offset.parse(since, "since") if since else None
            self._manual_acks = self._ack_mode()
        except Full as full:
            self._elsewhere(full.reason, full.retry_after_s)
            return
        except SwitchboardError as exc:
            set_headers(self, exc)
            self._refuse(problem_of(exc, exc.consequence.http_status))
            return
        await super().get(*args, **kwargs)

    async def _who(self) -> Identity:
        holder = await self._context.tickets.holder_of(self.request)
        return holder or await self._context.gate.identify(self.request)

    def _check_page(self) -> None:
        # Tornado lets in whatever page has our own address, before it asks `check_origin`; a name
        # that its owner points at 127.0.0.1 (DNS rebinding) has.
        if not self._context.gate.allows_origin(self.request):
            origin = self.request.headers.get("Origin", "")
            raise Forbidden(f"Origin: a page from '{origin}' may not connect to this node")

    def _named_device(self) -> str:
        bound = self._identity.device
        device = self.get_query_argument("device", bound or DEFAULT_DEVICE)
        if bound is not None and device != bound:
            raise Forbidden(f"device: whoever connects may only be the device '{bound}'")
        return check_name(device, "device")

    def _ack_mode(self) -> bool:
        mode = self.get_query_argument("ack", "auto")
        if mode not in ("auto", "manual"):
            raise InvalidRequest("ack", f"'{mode}' is not one of auto, manual")
        return mode == "manual"

    def _elsewhere(self, reason: str, after_s: float) -> None:
        self.set_header("Retry-After", str(math.ceil(after_s)))
        kind = "urn:switchboard:problem:unavailable"
        self._refuse(Problem(kind, "No new sessions here now", 503, reason, "unavailable"))

    def _refuse(self, problem: Problem) -> None:
        self._context.counts.refused[problem.code] += 1
        self.set_status(problem.status)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(msgspec.json.encode(problem))

    def opened(self, socket: Socket) -> Listener:
        """The handshake is done: take the session in; it is welcomed once it is registered."""
        context = self._context
        pace = Pace(context.admission.limits, asyncio.get_running_loop().time())
        address = str(self.request.remote_ip)
        session = ClientSession(
            self._identity,
            SessionId(secrets.token_hex(8)),
            device=self._device,
            address=address,
            since=time.time(),
            codec=CODECS[self.selected_subprotocol or JSON_PROTOCOL],
            socket=socket,
            pace=pace,
            max_waiting_bytes=context.max_waiting_bytes,
            on_close=context.presence.leave,
            on_ack=context.on_ack,
            resume_after=self._since,
            manual_acks=self._manual_acks,
        )
        context.admission.came(address)
        _log.info("session opened", user=session.user, session=session.id, address=session.address)
        try:  # others of the same user may have come while this one was asked who it is
            context.admission.ask_user(session.user)
        except TooMany as exc:
            session.close(TOO_MANY, str(exc), math.ceil(exc.retry_after_s * 1_000))
        else:
            context.expiry.watch(session)
            context.presence.arrive(session)
        return _Client(context, session)


class _Client(Listener):
    """One WebSocket; it only hands things on, since the next frame is not read meanwhile."""

    __slots__ = ("_context", "_session")

    def __init__(self, context: WebSocketContext, session: ClientSession) -> None:
        super().__init__(session.pace)
        self._context = context
        self._session = session

    def on_message(self, message: str | bytes) -> None:
        """Hand a frame on."""
        session = self._session
        if not session.closed:
            self._context.inbound.frame(session, message)

    def on_pong(self, data: bytes) -> None:
        """Hand a pong on."""
        self._session.pong(data)

    def on_ping(self, data: bytes) -> None:
        """Note that the client is there; Tornado answers."""
        self._session.heard = True

    def on_close(self, code: int | None) -> None:
        """See `Listener.on_close`."""
        session = self._session
        self._context.admission.left(session.address)
        session.gone()
        self._context.expiry.drop(session)
        told = {"waits": session.pace.waits} if session.pace.waits else {}
        _log.info(
            "session closed",
            user=session.user,
            session=session.id,
            code=code,
            seconds=round(time.time() - session.since, 1),
            **told,
        )

    def over(self, limit: str) -> None:
        """Count a limit of the connection."""
        self._context.counts.limit(limit)
