"""A connection to the store from its address: opening, checking, and what its errors mean."""

import asyncio
import copy
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from urllib.parse import urlsplit

from hiredis import ReplyError
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from router.counts import Counts
from router.errors import Garbage, StoreRefused, SwitchboardError, Unavailable
from router.service import Services
from router.settings import RedisSettings
from router.store import tls
from router.store.trouble import Meaning, trouble_of
from router.urls import printable_address

OLDEST_SERVER: Final = (7, 0)
# Connections that one process may make again at once, and the seconds between further ones. A
# thousand processes at one store: what each of them does when it returns is done a thousand times.
_BURST: Final = 4
_EVERY_S: Final = 0.5


class Pace:
    """Spreads the reconnects of one process: some at once, then two a second; pure."""

    def __init__(self) -> None:
        self._earned_at = 0.0

    def wait_s(self, now: float) -> float:
        """Take the next turn; return how many seconds after `now`, seconds, it comes."""
        earned_at = max(self._earned_at, now)
        self._earned_at = earned_at + _EVERY_S
        return max(0.0, earned_at - (_BURST - 1) * _EVERY_S - now)


class Connector:
    """Opens connections to one store.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with its password.
        settings: time limits, and TLS.
        services: gets the loops that keep these connections up; None when nobody looks at them.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        url: str,
        settings: RedisSettings,
        services: Services | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.services = services or Services()
        self.counts = counts or Counts()
        self.address = printable_address(url)
        self.reply_timeout_s = settings.reply_timeout_s
        self.url = url
        self._settings = settings
        self._timeout_s = settings.connect_timeout_s
        self._pace = Pace()
        self._where: Callable[[], Awaitable[str]] = self._there

    async def _there(self) -> str:
        return self.url

    def aimed(self, address: str, where: Callable[[], Awaitable[str]]) -> "Connector":
        """Return a connector to another server of the same store, which shares all else.

        Args:
            address: to be shown.
            where: awaited before each connection; returns the server's URL, or raises as `connect`.
        """
        other = copy.copy(self)
        other.address = address
        other._where = where  # noqa: SLF001 - of our own kind
        return other

    def towards(self, key: Callable[[], str]) -> "Connector":
        """Return a connector to the server that holds a key: here the only one.

        Args:
            key: returns it; asked before each connection.
        """
        return self

    def watch(self, moved: Callable[[str], None]) -> None:
        """Call `moved` again and again with the address that a connection must lead to.

        Only where nobody who is connected would be told that it is another one by now: not here.
        """

    async def unwatch(self, moved: Callable[[str], None]) -> None:
        """Undo `watch`."""

    async def turn(self) -> None:
        """Wait until this process may connect once more. Cancel-safe: the turn is used up."""
        await asyncio.sleep(self._pace.wait_s(asyncio.get_running_loop().time()))

    async def connect(self) -> AbstractConnection:
        """Return a new connection, authenticated, speaking RESP3.

        Raises:
            Unavailable: nobody answers there, or not within `connect_timeout_s`.
            StoreRefused: the store wants another password, or is too old for RESP3.
            InvalidSettings: a file of the settings for TLS cannot be used.

        Cancel-safe: a half-made connection is closed.
        """
        return await self.dial(await self._where())

    async def dial(self, url: str) -> AbstractConnection:
        """Return a new connection to the server at `url`; see `connect`."""
        # redis-py leaves both calls untyped.
        connection = cast(AbstractConnection, cast(Any, self._pool(url)).make_connection())
        scheme, address = urlsplit(url).scheme, printable_address(url)
        if scheme == "rediss":
            # Its own would trust the system's issuers beside ours.
            cast(Any, connection).ssl_context.context = tls.context(self._settings)
        try:
            async with asyncio.timeout(self._timeout_s):
                await cast(Any, connection).connect()
        except (AuthenticationError, ResponseError) as exc:
            raise StoreRefused(str(exc)) from exc
        except TimeoutError as exc:
            # A plain server waits for the rest of what it takes for a command.
            hint = f"; {tls.PLAIN_THERE}" if scheme == "rediss" else ""
            raise Unavailable(address, f"no answer in {self._timeout_s:g} s{hint}") from exc
        except (RedisError, OSError) as exc:
            reason = _reason(exc)
            if scheme == "redis" and _was_reset(exc):
                reason += f"; {tls.TLS_THERE}"
            raise Unavailable(address, reason) from exc
        return connection

    async def query(self, url: str, *command: str) -> Any:
        """Return what the server at `url` answers to one command, on a connection of its own.

        Raises:
            Unavailable: as `connect`, or no answer in `reply_timeout_s`.
            StoreRefused: as `connect`, or an error reply.
        """
        connection = await self.dial(url)
        try:
            return await self.query_on(connection, url, *command)
        finally:
            await cast(Any, connection).disconnect(nowait=True)

    async def query_on(self, connection: AbstractConnection, url: str, *command: str) -> Any:
        """Return what the server at `url` answers on a connection to it; raises as `query`."""
        untyped = cast(Any, connection)
        try:
            async with asyncio.timeout(self.reply_timeout_s):
                await untyped.send_command(*command)
                return await untyped.read_response()
        except ResponseError as exc:
            raise StoreRefused(str(exc)) from exc
        except (RedisError, OSError) as exc:
            raise Unavailable(printable_address(url), _reason(exc)) from exc

    def _pool(self, url: str) -> ConnectionPool:
        """Return what makes connections to `url` with our options; it keeps none."""
        return ConnectionPool.from_url(
            url,
            protocol=3,
            # Ten retries are redis-py's default: a push whose reply was lost would be stored twice.
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=self._timeout_s,
            # With a limit here redis-py sends through asyncio.wait_for, which may swallow a cancel
            # (cpython#86296): closing would then wait for ever. `connect` has a limit of its own.
            socket_timeout=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            # CLIENT SETINFO is newer than the oldest store that will do; no ACL there can allow it.
            driver_info=None,
        )


def _bottom(exc: BaseException) -> BaseException:
    """Return the error with which redis-py's chain of errors began."""
    while exc.__cause__ is not None or exc.__context__ is not None:
        exc = cast(BaseException, exc.__cause__ or exc.__context__)
    return exc


