"""A connection to the store from its address: opening, checking, and what its errors mean."""

import asyncio
import secrets
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
from router.errors import StoreRefused, SwitchboardError, Unavailable
from router.keys import Keys
from router.model import EndpointId, UserId
from router.service import Services
from router.settings import RedisSettings
from router.store.resp import Argument, pack
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
        settings: time limits.
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
        )
        self._timeout_s = settings.connect_timeout_s
        self._pace = Pace()

    async def turn(self) -> None:
        """Wait until this process may connect once more. Cancel-safe: the turn is used up."""
        await asyncio.sleep(self._pace.wait_s(asyncio.get_running_loop().time()))

    async def connect(self) -> AbstractConnection:
        """Return a new connection, authenticated, speaking RESP3.

        Raises:
            Unavailable: nobody answers there, or not within `connect_timeout_s`.
            StoreRefused: the store wants another password, or is too old for RESP3.

        Cancel-safe: a half-made connection is closed.
        """
        # redis-py leaves both calls untyped.
        connection = cast(AbstractConnection, cast(Any, self._pool).make_connection())
        try:
            async with asyncio.timeout(self._timeout_s):
                await cast(Any, connection).connect()
        except (AuthenticationError, ResponseError) as exc:
            raise StoreRefused(str(exc)) from exc
        except TimeoutError as exc:
            raise Unavailable(self.address, f"no answer in {self._timeout_s:g} s") from exc
        except (RedisError, OSError) as exc:
            raise Unavailable(self.address, _reason(exc)) from exc
        return connection


def _reason(exc: BaseException) -> str:
    """Return the plain words at the bottom of redis-py's chain of errors."""
    while exc.__cause__ is not None or exc.__context__ is not None:
        exc = cast(BaseException, exc.__cause__ or exc.__context__)
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
    if trouble_of(words).meaning in (Meaning.UNAVAILABLE, Meaning.REPEAT):
        return Unavailable(address, words)
    return StoreRefused(words)


def is_noscript(reply: Any) -> bool:
    """Say whether a reply means that the store has forgotten our scripts."""
    return type(reply) is ReplyError and trouble_of(str(reply)).meaning is Meaning.LOAD


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


def rights_probe(keys: Keys) -> tuple[bytes, int]:
    """Return harmless commands, one of each kind we need, and how many they are.

    A user of the store without the rights is then refused at start with the command's name, and
    not in the middle of a delivery: a script that lacks one right of several does half its work.
    """
    # An endpoint of its own: several processes may start at once.
    endpoint, user = EndpointId(f"probe.{secrets.token_hex(5)}"), UserId("probe")
    inbox, listing = keys.inbox(endpoint), keys.users(endpoint)
    commands: list[tuple[Argument, ...]] = [
        # First the push: a BLMOVE that finds nothing takes the server's next tick, up to 100 ms.
        ("RPUSH", inbox, "probe"),
        ("BLMOVE", inbox, inbox, "LEFT", "LEFT", 0.001),
        ("LRANGE", inbox, 1, 1),
        ("LLEN", inbox),
        ("MEMORY", "USAGE", inbox, "SAMPLES", 0),
        ("LTRIM", inbox, 1, 0),
        ("HKEYS", keys.routes(user)),
        ("HGETALL", keys.routes(user)),
        ("SADD", keys.endpoints, endpoint),
        ("SREM", keys.endpoints, endpoint),
        ("SMEMBERS", keys.endpoints),
        ("ZADD", listing, 0, "probe"),
        ("ZCARD", listing),
        ("ZRANGE", listing, "-", "+", "BYLEX", "LIMIT", 0, 1),
        ("ZREM", listing, "probe"),
        *_probe_of_scripts(keys.lease(endpoint), keys.done(endpoint), keys.rescued(endpoint)),
        ("EVAL", "return 1", 0),
        ("CLIENT", "REPLY", "ON"),
        ("TIME",),
    ]
    return b"".join(pack(*command) for command in commands), len(commands)


def _probe_of_scripts(one: str, other: str, third: str) -> list[tuple[Argument, ...]]:
    """Return what scripts do, done to three keys that are free, and are free again afterwards."""
    return [
        ("SET", one, 1, "PX", 60_000),
        ("GET", one),
        ("EXISTS", one),
        ("PTTL", one),
        ("MGET", one, other),
        ("RENAME", one, other),
        ("PEXPIRE", other, 60_000),
        ("INCRBY", other, 1),
        ("DEL", other),
        ("HSET", third, "a", 1),
        ("HSETNX", third, "b", 1),
        ("HGET", third, "a"),
        ("HEXISTS", third, "a"),
        ("HLEN", third),
        ("HVALS", third),
        ("HDEL", third, "a", "b"),
        ("XADD", third, "*", "a", 1),
        ("XINFO", "STREAM", third),
        ("XLEN", third),
        ("XRANGE", third, "-", "+", "COUNT", 1),
        ("XREVRANGE", third, "+", "-", "COUNT", 1),
        ("XTRIM", third, "MAXLEN", 0),
        ("DEL", third),
    ]
