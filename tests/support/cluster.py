"""Several real nodes in this process, on a real store, under a key prefix of their own."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from node.frames import JSON_PROTOCOL
from node.node import Node
from router.aio import Router
from router.keys import Keys
from router.model import EndpointId, UserId
from router.settings import Settings
from tests.support.clients import Client
from tests.support.route_fields import shown
from tests.support.valkey import as_admin, several

# Short, so that what takes a lease or a peek to end does not take a test long.
_FAST: Final[dict[str, dict[str, Any]]] = {
    "lease": {"ttl_s": 2.0, "heartbeat_s": 0.4},
    "inbox": {"block_s": 0.5},
    "node": {"port": 0, "drain_s": 5.0},
}
# A test has no time to be slow in: those about limits name their own.
_NO_LIMITS: Final = {
    "frames_per_second": 1e6,
    "frames_burst": 1_000_000,
    "bytes_per_second": 1_000_000_000,
    "user_messages_per_second": 1e6,
    "user_messages_burst": 1_000_000,
    "user_sessions": 10_000,
    "handshakes_per_second": 1e6,
}
Overrides = dict[str, Any]


def unique_prefix() -> str:
    """Return a key prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


def fast_settings(prefix: str, url: str = "", **overrides: Overrides) -> Settings:
    """Return settings with short times.

    Args:
        prefix: of the keys.
        url: of the store, if it may be several servers.
        overrides: section -> key -> value.
    """
    sections = {name: dict(values) for name, values in _FAST.items()}
    sections["registry"] = {"prefix": prefix}
    sections["limits"] = dict(_NO_LIMITS)
    if url in several:
        sections["redis"] = dict(several[url])
    for name, values in overrides.items():
        sections[name] = {**sections.get(name, {}), **values}
    return Settings.model_validate(sections)


def plain_redis(url: str) -> Any:
    """Return a `redis.asyncio.Redis`, which nobody of ours wrote, for looking and doing harm.

    It may do everything (`as_admin`). Its methods' types are unions over all of its settings, and
    help nobody.
    """
    kind = RedisCluster if several.get(url, {}).get("mode") == "cluster" else Redis
    return kind.from_url(
        as_admin(url),
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


class Cluster:
    """Real nodes, each with a port of its own; use it as an async context manager.

    At the end the nodes still running are stopped.

    Args:
        url: of the store.
        nodes: how many to start.
        prefix: of the keys; None for one that nobody else has.
        overrides: settings: section -> key -> value.
    """

    def __init__(
        self, url: str, nodes: int = 3, *, prefix: str | None = None, **overrides: Overrides
    ) -> None:
        self.url = url
        self.prefix = prefix or unique_prefix()
        self.keys = Keys(self.prefix)
        self.nodes: list[Node] = []
        self._names = [f"n{number}" for number in range(1, nodes + 1)]
        self._overrides = overrides
        self._exits = contextlib.AsyncExitStack()
        self.redis = plain_redis(url)

    async def __aenter__(self) -> Self:
        self._exits.push_async_callback(self.redis.aclose)
        try:
            for name in self._names:
                await self.start(name)
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    # ---- nodes ------------------------------------------------------------------------------

    def settings(self, **overrides: Overrides) -> Settings:
        """Return the cluster's settings with some changed."""
        merged = {name: dict(values) for name, values in self._overrides.items()}
        for name, values in overrides.items():
            merged[name] = {**merged.get(name, {}), **values}
        return fast_settings(self.prefix, self.url, **merged)

    async def start(self, name: str, url: str | None = None, **overrides: Overrides) -> Node:
        """Start one more node.

        Args:
            name: its name.
            url: of the store as this node shall see it; None for the cluster's.
            overrides: settings of this node: section -> key -> value.
        """
        overrides["node"] = {"name": name, **overrides.get("node", {})}
        node = Node(self.settings(**overrides), url or self.url)
        node.listen()
        self._exits.push_async_callback(self.stop, node)
        self.nodes.append(node)
        await node.open()
        return node

    async def stop(self, node: Node) -> None:
        """Stop a node, as SIGTERM does. Idempotent."""
        if node in self.nodes:
            self.nodes.remove(node)
            await node.stop()

    # ---- clients and senders ----------------------------------------------------------------

    async def connect(
        self,
        node: int | Node,
        user: str,
        *,
        device: str = "default",
        protocol: str | None = JSON_PROTOCOL,
        welcomed: bool = True,
        since: str = "",
        ack: str = "auto",
    ) -> Client:
        """Return a client of `user` on a node (or the node at that index), welcomed by then."""
        holder = self.nodes[node] if isinstance(node, int) else node
        client = await Client.open(
            holder.address,
            user,
            device=device,
            protocol=protocol,
            welcomed=welcomed,
            since=since,
            ack=ack,
        )
        self._exits.push_async_callback(client.close)
        return client

    @contextlib.asynccontextmanager
    async def router(self, **overrides: Overrides) -> AsyncIterator[Router]:
        """Run a Router of this cluster: another process's view of it."""
        async with Router.connect(self.url, self.settings(**overrides)) as router:
            yield router

    # ---- looking ----------------------------------------------------------------------------

    def received(self) -> list[int]:
        """Return how many messages each node has taken from its inbox."""
        return [node.member.counts.received for node in self.nodes]

    def delivered(self) -> list[int]:
        """Return how many messages each node has written to a socket."""
        return [node.delivery.counts.delivered for node in self.nodes]

    async def routes(self, user: str) -> set[str]:
        """Return the registry's fields of a user: `endpoint/session`."""
        return shown(await self.redis.hkeys(self.keys.routes(UserId(user))))

    async def inbox(self, node: int | Node) -> int:
        """Return how many envelopes wait in a node's inbox."""
        holder = self.nodes[node] if isinstance(node, int) else node
        return int(await self.redis.llen(self.keys.inbox(endpoint_of(holder))))

    async def left_behind(self) -> list[str]:
        """Return every key of this cluster, sorted."""
        keys = [key.decode() async for key in self.redis.scan_iter(f"{self.prefix}:*", count=1_000)]
        return sorted(keys)


def endpoint_of(node: Node) -> EndpointId:
    """Return the endpoint that a running node is now."""
    endpoint = node.member.endpoint.id
    assert endpoint is not None
    return endpoint


def fields_of(clients: Iterable[Client], nodes: Sequence[Node]) -> set[str]:
    """Return the routes that the registry must hold for these clients."""
    by_name = {node.router.member.settings.node.name: endpoint_of(node) for node in nodes}
    return {f"{by_name[client.node]}/{client.session}" for client in clients}
