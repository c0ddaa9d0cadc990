"""One cluster: a store, nodes, the clients of all users, and whoever sends.

Every cluster has its own of each, so that an idle one adds nothing to what another is charged.
"""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.children import START_SECONDS, Child, Children, python
from scripts.benchmark.meter import StoreMeter
from scripts.benchmark.peer import STORE_URL
from scripts.benchmark.store import Store, Stores

HOST = "127.0.0.1"
_LOOK_SECONDS = 0.05
_READY = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster.

    Args:
        kind: `bare`, `channel` or `routed`.
        nodes: its node processes.
        store: its server; None for `bare`.
        meter: reads that server's statistics; None for `bare`.
        clients: the process with all WebSocket clients.
        drivers: who makes the load: one sender, or the bare nodes themselves.
    """

    kind: str
    nodes: tuple[Child, ...]
    store: Store | None
    meter: StoreMeter | None
    clients: Child
    drivers: tuple[Child, ...]

    async def stop(self, children: Children, stores: Stores) -> None:
        """End all of its processes; the store last, so that nodes can say goodbye to it."""
        if self.meter is not None:
            self.meter.close()
        await children.stop(list({self.clients, *self.nodes, *self.drivers}))
        if self.store is not None:
            stores.stop(self.store)


async def start_cluster(
    children: Children, stores: Stores, kind: str, nodes: int, users: int, directory: Path
) -> Cluster:
    """Start a cluster and connect its users; return when every one has been welcomed.

    Args:
        children: owns the processes.
        stores: owns the server.
        kind: `bare`, `channel` or `routed`.
        nodes: how many.
        users: how many; user i is held by node i modulo `nodes`.
        directory: for sockets.
    """
    tag = f"{kind}-{nodes}"
    store = None if kind == "bare" else stores.start(f"store-{tag}")
    ports = free_ports(nodes)
    starting = [
        _start_node(children, kind, f"{tag}-node{k}", k, port, store)
        for k, port in enumerate(ports, 1)
    ]
    held = tuple(await asyncio.gather(*starting))
    drivers, progress = held, ""
    if store is not None:
        progress = str(directory / f"{tag}.sock")
        module = f"scripts.benchmark.{kind}_sender"
        command = python(module, "--progress", progress)
        env = {STORE_URL: store.url}
        drivers = (await children.start(f"{tag}-sender", command, env, talks=True),)
    clients = await children.start(
        f"{tag}-clients", python("scripts.benchmark.clients"), talks=True
    )
    user_ports = [ports[user % nodes] for user in range(users)]
    await clients.ask("connect", ports=user_ports, progress=progress)
    meter = StoreMeter(store.url) if store is not None else None
    return Cluster(kind, held, store, meter, clients, drivers)


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now, all different."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(open_socket.getsockname()[1]) for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports


async def _start_node(
    children: Children, kind: str, name: str, number: int, port: int, store: Store | None
) -> Child:
    listen = ("--port", str(port))
    if store is None:
        return await children.start(
            name, python("scripts.benchmark.bare_node", *listen), talks=True
        )
    env = {STORE_URL: store.url, "SWITCHBOARD_LOG__LEVEL": "warning"}
    if kind == "channel":
        command = python("scripts.benchmark.channel_node", *listen)
        return await children.start(name, command, env, talks=True)
    command = python("node.cli", "serve", "--name", f"n{number}", *listen)
    node = await children.start(name, command, env)
    await _until_ready(node, port)
    return node


async def _until_ready(node: Child, port: int) -> None:
    """Wait until the product's node says that it takes sessions."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _is_ready(port):
                if not node.running():
                    raise node.failure("did not start")
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError as exc:
        raise node.failure(f"not ready within {START_SECONDS:g} s") from exc


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(_READY)
        return b" 200 " in await reader.readline()
    finally:
        writer.close()
