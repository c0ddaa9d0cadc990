"""Durable messages: stored before anything else, and brought to each device in order."""

from router.aio import Router
from router.model import Outcome, SendResult, UserId
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.followers import Follower
from tests.support.waiting import eventually

ALICE = UserId("alice")


async def send(router: Router, *numbers: int) -> list[SendResult]:
    """Send alice durable messages, one after the other."""
    return [await router.send(ALICE, number, durable=True) for number in numbers]


async def mailbox_holds(cluster: Cluster, count: int) -> None:
    """Wait until acknowledgements have left so many messages in alice's mailbox."""

    async def so() -> bool:
        return int(await cluster.redis.xlen(cluster.keys.mail(ALICE))) == count

    await eventually(so, what=f"{count} messages in the mailbox")


def on(cluster: Cluster, node: int) -> str:
    return cluster.nodes[node].address


# ---- absent users -------------------------------------------------------------------------------


async def test_for_one_who_is_away_they_are_queued_and_replayed_in_order(
    cluster: Cluster,
) -> None:
    async with cluster.router() as router:
        results = await send(router, *range(200))
        assert {result.outcome for result in results} == {Outcome.QUEUED}
        assert (await router.user("alice")).mailbox == 200
    alice = Follower("alice")
    await alice.connect(on(cluster, 1))
    assert await alice.read(200) == list(range(200))
    assert [frame["id"] for frame in alice.frames] == [result.id for result in results]
    assert all(frame["replay"] for frame in alice.frames)
    assert await alice.client.nothing_came()
    await mailbox_holds(cluster, 0)
    await alice.close()


async def test_one_who_is_there_gets_them_live_with_their_offsets(cluster: Cluster) -> None:
    alice = Follower("alice")
    await alice.connect(on(cluster, 0))
    async with cluster.router() as router:
        results = await send(router, 1, 2, 3)
    assert {result.outcome for result in results} == {Outcome.DELIVERED}
    assert await alice.read(3) == [1, 2, 3]
    assert all("offset" in frame and "replay" not in frame for frame in alice.frames)
    await mailbox_holds(cluster, 0)
    await alice.close()


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(cluster: Cluster) -> None:
    alice = Follower("alice", asks=False)
    await alice.connect(on(cluster, 0))
    async with cluster.router() as router:
        await send(router, 1, 2)
        await alice.read(2)
        await mailbox_holds(cluster, 0)
        await alice.close()
        await no_route(cluster)
        await send(router, 3, 4)
        await alice.connect(on(cluster, 2))
        assert alice.resumed
        assert await alice.read(2) == [3, 4]
        await send(router, 5)
    assert await alice.read_to(5) == [1, 2, 3, 4, 5]
    await alice.close()


async def no_route(cluster: Cluster) -> None:
    async def so() -> bool:
        return not await cluster.routes("alice")

    await eventually(so)


async def test_plain_messages_are_not_kept_and_not_held_back(cluster: Cluster) -> None:
    async with cluster.router() as router:
        assert (await router.send("alice", "plain")).outcome is Outcome.OFFLINE
        await send(router, 1)
        alice = Follower("alice")
        await alice.connect(on(cluster, 0))
        assert await alice.read() == [1]
        assert (await router.send("alice", "now")).outcome is Outcome.DELIVERED
    assert await alice.read() == ["now"]
    await alice.close()


async def test_a_message_whose_time_has_passed_is_passed_over(cluster: Cluster) -> None:
    async with cluster.router() as router:
        await send(router, 1)
        await router.send("alice", "worthless", durable=True, ttl=0.001)
        await send(router, 2)

        sent_at, _ = await cluster.redis.time()

        async def its_time_has_passed() -> bool:
            # By more than the clocks that processes keep of the store's can be wrong.
            seconds, _ = await cluster.redis.time()
            return bool(seconds > sent_at + 1)

        await eventually(its_time_has_passed)
        alice = Follower("alice")
        await alice.connect(on(cluster, 0))
        assert await alice.read(2) == [1, 2]
        await send(router, 3)
        assert await alice.read() == [3]
    await alice.close()


