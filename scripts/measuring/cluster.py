"""One cluster: a store, nodes, the clients of all users, and whoever sends.

Every cluster has its own of each, so that an idle one adds nothing to what another is charged.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.measuring.children import START_SECONDS, Child, Children, python
from scripts.measuring.http import OK, get
from scripts.measuring.meter import StoreMeter
from scripts.measuring.place import HERE, Place
from scripts.measuring.ports import free_port_range
from scripts.measuring.rabbit import Rabbit
from scripts.measuring.redis_cluster import RedisCluster
from scripts.measuring.store import Store, Stores

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster.

    Args:
        kind: whose processes these are; see `Mode.cluster`.
        nodes: its node processes.
        ports: where they listen, in the same order.
        store: its server, or its Redis Cluster; None where there is none.
        meter: reads a single server's statistics; None where there is none.
        clients: the process with all WebSocket clients.
        drivers: who makes the load: one sender, or the nodes themselves.
        broker: carries the messages where the store does not; None where it does.
    """

    kind: str
    nodes: tuple[Child, ...]
    ports: tuple[int, ...]
    store: Store | RedisCluster | None
    meter: StoreMeter | None
    clients: Child
    drivers: tuple[Child, ...]
    broker: Rabbit | None = None

    @property
    def server_pids(self) -> list[int]:
        """Return the processes of store and broker."""
        of_store = self.store.pids if self.store is not None else []
        return of_store + ([self.broker.pid] if self.broker is not None else [])

    async def restart_bus(self, away_s: float) -> None:
        """Kill what carries the messages, and start it again after `away_s`.

        Raises:
            ServerFailed: it does not come back.
        """
        bus = self.broker or self.store
        assert isinstance(bus, Rabbit | Store)
        await bus.restart(away_s)

    async def stop(self, children: Children, stores: Stores) -> None:
        """End all of its processes; the store last, so that nodes can say goodbye to it."""
        if self.meter is not None:
            self.meter.close()
        await children.stop(list({self.clients, *self.nodes, *self.drivers}))
        if self.store is not None:
            stores.stop(self.store)


# All clients come at once, and how fast they can is measured.
_CROWDS = {"SWITCHBOARD_LIMITS__HANDSHAKES_PER_SECOND": "100000"}


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now, all different."""
    first = free_port_range(count)
    return list(range(first, first + count))


async def start_node(
    children: Children,
    label: str,
    name: str,
    port: int,
    env: Mapping[str, str],
    place: Place = HERE,
) -> Child:
    """Start a node of the product and wait until it takes sessions.

    Args:
        children: owns the process.
        label: what errors call it; unique.
        name: its `node.name`.
        port: where it shall listen.
        env: its settings.
        place: the host that it runs on.

    Raises:
        ChildFailed: it ended, or was not ready in time.
    """
    quiet = {"SWITCHBOARD_LOG__LEVEL": "warning", **_CROWDS, **env}
    command = python("node.cli", "serve", "--name", name, "--port", str(port))
    node = await children.start(label, place.command(command), quiet)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _is_ready(port, place):
                if not node.running():
                    raise node.failure("did not start")
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError as exc:
        raise node.failure(f"not ready within {START_SECONDS:g} s") from exc
    return node


async def start_sender(
    children: Children, label: str, module: str, progress: Path, env: Mapping[str, str]
) -> Child:
    """Start a sender that hears of the clients' progress on the unix socket `progress`."""
    command = python(module, "--progress", str(progress))
    return await children.start(label, command, env, talks=True)


async def start_clients(children: Children, label: str) -> Child:
    """Start the process of the clients; `connect` is up to the caller."""
    return await children.start(label, python("scripts.measuring.clients"), talks=True)


def spread(ports: Sequence[int], users: int) -> list[int]:
    """Return each user's port: user i is held by node i modulo the number of nodes."""
    return [ports[user % len(ports)] for user in range(users)]


async def _is_ready(port: int, place: Place) -> bool:
    try:
        status, _ = await get(port, "/readyz", place)
    except OSError:
        return False
    return status == OK
