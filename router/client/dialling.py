"""Making a connection: the handshake and the welcome."""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from router.client.arrivals import Arrivals
from router.client.backlog import Backlog
from router.client.connection import CLOSE_S, Connection
from router.client.frames import PROTOCOL, Goodbye, Welcome, read
from router.client.policy import LOST, Ending
from router.client.sends import Sends
from router.client.words import Options
from router.errors import InvalidRequest


class _Discreet(logging.LoggerAdapter[logging.Logger]):
    """The library's own logger, without its record of every handshake: a token stands in it."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        """See `logging.Logger.isEnabledFor`."""
        return level > logging.DEBUG and super().isEnabledFor(level)


_logger: Final = _Discreet(logging.getLogger("websockets.client"))


class Refusal(Exception):
    """There is no connection.

    Args:
        ending: why, in the words of a connection that has ended.
    """

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


def check_urls(urls: Sequence[str]) -> None:
    """Raise `InvalidRequest` unless these are addresses to connect to."""
    if not urls:
        raise InvalidRequest("urls", "at least one is needed")
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise InvalidRequest("urls", f"'{url}' is no address like ws://host:port/ws")


def address_of(url: str, user: str | None, device: str, since: str) -> str:
    """Return where to connect: `url` with the query that the node reads.

    Args:
        url: of the client's list; its own query stays.
        user: for `auth.mode = "dev"`; None where a token says it.
        device: name of this session.
        since: offset after which to resume; "" for none.
    """
    parts = urlsplit(url)
    query = {"user": user, "device": device, "since": since, "ack": "manual"}
    ours = urlencode({name: value for name, value in query.items() if value})
    return urlunsplit(parts._replace(query=f"{parts.query}&{ours}" if parts.query else ours))


class Dialler:
    """Makes connections.

    Args:
        user, device: see `address_of`.
        arrivals, sends, backlog, options: for the connections.
        tls: for `wss`; None for the usual checks.
    """

    def __init__(
        self,
        user: str | None,
        device: str,
        arrivals: Arrivals,
        sends: Sends,
        backlog: Backlog,
        options: Options,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._user = user
        self._device = device
        self._arrivals = arrivals
        self._sends = sends
        self._backlog = backlog
        self._options = options
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls}

    async def dial(self, url: str, since: str, token: str | None) -> Connection:
        """Return a connection that was welcomed.

        When it is cancelled the connection is cut.

        Args:
            url, since: see `address_of`.
            token: for `Authorization`; None for none.

        Raises:
            Refusal: there is none.
        """
        try:
            async with asyncio.timeout(self._options.dial_timeout_s):
                address = address_of(url, self._user, self._device, since)
                return await self._dial(address, token)
        except InvalidStatus as exc:
            raise Refusal(_refused(exc)) from exc
        except TimeoutError as exc:
            words = f"no welcome within {self._options.dial_timeout_s:g} s"
            raise Refusal(Ending(LOST, words)) from exc
        except (OSError, InvalidHandshake, EOFError) as exc:
            raise Refusal(Ending(LOST, f"the node cannot be reached: {exc}")) from exc

    async def _dial(self, address: str, token: str | None) -> Connection:
        socket = await connect(
            address,
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
            open_timeout=None,  # ours
            ping_interval=None,  # a `ping` frame does the same, and works behind every proxy
            close_timeout=CLOSE_S,
            max_size=self._options.max_frame_bytes,
            compression=None,
            logger=_logger,
            **self._tls,
        )
        try:
            return await self._welcomed(socket)
        except BaseException:
            socket.transport.abort()
            raise

    async def _welcomed(self, socket: ClientConnection) -> Connection:
        goodbye: Goodbye | None = None
        try:
            while True:
                frame = read(await socket.recv())
                if isinstance(frame, Welcome):
                    break
                if isinstance(frame, Goodbye):
                    goodbye = frame
        except ConnectionClosed as exc:
            code, reason = (LOST, "") if exc.rcvd is None else (exc.rcvd.code, exc.rcvd.reason)
            asked_ms = goodbye.reconnect_after_ms if goodbye is not None else None
            after_s = None if asked_ms is None else max(0.0, asked_ms / 1_000)
            words = reason or "the connection was lost before it was welcomed"
            raise Refusal(Ending(code, words, after_s)) from exc
        except ValueError as exc:
            raise Refusal(Ending(LOST, f"this is no node: {exc}")) from exc
        return Connection(socket, frame, self._arrivals, self._sends, self._backlog, self._options)


def _refused(exc: InvalidStatus) -> Ending:
    response = exc.response
    asked = response.headers.get("Retry-After", "")
    after_s = float(asked) if asked.isascii() and asked.isdigit() else None
    words = f"the node refused the connection: {response.status_code} {response.reason_phrase}"
    return Ending(response.status_code, words, after_s)
