"""What every handler of the API does: guard, read the body, check it, describe itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import msgspec
from tornado.web import stream_request_body

from node.auth import dev_origin
from node.handlers.problem import RETRY_AFTER_S, Forbidden, ProblemHandler
from node.handlers.schemas import from_body, from_query
from router.aio import MAX_USERS_PER_CALL, Router
from router.errors import TooLarge
from router.model import MAX_USER_CHARACTERS
from router.settings import is_loopback

# What is read from the connection and thrown away, so that a client that is still sending gets to
# read why it was refused; beyond this the connection is cut.
MAX_BODY_BYTES: Final = 100 * 1024 * 1024
_OVERHEAD_BYTES: Final = 64 * 1024
USER_LIST_BYTES: Final = MAX_USERS_PER_CALL * (4 * MAX_USER_CHARACTERS + 4)


@dataclass(frozen=True, slots=True)
class ApiContext:
    """What the handlers of the API need of their node.

    Args:
        router: sends, and asks the registry.
        not_ready: says why no new session should come here; None while they may.
        document: the OpenAPI document, encoded.
    """

    router: Router
    not_ready: Callable[[], str | None]
    document: bytes


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
        source: where its input stands.
        takes: what checks the input.
        gives: what it answers.
        statuses: of the answers that are no errors.
    """

    summary: str
    source: Source
    takes: type[msgspec.Struct]
    gives: type[msgspec.Struct] | None
    statuses: tuple[int, ...]


H = TypeVar("H", bound="ApiHandler")
S = TypeVar("S", bound=msgspec.Struct)
P = ParamSpec("P")


def operation(
    summary: str,
    *,
    gives: type[msgspec.Struct] | None,
    takes: type[S],
    source: Source = Source.BODY,
    statuses: tuple[int, ...] = (200,),
) -> Callable[
    [Callable[Concatenate[H, S, P], Awaitable[None]]], Callable[Concatenate[H, P], Awaitable[None]]
]:
    """Hand a handler's method its input, checked; and note what the OpenAPI document must say.

    One and the same struct does both, so the document cannot be wrong about it.

    Args:
        summary: what the method does.
        gives: what it answers; None for a document of its own.
        takes: what its input must be.
        source: where that stands.
        statuses: of the answers that are no errors.
    """

    def decorate(
        method: Callable[Concatenate[H, S, P], Awaitable[None]],
    ) -> Callable[Concatenate[H, P], Awaitable[None]]:
        @wraps(method)
        async def wrapper(self: H, /, *args: P.args, **kwargs: P.kwargs) -> None:
            await method(self, self.read(source, takes), *args, **kwargs)

        wrapper.operation = Operation(summary, source, takes, gives, statuses)  # type: ignore[attr-defined]
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
        self._body = bytearray()
        self._received = 0
        max_data = self.router.member.settings.node.max_message_bytes
        self._limit = max_data + _OVERHEAD_BYTES + self.extra_bytes

    def prepare(self) -> None:
        """Refuse a body before it is sent, if its sender asks first or it is beyond all measure.

        Everything else is refused after the body was read: an answer that comes before makes
        Tornado cut the connection, and a client that is still sending may never read it.

        Raises:
            TooLarge: as its header says.
        """
        headers = self.request.headers
        given = headers.get("Content-Length", "")
        length = int(given) if given.isdecimal() else 0  # what is no number, Tornado refuses
        asks_first = headers.get("Expect", "").lower() == "100-continue"
        if length > MAX_BODY_BYTES or (asks_first and length > self._limit):
            raise TooLarge("body", length, self._limit)

    def data_received(self, chunk: bytes) -> None:
        """Collect the body, as far as it is not too large."""
        self._received += len(chunk)
        if self._received <= self._limit:
            self._body += chunk

    def read(self, source: Source, schema: type[S]) -> S:
        """Return this request's input.

        Raises:
            Forbidden: this caller may not call.
            TooLarge, InvalidRequest: the input cannot be used.
        """
        if self.router.member.settings.auth.mode == "dev":
            check_local(self.request.host, self.request.headers.get("Origin"))
        if self._received > self._limit:
            raise TooLarge("body", self._received, self._limit)
        if source is Source.BODY or (source is Source.EITHER and self._body):
            return from_body(self._body, schema)
        if source is Source.NOWHERE:
            return schema()
        return from_query(self.request.query_arguments, schema)

    def answer(self, view: msgspec.Struct, status: int = 200) -> None:
        """Finish with `view` as JSON; a busy cluster says when to come back."""
        if status == 503:
            self.set_header("Retry-After", str(RETRY_AFTER_S))
        super().answer(view, status)


def check_local(host: str, origin: str | None) -> None:
    """Let only this machine's own programs and pages call: nobody is asked for a key.

    Any page a browser on this machine shows can send requests here: with its own Origin, or,
    having pointed its own name at 127.0.0.1 (DNS rebinding), with its own Host.

    Args:
        host: of the request.
        origin: of the page; None when no page sent it.

    Raises:
        Forbidden: from elsewhere.
    """
    if not is_loopback(_hostname(f"//{host}")):
        raise Forbidden(f"Host: '{host}' is not this machine; in auth.mode \"dev\" it must be")
    if origin is not None and not dev_origin(origin):
        raise Forbidden(f"Origin: a page from '{origin}' may not call this node")


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
