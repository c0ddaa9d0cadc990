"""What the application acknowledges, and what is not to be sent twice."""

import asyncio
from collections.abc import Callable

import pytest

from router.model import Outcome, UserId
from tests.support.cluster import Cluster
from tests.support.followers import Follower
from tests.support.waiting import eventually

ALICE = UserId("alice")


async def mailbox_holds(cluster: Cluster, count: int) -> None:
    """Wait until acknowledgements have left so many messages in alice's mailbox."""

    async def so() -> bool:
        return int(await cluster.redis.xlen(cluster.keys.mail(ALICE))) == count

    await eventually(so, what=f"{count} messages in the mailbox")


def on(cluster: Cluster, node: int) -> str:
    return cluster.nodes[node].address


# ---- acknowledgements by the application --------------------------------------------------------


async def test_what_the_application_has_not_acknowledged_comes_again(cluster: Cluster) -> None:
    alice = Follower("alice", asks=False, ack="manual")
    async with cluster.router() as router:
        for number in range(6):
            await router.send("alice", number, durable=True)
        await alice.connect(on(cluster, 0))
        await alice.read(6)
        frames = alice.frames
        await alice.client.send(type="ack", offset=frames[1]["offset"])
        await alice.client.send(type="ack", id=frames[4]["id"])
        await mailbox_holds(cluster, 4)
        await alice.client.send(type="ack", id=frames[2]["id"])
        await mailbox_holds(cluster, 3)
        await alice.close()
        await alice.connect(on(cluster, 1))
        assert await alice.read(3) == [3, 4, 5]
        await alice.client.send(type="ack", offset=frames[5]["offset"])
        await mailbox_holds(cluster, 0)
    await alice.close()


@pytest.mark.parametrize("ack", ["auto", "manual"])
async def test_the_sender_may_wait_for_the_application(cluster: Cluster, ack: str) -> None:
    acknowledges: list[Callable[[dict[str, str]], dict[str, str]]] = [
        lambda frame: {"id": frame["id"]},
        lambda frame: {"offset": frame["offset"]},
    ]
    alice = await cluster.connect(0, "alice", ack=ack)
    async with cluster.router() as router:
        result = await router.send("alice", "?", durable=True, confirm="acked", timeout=0.3)
        assert result.outcome is Outcome.UNKNOWN
        assert result.reason.endswith("; the message is stored")
        await alice.messages(1)
        for which in acknowledges:
            sending = asyncio.create_task(
                router.send("alice", "!", durable=True, confirm="acked", timeout=60.0)
            )
            await alice.send(type="ack", **which(await alice.expect("message")))
            assert (await sending).outcome is Outcome.ACKED


async def test_one_who_is_away_acknowledges_when_coming_back(cluster: Cluster) -> None:
    async with cluster.router() as router:
        result = await router.send("alice", 1, durable=True, confirm="acked")
        assert result.outcome is Outcome.QUEUED


# ---- the same message twice ---------------------------------------------------------------------


async def test_a_key_keeps_a_message_from_being_sent_twice(cluster: Cluster) -> None:
    alice = Follower("alice")
    await alice.connect(on(cluster, 0))
    async with cluster.router() as one, cluster.router() as other:
        first = await one.send("alice", 1, durable=True, key="order-1", origin="bob")
        second = await other.send("alice", 2, durable=True, key="order-1", origin="bob")
        assert (first.outcome, second.outcome) == (Outcome.DELIVERED, Outcome.DUPLICATE)
        assert second.id == first.id
        third = await other.send("alice", 3, durable=True, key="order-1", origin="eve")
        assert third.outcome is Outcome.DELIVERED
    assert await alice.read(2) == [1, 3]
    assert await alice.client.nothing_came()
    await alice.close()


async def test_a_repeat_with_the_same_id_is_stored_once(cluster: Cluster) -> None:
    async with cluster.router() as one, cluster.router() as other:
        first = await one.send("alice", 1, durable=True)
        again = await other.send("alice", 1, durable=True, id=first.id)
        assert (again.outcome, again.id) == (Outcome.QUEUED, first.id)
    alice = Follower("alice")
    await alice.connect(on(cluster, 0))
    assert await alice.read() == [1]
    assert await alice.client.nothing_came()
    await alice.close()


async def test_a_repeat_of_what_was_acknowledged_comes_again_under_the_same_id(
    cluster: Cluster,
) -> None:
    alice = Follower("alice")
    await alice.connect(on(cluster, 0))
    async with cluster.router() as router:
        first = await router.send("alice", 1, durable=True)
        await mailbox_holds(cluster, 0)
        again = await router.send("alice", 1, durable=True, id=first.id)
        assert again.outcome is Outcome.DELIVERED
        keyed = await router.send("alice", 2, durable=True, key="k")
        await mailbox_holds(cluster, 0)
        repeat = await router.send("alice", 2, durable=True, key="k")
        assert repeat.outcome is Outcome.DUPLICATE
    assert await alice.read(3) == [1, 1, 2]
    assert [frame["id"] for frame in alice.frames] == [first.id, first.id, keyed.id]
    assert await alice.client.nothing_came()
    await alice.close()


# ---- nodes that stop ----------------------------------------------------------------------------


async def test_a_node_that_stops_tells_the_store_what_its_clients_have(cluster: Cluster) -> None:
    alice = Follower("alice", asks=False)
    await alice.connect(on(cluster, 0))
    async with cluster.router() as router:
        for number in range(20):
            result = await router.send("alice", number, durable=True)
            assert result.outcome is Outcome.DELIVERED
    await cluster.stop(cluster.nodes[0])
    assert int(await cluster.redis.xlen(cluster.keys.mail(ALICE))) == 0
    await alice.drain()
    assert alice.data == list(range(20))
    await alice.connect(on(cluster, 1))
    assert alice.resumed
    assert await alice.client.nothing_came()
    await alice.close()
