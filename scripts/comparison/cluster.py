"""The clusters of the comparison: the same node program, one setting different."""

import asyncio
from pathlib import Path
from typing import get_args

from router.settings import DeliverySettings
from scripts.measuring.children import Child, Children
from scripts.measuring.cluster import (
    Cluster,
    free_ports,
    spread,
    start_clients,
    start_node,
    start_sender,
)
from scripts.measuring.meter import StoreMeter
from scripts.measuring.peer import STORE_URL
from scripts.measuring.rabbit import Rabbit
from scripts.measuring.store import Stores

MODE = "SWITCHBOARD_DELIVERY__MODE"
BROKER_URL = "SWITCHBOARD_DELIVERY__AMQP_URL"
FANOUT = "fanout"
SENDER = "scripts.measuring.router_sender"
QUICK_LEASE = {"SWITCHBOARD_LEASE__TTL_S": "5", "SWITCHBOARD_LEASE__HEARTBEAT_S": "0.5"}
_STARTS_AT_ONCE = 4  # more at once take no less CPU, and each start has a time limit


def known_modes() -> frozenset[str]:
    """Return what `delivery.mode` may be in this version."""
    return frozenset(get_args(DeliverySettings.model_fields["mode"].annotation))


class Clusters:
    """Starts clusters of a run.

    Args:
        children: owns the processes.
        stores: owns the servers.
        directory: for sockets.
        broker: of the mode `fanout`; None where that is not measured.
        quick: shorter leases, so that what waits for heartbeats or for the end of one is over soon.
    """

    def __init__(
        self,
        children: Children,
        stores: Stores,
        directory: Path,
        broker: Rabbit | None,
        *,
        quick: bool,
    ) -> None:
        self.children = children
        self.stores = stores
        self.directory = directory
        self._broker = broker
        self._lease = QUICK_LEASE if quick else {}
        self._started = 0

    async def start(self, mode: str, nodes: int, users: int, again_s: float = 0.0) -> Cluster:
        """Start a cluster and connect its users; return when every one has been welcomed.

        Args:
            mode: its `delivery.mode`.
            nodes: how many.
            users: how many; user i is held by node i modulo `nodes`. 0 for none yet.
            again_s: a user whose connection ends comes back elsewhere after so long; 0 for never.
        """
        self._started += 1
        tag = f"{mode}-{nodes}-{self._started}"
        store = self.stores.start(f"store-{tag}")
        env = {STORE_URL: store.url, MODE: mode, **self._lease}
        broker = self._broker if mode == FANOUT else None
        if broker is not None:
            env[BROKER_URL] = broker.url
        ports = free_ports(nodes)
        gate = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def node(number: int, port: int) -> Child:
            async with gate:
                label = f"{tag}-node{number}"
                return await start_node(self.children, label, f"n{number}", port, env)

        held = await asyncio.gather(*(node(k, port) for k, port in enumerate(ports, 1)))
        progress = self.directory / f"{tag}.sock"
        sender = await start_sender(self.children, f"{tag}-sender", SENDER, progress, env)
        clients = await start_clients(self.children, f"{tag}-clients")
        await clients.ask(
            "connect", ports=spread(ports, users), progress=str(progress), again_s=again_s
        )
        meter = StoreMeter(store.url)
        return Cluster(mode, tuple(held), tuple(ports), store, meter, clients, (sender,), broker)

    async def stop(self, cluster: Cluster) -> None:
        """End all of a cluster's processes."""
        await cluster.stop(self.children, self.stores)