# ---- several devices ----------------------------------------------------------------------------


async def test_every_device_gets_everything_and_one_that_comes_back_what_it_missed(
    cluster: Cluster,
) -> None:
    web, phone = Follower("alice", "web"), Follower("alice", "phone", asks=False)
    await web.connect(on(cluster, 0))
    await phone.connect(on(cluster, 1))
    async with cluster.router() as router:
        await send(router, 1, 2, 3)
        assert await web.read(3) == await phone.read(3) == [1, 2, 3]
        await mailbox_holds(cluster, 0)
        await phone.close()
        await send(router, 4, 5)
        assert await web.read(2) == [4, 5]
        await mailbox_holds(cluster, 2)
        await phone.connect(on(cluster, 2))
        assert phone.resumed
        assert await phone.read(2) == [4, 5]
        await mailbox_holds(cluster, 0)
        await send(router, 6)
    assert await web.read() == await phone.read() == [6]
    await web.close()
    await phone.close()


async def test_a_device_nobody_has_seen_before_gets_what_is_left(cluster: Cluster) -> None:
    web, new = Follower("alice", "web", ack="manual"), Follower("alice", "new")
    await web.connect(on(cluster, 0))
    async with cluster.router() as router:
        await send(router, 1, 2)
        await web.read(2)
        await new.connect(on(cluster, 0))
        assert not new.resumed
        assert await new.read(2) == [1, 2]
    await web.close()
    await new.close()


async def test_two_sessions_of_one_device_each_get_everything(cluster: Cluster) -> None:
    tabs = [Follower("alice"), Follower("alice")]
    for number, tab in enumerate(tabs):
        await tab.connect(on(cluster, number))
    async with cluster.router() as router:
        await send(router, *range(10))
    for tab in tabs:
        assert await tab.read(10) == list(range(10))
        await tab.close()


# ---- where to go on -----------------------------------------------------------------------------


async def test_an_offset_that_was_cut_is_not_resumed_and_never_silently(
    cluster: Cluster,
) -> None:
    alice = Follower("alice")
    await alice.connect(on(cluster, 0))
    async with cluster.router() as router:
        await send(router, *range(5))
        await alice.read(5)
        await mailbox_holds(cluster, 0)
        await send(router, 5)
        await alice.read()
    first, last = alice.frames[0]["offset"], alice.frames[-1]["offset"]
    await alice.close()
    stale = await cluster.connect(1, "alice", since=first)
    assert stale.greeting["resumed"] is False
    fresh = await cluster.connect(1, "alice", since=last)
    assert (fresh.greeting["resumed"], fresh.greeting["offset"]) == (True, last)
    assert await fresh.nothing_came()


async def test_a_full_mailbox_is_busy_until_there_is_room(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=1, mailbox={"max_length": 3}) as cluster:
        async with cluster.router() as router:
            await send(router, 1, 2, 3)
            result = await router.send("alice", 4, durable=True)
            assert result.outcome is Outcome.BUSY
            assert "3 messages" in result.reason
            alice = Follower("alice")
            await alice.connect(on(cluster, 0))
            assert await alice.read(3) == [1, 2, 3]
            await mailbox_holds(cluster, 0)
            assert (await router.send("alice", 5, durable=True)).outcome is Outcome.DELIVERED
        assert await alice.read() == [5]
        await alice.close()


async def test_a_link_that_drops_twenty_times_during_the_replay_costs_nothing(
    cluster: Cluster,
) -> None:
    async with cluster.router() as router:
        await router.join()
        for number in range(600):
            await router.send("alice", number, durable=True, confirm="accepted")
    # By itself its library would answer for what it takes and the test does not read any more.
    alice = Follower("alice", ack="manual")
    for drop in range(20):
        await alice.connect(on(cluster, drop % 3))
        assert alice.resumed is (drop > 0)
        await alice.read(1 + drop)
        await alice.client.cut()
    await alice.connect(on(cluster, 0))
    assert await alice.read_to(600) == list(range(600))
    await alice.close()
