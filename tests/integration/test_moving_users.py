"""A user moves while a message is under way; inboxes are full, or nobody reads them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from node.node import Node
from router.aio import Router
from router.codec import MessageEnvelope, encode
from router.model import Confirm, Outcome, SendResult
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster, endpoint_of
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually


class StuckNode:
    """A node whose inbox is not read until it is set free; all else of it works."""

    def __init__(self, cluster: Cluster, node: Node, proxy: Proxy) -> None:
        self.cluster = cluster
        self.node = node
        self._proxy = proxy

    async def stick(self) -> None:
        """Stop its reading."""
        await self._proxy.when(b"BLMOVE", Fault.HANG).wait()

    def free(self) -> None:
        """Let it read again, over a new connection."""
        self._proxy.reset_hung()

    async def holds(self, count: int) -> None:
        """Wait until so many envelopes wait in its inbox."""

        async def there() -> bool:
            return await self.cluster.inbox(self.node) == count

        await eventually(there)


@pytest.fixture
async def stuck(cluster: Cluster, store: EmbeddedServer) -> AsyncIterator[StuckNode]:
    async with Proxy(store.address.socket, store.address.login) as proxy:
        node = await cluster.start("old", proxy.url)
        yield StuckNode(cluster, node, proxy)
        await cluster.stop(node)


@contextlib.asynccontextmanager
async def waiting_send(stuck: StuckNode, router: Router) -> AsyncIterator[asyncio.Task[SendResult]]:
    """Send to alice; go on when the message lies in the stuck node's inbox."""
    await stuck.stick()
    sending = asyncio.create_task(router.send("alice", "follow me", timeout=30.0))
    await stuck.holds(1)
    try:
        yield sending
    finally:
        sending.cancel()


async def no_route(cluster: Cluster) -> None:
    async def gone() -> bool:
        return not await cluster.routes("alice")

    await eventually(gone)


# ---- the user moves -----------------------------------------------------------------------------


@pytest.mark.one_server
async def test_a_message_in_the_old_nodes_inbox_follows_its_user(
    cluster: Cluster, stuck: StuckNode
) -> None:
    old = await cluster.connect(stuck.node, "alice")
    async with cluster.router() as router, waiting_send(stuck, router) as sending:
        await old.close()
        new = await cluster.connect(1, "alice")
        stuck.free()
        assert await new.messages(1) == ["follow me"]
        assert (await sending).outcome is Outcome.DELIVERED
    assert stuck.node.member.receiver.counts.sent_on == 1
    assert cluster.delivered() == [0, 1, 0, 0]


@pytest.mark.one_server
async def test_it_follows_a_user_who_connects_before_leaving(
    cluster: Cluster, stuck: StuckNode
) -> None:
    old = await cluster.connect(stuck.node, "alice")
    async with cluster.router() as router, waiting_send(stuck, router) as sending:
        new = await cluster.connect(1, "alice")
        await old.close()
        stuck.free()
        assert await new.messages(1) == ["follow me"]
        assert (await sending).outcome is Outcome.DELIVERED


@pytest.mark.one_server
async def test_it_finds_a_user_who_has_come_back(cluster: Cluster, stuck: StuckNode) -> None:
    old = await cluster.connect(stuck.node, "alice")
    async with cluster.router() as router, waiting_send(stuck, router) as sending:
        await old.close()
        await no_route(cluster)
        back = await cluster.connect(stuck.node, "alice")
        stuck.free()
        assert await back.messages(1) == ["follow me"]
        assert (await sending).outcome is Outcome.DELIVERED
    assert stuck.node.member.receiver.counts.sent_on == 0


@pytest.mark.one_server
async def test_of_a_user_who_has_left_the_sender_hears_offline(
    cluster: Cluster, stuck: StuckNode
) -> None:
    old = await cluster.connect(stuck.node, "alice")
    async with cluster.router() as router, waiting_send(stuck, router) as sending:
        await old.close()
        await no_route(cluster)
        stuck.free()
        assert (await sending).outcome is Outcome.OFFLINE
    await stuck.holds(0)


@pytest.mark.one_server
async def test_a_message_for_many_is_sent_on_only_for_those_who_moved(
    cluster: Cluster, stuck: StuckNode
) -> None:
    moves = await cluster.connect(stuck.node, "alice")
    stays = await cluster.connect(stuck.node, "bob")
    await stuck.stick()
    async with cluster.router() as router:
        sending = asyncio.create_task(
            router.send_many(["alice", "bob"], "both", confirm="delivered", timeout=30.0)
        )
        await stuck.holds(1)
        await moves.close()
        moved = await cluster.connect(2, "alice")
        stuck.free()
        results = await sending
    assert {result.outcome for result in results.values()} == {Outcome.DELIVERED}
    assert await moved.messages(1) == await stays.messages(1) == ["both"]
    assert await moved.nothing_came()
    assert await stays.nothing_came()


# ---- inboxes that cannot take more --------------------------------------------------------------


@pytest.mark.one_server
async def test_a_full_inbox_answers_busy_and_takes_more_when_it_is_read(
    store: EmbeddedServer,
) -> None:
    async with (
        Cluster(store.address.url, nodes=0, inbox={"max_length": 512}) as cluster,
        Proxy(store.address.socket, store.address.login) as proxy,
    ):
        stuck = StuckNode(cluster, await cluster.start("old", proxy.url), proxy)
        alice = await cluster.connect(stuck.node, "alice")
        await stuck.stick()
        async with cluster.router() as router:
            for number in range(512):
                result = await router.send("alice", number, confirm="accepted")
                assert result.outcome is Outcome.ACCEPTED
            result = await router.send("alice", "one too many")
            assert result.outcome is Outcome.BUSY
            assert endpoint_of(stuck.node) in result.reason
            assert await cluster.inbox(stuck.node) == 512
            stuck.free()
            assert await alice.messages(512) == list(range(512))
            await stuck.holds(0)
            assert (await router.send("alice", "now")).outcome is Outcome.DELIVERED
        assert await alice.messages(1) == ["now"]
        await cluster.stop(stuck.node)


# ---- senders that cannot be answered ------------------------------------------------------------


def by_hand(sender: str, number: int) -> bytes:
    return encode(
        MessageEnvelope(
            id=f"by-hand-{number}",
            sender=sender,
            origin="",
            confirm=Confirm.DELIVERED,
            hop=0,
            sent_at=0.0,
            expires_ms=0,
            users=["alice"],
            refs=[number],
            data=b"%d" % number,
        )
    )


async def test_a_sender_whose_inbox_is_gone_or_full_does_not_stop_a_node(
    cluster: Cluster,
) -> None:
    alice = await cluster.connect(0, "alice")
    keys, node = cluster.keys, cluster.nodes[0]
    inbox = keys.inbox(endpoint_of(node))
    full = await node.member.leases.open("full", node._describe())
    room = node.member.settings.inbox.max_length
    await cluster.redis.rpush(keys.inbox(full), *["x"] * room)
    for number in range(10):
        await cluster.redis.rpush(inbox, by_hand("gone.1", number), by_hand(full, 100 + number))
    assert sorted(await alice.messages(20)) == [*range(10), *range(100, 110)]
    async with cluster.router() as router:
        assert (await router.send("alice", "still here")).outcome is Outcome.DELIVERED
    assert await alice.messages(1) == ["still here"]
    assert await cluster.inbox(0) == 0
    assert await cluster.redis.llen(keys.inbox(full)) == room
