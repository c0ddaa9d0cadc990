"""What becomes of users and messages when a node is killed, or stopped past its lease."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from router.model import EndpointId, Outcome, SendResult
from router.store.embedded import EmbeddedServer
from router.store.remains import TOKEN_TTL_MS
from tests.support.clients import Client
from tests.support.node_processes import NodeProcess, ProcessCluster, at_once, processes
from tests.support.waiting import eventually

QUICK = {"ttl_s": 1.0, "heartbeat_s": 0.25}
# A lease, two looks, and what a busy machine takes; a living node is silent for less than this.
SOON_S = 15.0


@pytest.fixture
async def cluster(store: EmbeddedServer) -> AsyncIterator[ProcessCluster]:
    async with processes(store.address.url, 2, lease=QUICK) as found:
        yield found


async def endpoint_of(cluster: ProcessCluster, node: NodeProcess) -> EndpointId:
    found = await cluster.described(node)
    assert found is not None
    return found.endpoint


async def nothing_left_of(cluster: ProcessCluster, endpoint: EndpointId) -> None:
    """Wait until an endpoint is rescued: no key names it, and no list."""

    async def so() -> bool:
        assert [key for key in await cluster.left_behind() if endpoint in key] == []
        assert not await cluster.redis.sismember(cluster.keys.endpoints, endpoint)
        return True

    await eventually(so, SOON_S, f"{endpoint} is rescued")


async def wait_in_inbox(
    cluster: ProcessCluster, node: NodeProcess, user: str, count: int
) -> list["asyncio.Task[SendResult]"]:
    """Send messages to a user of a node that is stopped; go on when all are in its inbox."""
    sends = [
        asyncio.create_task(cluster.router.send(user, number, timeout=60))
        for number in range(count)
    ]
    endpoint = await endpoint_of(cluster, node)

    async def they_wait() -> bool:
        return int(await cluster.redis.llen(cluster.keys.inbox(endpoint))) == count

    await eventually(they_wait)
    return sends


async def everything(client: Client) -> list[int]:
    """Return the data of all messages that have come."""
    await client.send(type="ping")
    got: list[int] = []
    while (frame := await client.read())["type"] == "message":
        got.append(frame["data"])
    assert frame["type"] == "pong"
    return got


async def test_what_waits_for_a_killed_node_reaches_its_user_elsewhere_once(
    cluster: ProcessCluster,
) -> None:
    dies, lives = cluster.nodes
    await cluster.connect(dies, "alice")
    bob = await cluster.connect(lives, "bob")
    dead = await endpoint_of(cluster, dies)
    dies.pause()
    sends = await wait_in_inbox(cluster, dies, "alice", 20)
    await bob.send(type="send", ref=7, to="alice", data=20)
    await dies.kill()
    alice = await cluster.connect(lives, "alice")
    assert [(await send).outcome for send in sends] == [Outcome.DELIVERED] * 20
    outcome = await bob.expect("outcome")
    assert (outcome["ref"], outcome["outcome"]) == (7, "delivered")
    await nothing_left_of(cluster, dead)
    got = await everything(alice)
    assert sorted(got) == list(range(21))
    assert [number for number in got if number < 20] == list(range(20))
    (route,) = await cluster.routes("alice")
    assert route.endswith(f"/{alice.session}")


async def test_of_users_who_do_not_come_back_the_sender_hears_the_truth(
    cluster: ProcessCluster,
) -> None:
    dies, lives = cluster.nodes
    for number in range(5):
        await cluster.connect(dies, f"u{number}")
    await cluster.connect(lives, "bob")
    dead = await endpoint_of(cluster, dies)
    dies.pause()
    sends = await wait_in_inbox(cluster, dies, "u0", 3)
    await dies.kill()
    results = [await send for send in sends]
    assert {result.outcome for result in results} == {Outcome.UNKNOWN}
    await nothing_left_of(cluster, dead)
    for number in range(5):
        assert await cluster.routes(f"u{number}") == set()
        assert (await cluster.router.user(f"u{number}")).last_seen is not None
        assert (await cluster.router.send(f"u{number}", 1)).outcome is Outcome.OFFLINE
    assert (await cluster.router.send("bob", 1)).outcome is Outcome.DELIVERED
    assert [user.user async for user in cluster.router.users()] == ["bob"]


async def test_a_dead_node_is_listed_as_lost_and_then_no_more(cluster: ProcessCluster) -> None:
    dies, lives = cluster.nodes
    dead = await endpoint_of(cluster, dies)
    await dies.kill()
    states: list[str] = []

    async def only_the_living() -> bool:
        nodes = {node.name: node.state for node in await cluster.router.nodes()}
        states.append(nodes.get(dies.name, "gone"))
        return nodes == {lives.name: "live"}

    await eventually(only_the_living, SOON_S)
    assert list(dict.fromkeys(states)) in (["live", "lost", "gone"], ["live", "gone"])
    await nothing_left_of(cluster, dead)
    listed = await switchboard(cluster, "nodes")
    assert lives.name in listed
    assert dies.name not in listed


async def switchboard(cluster: ProcessCluster, command: str) -> str:
    """Return what a command prints."""
    place = {"REDIS__URL": cluster.url, "REGISTRY__PREFIX": cluster.prefix}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", command),
        env={**os.environ, **{f"SWITCHBOARD_{name}": value for name, value in place.items()}},
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode()


async def test_two_nodes_that_die_at_once_are_rescued_one_after_the_other(
    cluster: ProcessCluster,
) -> None:
    lives = await cluster.start("n3")
    dying = cluster.nodes[:2]
    dead = [await endpoint_of(cluster, node) for node in dying]
    for number, node in enumerate(dying):
        await cluster.connect(node, f"u{number}")
        node.pause()
    sends = [
        send
        for number, node in enumerate(dying)
        for send in await wait_in_inbox(cluster, node, f"u{number}", 3)
    ]
    await at_once(*dying)
    clients = [await cluster.connect(lives, f"u{number}") for number in range(2)]
    assert {(await send).outcome for send in sends} == {Outcome.DELIVERED}
    for client, endpoint in zip(clients, dead, strict=True):
        await nothing_left_of(cluster, endpoint)
        assert await everything(client) == [0, 1, 2]


class Load:
    """Sends numbers to a user one after the other, and notes what becomes of each."""

    def __init__(self, cluster: ProcessCluster, user: str) -> None:
        self._cluster = cluster
        self._user = user
        self._sends: list[asyncio.Task[SendResult]] = []
        self._task = asyncio.create_task(self._go_on())

    async def _go_on(self) -> None:
        while True:
            number = len(self._sends)
            send = self._cluster.router.send(self._user, number, timeout=30.0)
            self._sends.append(asyncio.create_task(send))
            await asyncio.sleep(0.005)

    def told(self, outcome: Outcome) -> set[int]:
        """Return the numbers that ended in a word so far."""
        done = enumerate(self._sends)
        return {n for n, send in done if send.done() and send.result().outcome is outcome}

    async def stop(self) -> Counter[Outcome]:
        """Send no more; return how often each word was said when all have ended."""
        self._task.cancel()
        results = await asyncio.gather(*self._sends)
        return Counter(result.outcome for result in results)


async def test_a_node_stopped_past_its_lease_is_fenced_and_brings_its_sockets_along(
    cluster: ProcessCluster,
) -> None:
    sleeps, _ = cluster.nodes
    clients = [await cluster.connect(sleeps, user) for user in ("alice", "bob", "bob")]
    alice = clients[0]
    before = await endpoint_of(cluster, sleeps)
    load = Load(cluster, "alice")
    await eventually(lambda: load.told(Outcome.DELIVERED))
    sleeps.pause()
    await nothing_left_of(cluster, before)
    await eventually(lambda: load.told(Outcome.OFFLINE))
    reached = len(load.told(Outcome.DELIVERED))
    sleeps.resume()
    await eventually(lambda: len(load.told(Outcome.DELIVERED)) > reached + 20)
    words = await load.stop()
    assert await endpoint_of(cluster, sleeps) != before
    assert set(words) <= {Outcome.DELIVERED, Outcome.UNKNOWN, Outcome.OFFLINE}
    got = await everything(alice)
    assert len(got) == len(set(got)), "a repeat was delivered"
    assert load.told(Outcome.DELIVERED) <= set(got)
    assert not load.told(Outcome.OFFLINE) & set(got)
    result = await cluster.router.send("bob", "both")
    assert (result.outcome, result.sessions) == (Outcome.DELIVERED, 2)
    for client in clients[1:]:
        assert await client.messages(1) == ["both"]
    await nothing_left_of(cluster, before)


async def test_a_node_told_to_stop_when_it_was_fenced_long_ago_leaves_nothing(
    cluster: ProcessCluster,
) -> None:
    sleeps, lives = cluster.nodes
    await cluster.connect(sleeps, "alice")
    await cluster.connect(lives, "bob")
    before = await endpoint_of(cluster, sleeps)
    sleeps.pause()
    await nothing_left_of(cluster, before)
    ending = asyncio.create_task(sleeps.terminate())
    sleeps.resume()
    assert await ending == 0, sleeps.said

    async def only_the_living() -> bool:
        stays = await endpoint_of(cluster, lives)
        members: set[bytes] = await cluster.redis.smembers(cluster.keys.endpoints)
        own = cluster.router.member.endpoint.id
        assert members == {stays.encode(), str(own).encode()}, await cluster.left_behind()
        return True

    assert (await cluster.router.send("bob", 1)).outcome is Outcome.DELIVERED
    # It may have been stopped while it rescued its own past: then that is free when its token ends.
    await eventually(only_the_living, TOKEN_TTL_MS / 1000 + SOON_S)
    assert await cluster.routes("alice") == set()
