"""The clusters of the benchmark: the product, and the two yardsticks."""

import asyncio
from pathlib import Path

from scripts.benchmark.options import CLUSTERED, METERED, UNMETERED
from scripts.measuring.children import Child, Children, python
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
from scripts.measuring.redis_cluster import RedisCluster
from scripts.measuring.store import Store, Stores

_SENDERS = {
    "channel": "scripts.benchmark.channel_sender",
    **dict.fromkeys(("routed", METERED, UNMETERED, CLUSTERED), "scripts.measuring.router_sender"),
}


async def start_cluster(
    children: Children, stores: Stores, kind: str, nodes: int, users: int, directory: Path
) -> Cluster:
    """Start a cluster and connect its users; return when every one has been welcomed.

    Args:
        children: owns the processes.
        stores: owns the server.
        kind: `bare`, `channel`, `routed`, or that with metrics on or off, or on a Redis Cluster.
        nodes: how many.
        users: how many; user i is held by node i modulo `nodes`.
        directory: for sockets.
    """
    tag = f"{kind}-{nodes}"
    store: Store | RedisCluster | None = None
    if kind == CLUSTERED:
        store = stores.start_cluster(f"store-{tag}")
    elif kind != "bare":
        store = stores.start(f"store-{tag}")
    ports = free_ports(nodes)
    starting = [
        _start_node(children, kind, f"{tag}-node{k}", k, port, store)
        for k, port in enumerate(ports, 1)
    ]
    held = tuple(await asyncio.gather(*starting))
    drivers, progress = held, ""
    if store is not None:
        path = directory / f"{tag}.sock"
        env = _settings(store)
        drivers = (await start_sender(children, f"{tag}-sender", _SENDERS[kind], path, env),)
        progress = str(path)
    clients = await start_clients(children, f"{tag}-clients")
    await clients.ask("connect", ports=spread(ports, users), progress=progress)
    meter = StoreMeter(store.url) if isinstance(store, Store) else None
    return Cluster(kind, held, tuple(ports), store, meter, clients, drivers)


async def _start_node(
    children: Children,
    kind: str,
    name: str,
    number: int,
    port: int,
    store: Store | RedisCluster | None,
) -> Child:
    listen = ("--port", str(port))
    if store is None:
        command = python("scripts.benchmark.bare_node", *listen)
        return await children.start(name, command, talks=True)
    env = _settings(store)
    if kind == "channel":
        command = python("scripts.benchmark.channel_node", *listen)
        return await children.start(name, command, env, talks=True)
    if kind == UNMETERED:
        env["SWITCHBOARD_NODE__METRICS"] = "false"
    return await start_node(children, name, f"n{number}", port, env)


def _settings(store: Store | RedisCluster) -> dict[str, str]:
    mode = "single" if isinstance(store, Store) else "cluster"
    return {STORE_URL: store.url, "SWITCHBOARD_REDIS__MODE": mode}
