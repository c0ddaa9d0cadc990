"""A connection to the store from its address: opening, checking, and what its errors mean."""

import asyncio
from typing import Any, Final, cast
from urllib.parse import urlsplit

from hiredis import ReplyError
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from router.errors import StoreRefused, SwitchboardError, Unavailable
from router.keys import Keys
from router.model import EndpointId, UserId
from router.service import Services
from router.settings import RedisSettings
from router.store.resp import pack

OLDEST_SERVER: Final = (7, 0)


class Connector:
    """Opens connections to one store.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with its password.
        settings: time limits.
        services: gets the loops that keep these connections up; None when nobody looks at them.
    """

    def __init__(self, url: str, settings: RedisSettings, services: Services | None = None) -> None:
        self.services = services or Services()
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


def translate(error: ReplyError) -> SwitchboardError:
    """Return the error of ours that an error reply stands for."""
    return StoreRefused(str(error))


def is_noscript(reply: Any) -> bool:
    """Say whether a reply means that the store has forgotten our scripts."""
    return type(reply) is ReplyError and str(reply).startswith("NOSCRIPT")


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
    not in the middle of a delivery.
    """
    endpoint, user = EndpointId("probe.0"), UserId("probe")
    inbox = keys.inbox(endpoint)
    commands: list[tuple[str | int | float, ...]] = [
        # First the push: a BLMOVE that finds nothing takes the server's next tick, up to 100 ms.
        ("RPUSH", inbox, "probe"),
        ("BLMOVE", inbox, inbox, "LEFT", "LEFT", 0.001),
        ("LRANGE", inbox, 1, 1),
        ("GET", keys.done(endpoint)),
        ("LLEN", inbox),
        ("MEMORY", "USAGE", inbox, "SAMPLES", 0),
        ("PTTL", keys.lease(endpoint)),
        ("HKEYS", keys.routes(user)),
        ("HGETALL", keys.routes(user)),
        ("SREM", keys.endpoints, "probe.0"),
        ("SADD", keys.endpoints, "probe.0"),
        ("SREM", keys.endpoints, "probe.0"),
        ("SMEMBERS", keys.endpoints),
        ("ZRANGE", keys.users(endpoint), "-", "+", "BYLEX", "LIMIT", 0, 1),
        ("ZREM", keys.users(endpoint), "probe"),
        ("LTRIM", inbox, 1, 0),
        ("CLIENT", "REPLY", "ON"),
        ("TIME",),
    ]
    return b"".join(pack(*command) for command in commands), len(commands)
