"""One node for each core, all of them at one port: node.reuse_port."""

import asyncio
import contextlib
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final, Self

import pytest
from tornado.httpclient import AsyncHTTPClient

from router.store.embedded import EmbeddedServer
from scripts.measuring.ports import free_port_range
from tests.support.clients import Client
from tests.support.node_processes import NodeProcess, ProcessCluster
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    "sys.platform != 'linux'", reason="only Linux spreads connections over those who share a port"
)
_WORKERS: Final = 4


class Crowd:
    """Clients that come to one address, one after the other and several at a time, for as long as
    the block runs.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.welcomed: Counter[str] = Counter()
        self.refused: list[str] = []
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._come(f"u{n}")) for n in range(_WORKERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _come(self, user: str) -> None:
        while not self._stop.is_set():
            try:
                client = await Client.open(self._address, user, welcomed=False)
                frame = await client.read()
                await client.close()
            except Exception as exc:  # noqa: BLE001 - whatever it was, a client was not let in
                self.refused.append(f"{type(exc).__name__}: {exc}")
                continue
            # A node that leaves in this very moment may let in and say goodbye in one.
            if frame["type"] == "welcome":
                self.welcomed[frame["node"]] += 1
            elif (frame["type"], frame["reason"]) != ("goodbye", "drain"):
                self.refused.append(str(frame))

    async def go_on(self, handshakes: int) -> None:
        """Wait for so many more."""
        wanted = self.welcomed.total() + handshakes
        await eventually(lambda: self.welcomed.total() >= wanted, 60.0)


@contextlib.asynccontextmanager
async def sharing(store: EmbeddedServer, nodes: int) -> AsyncIterator[tuple[ProcessCluster, str]]:
    """Run nodes that share a port; yield them, and the address that users know."""
    port = free_port_range(1)
    at = {"node": {"reuse_port": True, "port": port}, "api": {"port": 1}}
    async with ProcessCluster(store.address.url, nodes, **at) as cluster:
        for node in cluster.nodes:
            await takes_sessions(node)
        yield cluster, f"127.0.0.1:{port}"


async def takes_sessions(node: NodeProcess) -> None:
    await eventually(lambda: "node is up" in node.said, 30.0, f"{node.name} is up")


async def ready_at(address: str) -> bool:
    answer = await AsyncHTTPClient().fetch(f"http://{address}/readyz", raise_error=False)
    return answer.code == 200


class TestSharing:
    async def test_the_kernel_gives_sessions_to_all_that_share_a_port(
        self, store: EmbeddedServer
    ) -> None:
        async with sharing(store, 2) as (cluster, address):
            clients = [await Client.open(address, f"u{number}") for number in range(40)]
            assert {client.node for client in clients} == {"n1", "n2"}
            for number, client in enumerate(clients):
                await cluster.router.send(f"u{number}", number)
                assert await client.messages(1) == [number]
            for client in clients:
                await client.close()

    async def test_each_is_known_to_the_others_by_the_port_of_its_own_api(
        self, store: EmbeddedServer
    ) -> None:
        async with sharing(store, 2) as (cluster, address):
            own = [node.address for node in cluster.nodes]
            assert address not in own
            assert len(set(own)) == 2
            await cluster.nodes[0].kill()
            assert await ready_at(own[1])
            with pytest.raises(OSError):
                await ready_at(own[0])

    async def test_the_doctor_reaches_each_of_them(self, store: EmbeddedServer) -> None:
        async with sharing(store, 2) as (cluster, _):
            doctor = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node.cli", "doctor"),
                env={**os.environ, **cluster.environment()},
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await doctor.communicate()
            for node in cluster.nodes:
                assert f"live at {node.address}" in said.decode()


class TestHandOver:
    async def test_nobody_is_refused_while_each_of_two_nodes_is_restarted(
        self, store: EmbeddedServer
    ) -> None:
        async with sharing(store, 2) as (cluster, address), Crowd(address) as crowd:
            await crowd.go_on(50)
            for node in list(cluster.nodes):
                assert await node.terminate() == 0, node.said
                await takes_sessions(await cluster.start(node.name))
                await crowd.go_on(50)
        assert crowd.refused == []
        assert crowd.welcomed.keys() == {"n1", "n2"}

    async def test_nobody_is_refused_when_one_node_follows_another(
        self, store: EmbeddedServer
    ) -> None:
        async with sharing(store, 1) as (cluster, address), Crowd(address) as crowd:
            await crowd.go_on(50)
            for number in range(2, 5):
                following = await cluster.start(f"n{number}")
                await takes_sessions(following)
                assert await cluster.nodes[number - 2].terminate() == 0
                await crowd.go_on(50)
        assert crowd.refused == []
        assert crowd.welcomed.keys() == {"n1", "n2", "n3", "n4"}


class TestStarting:
    async def test_a_node_that_waits_for_its_store_takes_nobody_yet(
        self, store: EmbeddedServer
    ) -> None:
        async with sharing(store, 0) as (cluster, address):
            cluster.url = f"redis://127.0.0.1:{free_port_range(1)}"
            own = free_port_range(1)
            cluster.spawn("n1", "--wait", "60", "--api-port", str(own))
            await eventually(lambda: answers(f"127.0.0.1:{own}"), 30.0, "it serves its API")
            assert not await answers(address)

    async def test_a_port_that_another_program_has_for_itself_is_told(
        self, store: EmbeddedServer
    ) -> None:
        async with sharing(store, 0) as (cluster, address):
            host, _, port = address.partition(":")
            with socket.create_server((host, int(port))):
                node = cluster.spawn("n1")
                assert await node.ended() == 1
            assert f"cannot listen on {address}: Address already in use" in node.said
            assert await cluster.left_behind() == []


async def answers(address: str) -> bool:
    """Say whether somebody listens there."""
    try:
        await AsyncHTTPClient().fetch(f"http://{address}/healthz")
    except OSError:
        return False
    return True
