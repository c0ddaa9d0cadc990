"""Who looks into the store, whatever kind of store it is."""

from typing import Any, cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from scripts.faults.masters import Servers
from scripts.measuring import redis_cluster, sentinels
from scripts.measuring.store_servers import HOST

_TIMEOUT_S = 5.0


class _Followed(Redis):
    """A client of the master that Sentinels name; it closes its clients of them, too."""

    watching: Any

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Disconnect from all of them."""
        await super().aclose(close_connection_pool)
        for sentinel in self.watching.sentinels:
            await sentinel.aclose()


def reader(url: str) -> Any:
    """Return a client of a single server."""
    return Redis.from_url(url, **_options())


def reader_of(servers: Servers) -> Any:
    """Return a client that follows masters wherever they are."""
    if isinstance(servers, redis_cluster.RedisCluster):
        return RedisCluster(
            startup_nodes=[ClusterNode(HOST, server.port) for server in servers.servers],
            password=servers.secrets.admin,
            socket_timeout=_TIMEOUT_S,
        )
    watching: Any = cast(Any, Sentinel)(
        [(HOST, server.port) for server in servers.sentinels],
        sentinel_kwargs={"socket_timeout": _TIMEOUT_S},
    )
    found: Any = watching.master_for(
        sentinels.NAME, redis_class=_Followed, password=servers.secrets.admin, **_options()
    )
    found.watching = watching
    return found


def _options() -> dict[str, Any]:
    return {
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "socket_timeout": _TIMEOUT_S,
    }
