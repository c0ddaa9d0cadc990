"""Durable messages while nodes are killed and paused, users move, and the store is restarted."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence

import pytest

from router.aio import Router
from router.errors import Unavailable
from router.model import Offset, Outcome, UserId
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.followers import Follower
from tests.support.node_processes import ProcessCluster, processes
from tests.support.waiting import eventually

ALICE = UserId("alice")
SENDERS = ("bob", "carol", "dave")
MESSAGES = 120


async def offsets(cluster: ProcessCluster) -> list[Offset]:
    """Return what lies in alice's mailbox."""
    entries = await cluster.redis.xrange(cluster.keys.mail(ALICE))
    return [Offset.parse(offset.decode()) for offset, _ in entries]


# ---- nodes that die -----------------------------------------------------------------------------


async def test_of_a_node_that_is_killed_nothing_undelivered_or_unacknowledged_is_lost(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2) as cluster:
        dies, lives = cluster.nodes
        alice = Follower("alice", asks=False, ack="manual")
        await alice.connect(dies.address)
        for number in range(20):
            result = await cluster.router.send("alice", number, durable=True)
            assert result.outcome is Outcome.DELIVERED
        assert await alice.read(20) == list(range(20))
        await alice.client.send(type="ack", offset=alice.frames[9]["offset"])

        async def half_is_acknowledged() -> bool:
            return len(await offsets(cluster)) == 10

        await eventually(half_is_acknowledged)
        dies.pause()
        sends = [
            asyncio.create_task(cluster.router.send("alice", number, durable=True, timeout=60))
            for number in range(20, 40)
        ]

        async def all_are_stored() -> bool:
            return len(await offsets(cluster)) == 30

        await eventually(all_are_stored)
        await dies.kill()
        stored = await offsets(cluster)
        await alice.connect(lives.address)
        assert alice.resumed
        await alice.read(30)
        assert sorted(alice.data[20:30]) == list(range(10, 20))
        assert sorted(alice.data[30:]) == list(range(20, 40))
        assert [Offset.parse(frame["offset"]) for frame in alice.frames[20:]] == stored
        results = await asyncio.gather(*sends)
        assert {r.outcome for r in results} <= {Outcome.DELIVERED, Outcome.UNKNOWN, Outcome.QUEUED}
        assert await alice.client.nothing_came()
        await alice.close()


async def test_a_node_killed_in_the_middle_of_a_replay_leaves_the_rest_to_the_next(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2) as cluster:
        dies, lives = cluster.nodes
        await cluster.router.join()
        for number in range(500):
            await cluster.router.send("alice", number, durable=True, confirm="accepted")
        alice = Follower("alice", ack="manual")
        await alice.connect(dies.address)
        await alice.read(5)
        await dies.kill()
        await alice.drain()
        await alice.connect(lives.address)
        assert alice.resumed
        assert await alice.read_to(500) == list(range(500))
        await alice.close()


# ---- nodes that are fenced ----------------------------------------------------------------------


async def test_a_node_that_was_paused_beyond_its_lease_writes_no_offset_twice_on_an_open_socket(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2) as cluster:
        paused, _ = cluster.nodes
        alice = Follower("alice", ack="manual")
        await alice.connect(paused.address)
        for number in range(10):
            await cluster.router.send("alice", number, durable=True)
        before = await cluster.described(paused)
        assert before is not None
        paused.pause()
        sends = [
            asyncio.create_task(cluster.router.send("alice", number, durable=True, timeout=60))
            for number in range(10, 20)
        ]

        async def fenced() -> bool:
            return not await cluster.redis.exists(cluster.keys.open(before.endpoint))

        await eventually(fenced, deadline_s=60.0)
        for number in range(20, 30):
            result = await cluster.router.send("alice", number, durable=True, timeout=60)
            assert result.outcome is Outcome.QUEUED
        paused.resume()
        await alice.read(30)
        assert alice.data[:10] == list(range(10))
        assert sorted(alice.data) == list(range(30))
        assert [Offset.parse(f["offset"]) for f in alice.frames] == await offsets(cluster)
        await asyncio.gather(*sends)
        more = await reached(cluster, "alice", 30)
        assert await alice.read(more) == list(range(30, 30 + more))
        assert await alice.client.nothing_came()
        await alice.close()


