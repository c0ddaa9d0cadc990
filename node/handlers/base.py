"""What every handler of the API does: guard, read the body, check it, describe itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar

import msgspec
from tornado.web import HTTPError, stream_request_body

from node.auth import Gate, Scope
from node.auth.origins import Origins
from node.auth.tickets import Tickets
from node.handlers.problem import RETRY_AFTER_S, ProblemHandler
from node.handlers.schemas import from_body, from_query
from node.observe.metrics import Metrics
from node.pace import Limits
from router.aio import MAX_USERS_PER_CALL, Router
from router.errors import SwitchboardError, TooLarge
from router.model import MAX_USER_CHARACTERS
from router.trace import Trace

# What is read from the connection and thrown away, so that a client that is still sending gets to
# read why it was refused; beyond this the connection is cut.
MAX_BODY_BYTES: Final = 100 * 1024 * 1024
_OVERHEAD_BYTES: Final = 64 * 1024
_ASK_AGAIN_S: Final = 600
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
USER_BYTES: Final = 4 * MAX_USER_CHARACTERS + 4
USER_LIST_BYTES: Final = MAX_USERS_PER_CALL * USER_BYTES


@dataclass(frozen=True, slots=True)
class ApiContext:
    """What the handlers of the API need of their node.

    Args:
        router: sends, and asks the registry.
        gate: says who may call.
        not_ready: says why no new session should come here; None while they may.
        document: the OpenAPI document, encoded.
        tickets: makes one-time tickets.
        origins: which pages of other sites may read the answers.
        metrics: what `/metrics` shows; None when it is switched off.
        limits: in force.
    """

    router: Router
    gate: Gate
    not_ready: Callable[[], str | None]
    document: bytes
    tickets: Tickets
    origins: Origins
    metrics: Metrics | None
    limits: Limits


class Source(Enum):
    """Where a handler's input stands."""

    NOWHERE = "nowhere"
    BODY = "body"
    QUERY = "query"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one address, as the OpenAPI document describes it.

    Args:
        summary: what it does.
        scope: what a caller must be allowed to do; None for what everybody may ask.
        source: where its input stands.
        takes: what checks the input.
        gives: what it answers.
        statuses: of the answers that are no errors.
        media_type: of the answer, if it is not JSON.
        keyed: whether it heeds the header `Idempotency-Key`.
        asks: what is in its query, where its input stands in the body; None for nothing.
    """

    summary: str
    scope: Scope | None
    source: Source
    takes: type[msgspec.Struct]
    gives: type[msgspec.Struct] | None
    statuses: tuple[int, ...]
    media_type: str = "application/json"
    keyed: bool = False
    asks: type[msgspec.Struct] | None = None


H = TypeVar("H", bound="ApiHandler")
S = TypeVar("S", bound=msgspec.Struct)
P = ParamSpec("P")


def operation(
    summary: str,
    *,
    scope: Scope | None,
    gives: type[msgspec.Struct] | None,
    takes: type[S],
    source: Source = Source.BODY,
    statuses: tuple[int, ...] = (200,),
    media_type: str = "application/json",
    keyed: bool = False,
    asks: type[msgspec.Struct] | None = None,
) -> Callable[
    [Callable[Concatenate[H, S, P], Awaitable[None]]], Callable[Concatenate[H, P], Awaitable[None]]
]:
    """Hand a handler's method its input, checked; and note what the OpenAPI document must say.

    One and the same struct does both, so the document cannot be wrong about it.

    Args:
        summary: what the method does.
        scope: what a caller must be allowed to do; None for what everybody may ask.
        gives: what it answers; None for a document of its own.
        takes: what its input must be.
        source: where that stands.
        statuses: of the answers that are no errors.
        media_type: of the answer, if it is not JSON.
        keyed: whether it heeds the header `Idempotency-Key`.
        asks: what is in its query, where its input stands in the body; None for nothing.
    """

    def decorate(
        method: Callable[Concatenate[H, S, P], Awaitable[None]],
    ) -> Callable[Concatenate[H, P], Awaitable[None]]:
        @wraps(method)
        async def wrapper(self: H, /, *args: P.args, **kwargs: P.kwargs) -> None:
            await method(self, self.read(source, takes), *args, **kwargs)

        described = Operation(
            summary, scope, source, takes, gives, statuses, media_type, keyed, asks
        )
        wrapper.operation = described  # type: ignore[attr-defined]
        return wrapper

    return decorate


@stream_request_body
class ApiHandler(ProblemHandler):
    """A handler of the API.

    The body is collected here and not by Tornado, so that one that is too large is never held, and
    is answered with a problem document.
    """

    extra_bytes = 0
    """How much longer than data and its wrapping a body may be."""

    def initialize(self, context: ApiContext) -> None:
        """See `tornado.web.RequestHandler.initialize`."""
        self.context = context
        self.router = context.router
        self._refusal: SwitchboardError | None = None
        self._body = bytearray()
        self._received = 0
        max_data = self.router.member.settings.node.max_message_bytes
        self._limit = max_data + _OVERHEAD_BYTES + self.extra_bytes
        self._share()

    def set_default_headers(self) -> None:
        """See `ProblemHandler`; pages that are listed may read refusals, too."""
        super().set_default_headers()
        if hasattr(self, "context"):  # not at first, but whenever an error has cleared the headers
            self._share()

    def _share(self) -> None:
        """Let a page of another site read the answer, if that is listed; nobody's cookies count.

        Source: https://fetch.spec.whatwg.org/#http-cors-protocol
        """
        if self.context.origins.lists(self.request):
            self.set_header("Access-Control-Allow-Origin", self.request.headers["Origin"])
            self.set_header("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
            self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
            self.set_header("Vary", "Origin")

    def options(self, *_: str, **__: str) -> None:
        """Tell the browser of a page that is listed what it may send; nobody else may ask."""
        if not self.context.origins.lists(self.request):
            raise HTTPError(405)
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.methods()))
        self.set_header(
            "Access-Control-Allow-Headers", f"Authorization, Content-Type, {IDEMPOTENCY_KEY}"
        )
        self.set_header("Access-Control-Max-Age", str(_ASK_AGAIN_S))
        self.set_status(204)

    def prepare(self) -> Awaitable[None] | None:
        """Refuse a body before it is sent, if its sender asks first or it is beyond all measure.

        Everything else is refused after the body was read: an answer that comes before makes
        Tornado cut the connection, and a client that is still sending may never read it. Nothing
        is kept of the body of somebody who may not call.

        Raises:
            Unauthenticated, Forbidden: this caller may not call.
            TooLarge: as its header says.
        """
        self.refuse_early(self._who_may_not())
        return None

    def refuse_early(self, refusal: SwitchboardError | None) -> None:
        """Do what `prepare` says.

        Args:
            refusal: why this caller may not call; None if they may.
        """
        self._refusal = refusal
        headers = self.request.headers
        given = headers.get("Content-Length", "")
        length = int(given) if given.isdecimal() else 0  # what is no number, Tornado refuses
        asks_first = headers.get("Expect", "").lower() == "100-continue"
        if refusal is not None:
            if asks_first or length == 0:
                raise refusal
            self._limit = 0
        if length > MAX_BODY_BYTES or (asks_first and length > self._limit):
            raise TooLarge("body", length, self._limit)

    def _who_may_not(self) -> SwitchboardError | None:
        """Return why this caller may not call."""
        method = getattr(self, (self.request.method or "").lower(), None)
        wanted: Operation | None = getattr(method, "operation", None)
        if wanted is None or wanted.scope is None:
            return None
        try:
            self.context.gate.authorize(self.request, wanted.scope)
        except SwitchboardError as exc:
            return exc
        return None

    def data_received(self, chunk: bytes) -> None:
        """Collect the body, as far as it is not too large."""
        self._received += len(chunk)
        if self._received <= self._limit:
            self._body += chunk

    def read(self, source: Source, schema: type[S]) -> S:
        """Return this request's input.

        Raises:
            Unauthenticated, Forbidden: this caller may not call.
            TooLarge, InvalidRequest: the input cannot be used.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._received > self._limit:
            raise TooLarge("body", self._received, self._limit)
        if source is Source.NOWHERE:
            return schema()
        if source is Source.BODY:
            return from_body(self._body, schema)
        asked = from_query(self.request.query_arguments, schema)
        # A body outranks the query; a query that cannot be used is refused all the same.
        return from_body(self._body, schema) if source is Source.EITHER and self._body else asked

    def watched(self, *, noted: bool = False) -> Trace | None:
        """Return who watches what this request sends; see `router.tracing.Traces.wanted`."""
        header = self.request.headers.get("traceparent")
        return self.router.member.traces.wanted(header, noted=noted)

    def answer(self, view: msgspec.Struct, status: int = 200) -> None:
        """Finish with `view` as JSON; a busy cluster says when to come back."""
        if status == 503:
            self.set_header("Retry-After", str(RETRY_AFTER_S))
        super().answer(view, status)
