"""A connection to the store from its address: opening, checking, and what its errors mean."""

import asyncio
import ssl
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
        self._pool = ConnectionPool.from_url(
            url,
            protocol=3,
            # Ten retries are redis-py's default: a push whose reply was lost would be stored twice.
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=settings.connect_timeout_s,
            # With a limit here redis-py sends through asyncio.wait_for, which may swallow a cancel
            # (cpython#86296): closing would then wait for ever. `connect` has a limit of its own.
            socket_timeout=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            # CLIENT SETINFO is newer than the oldest store that will do; no ACL there can allow it.
            driver_info=None,
        )
        self._settings = settings
        self._timeout_s = settings.connect_timeout_s
        self._secure = urlsplit(url).scheme == "rediss"
        self._tcp = urlsplit(url).scheme == "redis"
        self._pace = Pace()

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
        # redis-py leaves both calls untyped.
        connection = cast(AbstractConnection, cast(Any, self._pool).make_connection())
        if self._secure:
            # Its own would trust the system's issuers beside ours.
            cast(Any, connection).ssl_context.context = tls.context(self._settings)
        try:
            async with asyncio.timeout(self._timeout_s):
                await cast(Any, connection).connect()
        except (AuthenticationError, ResponseError) as exc:
            raise StoreRefused(str(exc)) from exc
        except TimeoutError as exc:
            # A plain server waits for the rest of what it takes for a command.
            hint = f"; {tls.PLAIN_THERE}" if self._secure else ""
            raise Unavailable(self.address, f"no answer in {self._timeout_s:g} s{hint}") from exc
        except (RedisError, OSError) as exc:
            reason = _reason(exc)
            if self._tcp and _was_reset(exc):
                reason += f"; {tls.TLS_THERE}"
            raise Unavailable(self.address, reason) from exc
        return connection


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


def printable_address(url: str) -> str:
    """Return `url` as it may be shown: without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def translate(error: ReplyError, address: str) -> SwitchboardError:
    """Return the error of ours that an error reply stands for.

    Args:
        error: the reply.
        address: of the store, without its password.
    """
    words = str(error)
    meaning = trouble_of(words).meaning
    if meaning in (Meaning.UNAVAILABLE, Meaning.REPEAT):
        return Unavailable(address, words)
    return Garbage(words) if meaning is Meaning.GARBAGE else StoreRefused(words)


def is_noscript(reply: Any) -> bool:
    """Say whether a reply means that the store has forgotten our scripts."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.LOAD


def is_garbage(reply: Any) -> bool:
    """Say whether a reply means that a key holds another type than ours."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.GARBAGE


def is_full(reply: Any) -> bool:
    """Say whether a reply means that the store has no room for what this command might add."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.BUSY


def may_go_again(reply: Any) -> bool:
    """Say whether a reply is an error whose command may be sent once more, as it was."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning in (
        Meaning.LOAD,
        Meaning.REPEAT,
    )


def is_passing(reply: Any) -> bool:
    """Say whether a reply is an error that passes in a moment: nothing ran, send it again."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.REPEAT


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