def _was_reset(exc: BaseException) -> bool:
    """Say whether somebody was there, and hung up on our first words: so does a server with TLS."""
    return isinstance(_bottom(exc), ConnectionResetError | asyncio.IncompleteReadError)


def _reason(exc: BaseException) -> str:
    """Return the plain words at the bottom of redis-py's chain of errors."""
    exc = _bottom(exc)
    if isinstance(exc, ssl.SSLError):
        return tls.reason(exc)
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.partition("[")[0].strip() or str(exc)
    return str(exc) or type(exc).__name__


def translate(error: ReplyError, address: str) -> SwitchboardError:
    """Return the error of ours that an error reply stands for.

    Args:
        error: the reply.
        address: of the store, without its password.
    """
    words = str(error)
    meaning = trouble_of(words).meaning
    if meaning in (Meaning.UNAVAILABLE, Meaning.REPEAT, Meaning.MOVED, Meaning.ASK):
        return Unavailable(address, words)
    return Garbage(words) if meaning is Meaning.GARBAGE else StoreRefused(words)


def is_noscript(reply: Any) -> bool:
    """Say whether a reply means that the store has forgotten our scripts."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.LOAD


def is_on_its_way(reply: Any) -> bool:
    """Say whether a reply means that the key is just being given to another server."""
    meaning = trouble_of(str(reply)).meaning if type(reply) is ReplyError else None
    return meaning in (Meaning.ASK, Meaning.REPEAT)


def is_garbage(reply: Any) -> bool:
    """Say whether a reply means that a key holds another type than ours."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.GARBAGE


def is_full(reply: Any) -> bool:
    """Say whether a reply means that the store has no room for what this command might add."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.BUSY


def check_version(info: bytes) -> None:
    """Refuse a store that is too old.

    Args:
        info: the reply to INFO server.

    Raises:
        StoreRefused: naming its version and ours.
    """
    text = info.decode("utf-8", "replace")
    fields = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
    version = fields.get("redis_version", "0")
    major, minor = (int(part) for part in (version + ".0").split(".")[:2])
    if (major, minor) < OLDEST_SERVER:
        raise StoreRefused(f"it is Redis {version}, and 7.0 is the oldest that will do")
