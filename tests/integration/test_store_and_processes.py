"""The store restarts, forgets everything or hangs under real node processes with their clients."""

import asyncio
import functools
import os
import shutil
import signal
from collections.abc import AsyncIterator

import pytest

from router.errors import SwitchboardError
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.node_processes import ProcessCluster, processes
from tests.support.processes import is_gone
from tests.support.waiting import eventually

SESSIONS = 50
_BOUND_S = 20.0


@pytest.fixture
async def cluster(own_store: EmbeddedServer) -> AsyncIterator[ProcessCluster]:
    hasty = {"reply_timeout_s": 1.0, "connect_timeout_s": 1.0}
    async with processes(own_store.address.url, 2, redis=hasty) as found:
        yield found


@pytest.fixture
async def clients(cluster: ProcessCluster) -> list[Client]:
    nodes = cluster.nodes
    return [await cluster.connect(nodes[n % 2], f"u{n}") for n in range(SESSIONS)]


async def words(cluster: ProcessCluster) -> set[str]:
    """Send to everybody; return what was said of it."""

    async def word(user: str) -> str:
        try:
            async with asyncio.timeout(_BOUND_S):
                return (await cluster.router.send(user, "meanwhile", timeout=1.0)).outcome
        except SwitchboardError as exc:
            return exc.code

    return set(await asyncio.gather(*(word(f"u{n}") for n in range(SESSIONS))))


async def all_well(cluster: ProcessCluster, clients: list[Client]) -> None:
    """Wait until every session has its route again and is reached."""

    async def reached(client: Client) -> bool:
        try:
            result = await cluster.router.send(client.greeting["user"], "back", timeout=2.0)
        except SwitchboardError:
            return False
        return result.outcome is Outcome.DELIVERED

    for client in clients:
        await eventually(functools.partial(reached, client), 60.0, "a session is reached")
        fields = await cluster.routes(client.greeting["user"])
        assert [field.rpartition("/")[2] for field in fields] == [client.session]
    assert not [node.said for node in cluster.nodes if is_gone(node.pid)]
    for client in clients:  # on the connection it had all the time
        while (await client.expect("message"))["data"] != "back":
            pass


@pytest.mark.parametrize("wiped", [False, True], ids=["with its data", "emptied"])
async def test_a_restart_of_the_store_costs_no_session(
    own_store: EmbeddedServer, cluster: ProcessCluster, clients: list[Client], wiped: bool
) -> None:
    own_store.kill()
    await eventually(lambda: not cluster.router.member.store.up)
    assert await words(cluster) == {"unavailable"}
    if wiped:
        shutil.rmtree(own_store.data_dir / "appendonlydir")
    own_store.launch()
    await eventually(own_store.ready)
    await all_well(cluster, clients)


async def test_a_store_that_hangs_for_longer_than_a_lease_costs_no_session(
    own_store: EmbeddedServer, cluster: ProcessCluster, clients: list[Client]
) -> None:
    assert own_store.address.pid
    os.kill(own_store.address.pid, signal.SIGSTOP)
    try:
        said = [await words(cluster) for _ in range(3)]
        assert set().union(*said) <= {"unavailable", "unknown"}
    finally:
        os.kill(own_store.address.pid, signal.SIGCONT)
    await all_well(cluster, clients)