async def reached(cluster: ProcessCluster, user: str, first: int) -> int:
    """Send until a message is delivered; return how many were sent."""
    for number in itertools.count(first):
        result = await cluster.router.send(user, number, durable=True)
        if result.outcome is Outcome.DELIVERED:
            return number - first + 1
    raise AssertionError


# ---- users that move ----------------------------------------------------------------------------


@pytest.mark.parametrize("ack", ["auto", "manual"])
async def test_who_moves_under_a_stream_from_three_senders_gets_each_once_and_in_order(
    store: EmbeddedServer, ack: str
) -> None:
    async with processes(store.address.url, 2) as cluster:
        alice = Follower("alice", ack=ack)
        await alice.connect(cluster.nodes[0].address)
        routers = [Router.connect(cluster.url, cluster.settings) for _ in SENDERS]
        for router in routers:
            await router.__aenter__()
            await router.join()
        try:
            streams = [
                asyncio.create_task(stream(router, name))
                for router, name in zip(routers, SENDERS, strict=True)
            ]
            await moves(cluster, alice, streams, manual=ack == "manual")
            await asyncio.gather(*streams)
            await alice.read_to(MESSAGES * len(SENDERS))
        finally:
            for router in routers:
                await router.close()
        assert await alice.client.nothing_came()
        for name in SENDERS:
            heard = [frame["data"] for frame in alice.frames if frame["from"] == name]
            assert heard == list(range(MESSAGES))
        await alice.close()


async def stream(router: Router, name: str) -> None:
    """Send alice one message after the other; of each the sender hears the truth."""
    for number in range(MESSAGES):
        result = await router.send(
            "alice", number, durable=True, origin=name, timeout=30.0, confirm="written"
        )
        assert result.outcome in (Outcome.WRITTEN, Outcome.QUEUED, Outcome.UNKNOWN), result


async def moves(
    cluster: ProcessCluster,
    alice: Follower,
    streams: Sequence["asyncio.Task[None]"],
    *,
    manual: bool,
) -> None:
    """Go from node to node while messages come, with a word or without, or with both open."""
    dice = random.Random(7)
    for place in itertools.count(1):
        if all(task.done() for task in streams):
            return
        if len(alice.frames) < MESSAGES * len(SENDERS) - 20:
            await alice.read(dice.randint(1, 20))
        old, way = alice.client, dice.choice(("closes", "cuts", "overlaps"))
        if not manual:
            # What its library has taken is acknowledged, so it has to be read.
            await old.close()
            await alice.drain()
        elif way == "closes":
            await old.close()
        elif way == "cuts":
            await old.cut()
        await alice.connect(cluster.nodes[place % 2].address)
        assert alice.resumed
        await old.close()


# ---- the store ----------------------------------------------------------------------------------


@pytest.fixture
async def outage(own_store: EmbeddedServer) -> AsyncIterator[Cluster]:
    async with Cluster(own_store.address.url, nodes=2) as cluster:
        yield cluster


async def test_a_store_that_is_restarted_with_its_file_has_lost_nothing_that_was_queued(
    own_store: EmbeddedServer, outage: Cluster
) -> None:
    there = Follower("alice")
    await there.connect(outage.nodes[0].address)
    async with outage.router() as router:
        for number in range(50):
            assert (await router.send("bob", number, durable=True)).outcome is Outcome.QUEUED
        assert (await router.send("alice", 0, durable=True)).outcome is Outcome.DELIVERED
        own_store.kill()
        await eventually(lambda: not router.member.store.up)
        with pytest.raises(Unavailable):
            await router.send("bob", "lost", durable=True)
        own_store.launch()
        await eventually(own_store.ready)

        async def back() -> bool:
            try:
                result = await router.send("alice", 1, durable=True, key="once", timeout=2.0)
            except Unavailable:
                return False
            return result.outcome in (Outcome.DELIVERED, Outcome.DUPLICATE)

        await eventually(back, deadline_s=30.0)
        # A duplicate is found by the look-up alone: the connection of pushes may still be down.
        await eventually(lambda: router.member.store.up)
        await eventually(lambda: all(node.not_ready() is None for node in outage.nodes))
        bob = Follower("bob")
        await bob.connect(outage.nodes[1].address)
        assert await bob.read(50) == list(range(50))
        assert await bob.client.nothing_came()
        assert (await router.send("alice", 2, durable=True)).outcome is Outcome.DELIVERED
    # 1 may have been stored and not pushed; then 2 shows that it is missing.
    assert await there.read(3) == [0, 1, 2]
    await bob.close()
    await there.close()
