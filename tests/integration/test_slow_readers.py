"""A client that reads slowly, or not at all, is found out, and harms nobody but itself."""

import asyncio

from websockets.frames import Opcode

from router.model import Outcome, UserId
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.cluster import Cluster
from tests.support.waiting import eventually

WAITING_BYTES = 200_000
LARGE = "x" * 50_000


def slow_client(cluster: Cluster, node: int, user: str) -> RawClient:
    """Return a client with little room, that reads only when it is told to."""
    address = cluster.nodes[node].address
    return RawClient(address, f"/ws?user={user}", receive_buffer_bytes=4_096)


def waiting(cluster: Cluster, user: str) -> int:
    """Return how many bytes wait for a user's sessions."""
    return sum(
        session._socket.waiting_bytes
        for node in cluster.nodes
        for session in node.hub.get(UserId(user))
    )


async def test_a_slow_reader_is_closed_with_4408_and_the_others_are_unaffected(
    store: EmbeddedServer,
) -> None:
    settings = {"max_waiting_bytes": WAITING_BYTES}
    async with Cluster(store.address.url, nodes=2, node=settings) as cluster:
        quick = await cluster.connect(0, "quick")
        async with slow_client(cluster, 0, "slow") as slow, cluster.router() as router:
            assert (await slow.message())["type"] == "welcome"
            outcomes, most = [], 0
            for number in range(400):
                result = await router.send("slow", LARGE, confirm="written")
                outcomes.append(result.outcome)
                most = max(most, waiting(cluster, "slow"))
                assert (await router.send("quick", number)).outcome is Outcome.DELIVERED
                if result.outcome is not Outcome.WRITTEN:
                    break
            assert outcomes[-1] is Outcome.DROPPED
            assert set(outcomes[:-1]) == {Outcome.WRITTEN}
            assert most <= WAITING_BYTES + len(LARGE) + 200
            assert await quick.messages(len(outcomes)) == list(range(len(outcomes)))
            await gone(cluster, "slow")
            frames = [await slow.frame() for _ in range(len(outcomes))]
            assert [frame.opcode for frame in frames[:-1]] == [Opcode.TEXT] * (len(outcomes) - 1)
            assert frames[-1].opcode is Opcode.CLOSE
            assert bytes(frames[-1].data) == b"\x11\x38slow consumer"  # 4408


async def gone(cluster: Cluster, user: str) -> None:
    async def so() -> bool:
        return not await cluster.routes(user)

    await eventually(so)


async def test_one_who_floods_a_slow_reader_takes_no_room_from_others(
    store: EmbeddedServer,
) -> None:
    settings = {"max_waiting_bytes": WAITING_BYTES}
    async with Cluster(store.address.url, nodes=2, node=settings) as cluster:
        async with slow_client(cluster, 0, "slow") as slow, cluster.router() as router:
            await slow.message()

            async def outcome(origin: str, data: str) -> Outcome:
                return (await router.send("slow", data, origin=origin, confirm="written")).outcome

            while waiting(cluster, "slow") < WAITING_BYTES * 0.6:
                assert await outcome("noisy", LARGE) is Outcome.WRITTEN
            assert await outcome("quiet", "first") is Outcome.WRITTEN
            heard = [await outcome("noisy", LARGE) for _ in range(20)]
            assert heard[-1] is Outcome.DROPPED
            assert await outcome("quiet", "second") is Outcome.WRITTEN
            assert waiting(cluster, "slow") <= 1.5 * WAITING_BYTES
            quiet: list[str] = []
            while len(quiet) < 2:
                message = await slow.message()
                quiet += [message["data"]] if message["from"] == "quiet" else []
            assert quiet == ["first", "second"]


async def test_messages_together_beyond_the_bound_close_too_however_fast_they_come(
    store: EmbeddedServer,
) -> None:
    settings = {"max_waiting_bytes": WAITING_BYTES}
    async with Cluster(store.address.url, nodes=1, node=settings) as cluster:
        async with slow_client(cluster, 0, "slow") as slow, cluster.router() as router:
            await slow.message()
            results = await asyncio.gather(
                *(router.send("slow", LARGE, timeout=1.0) for _ in range(400))
            )
            outcomes = {result.outcome for result in results}
            assert Outcome.DELIVERED not in outcomes
            assert outcomes <= {Outcome.UNKNOWN, Outcome.DROPPED, Outcome.OFFLINE}
            assert waiting(cluster, "slow") == 0


async def test_a_client_that_never_reads_is_written_to_but_never_called_delivered(
    cluster: Cluster,
) -> None:
    async with slow_client(cluster, 1, "deaf") as deaf, cluster.router() as router:
        await deaf.message()
        for _ in range(5):
            assert (await router.send("deaf", "x", confirm="written")).outcome is Outcome.WRITTEN
        result = await router.send("deaf", "x", timeout=0.3)
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "no proof came in 0.3 s")
        deaf.cut()


async def test_a_client_that_leaves_before_the_proof_is_told_of_at_once(cluster: Cluster) -> None:
    async with slow_client(cluster, 1, "deaf") as deaf, cluster.router() as router:
        await deaf.message()
        sending = asyncio.create_task(router.send("deaf", "x", timeout=60.0))
        await eventually(lambda: cluster.delivered()[1] == 1)
        deaf.cut()
        result = await sending
        assert result.outcome is Outcome.UNKNOWN
        assert result.reason == "the connection closed before it proved receipt"


async def test_reading_the_message_is_no_proof_but_the_pong_is(cluster: Cluster) -> None:
    async with slow_client(cluster, 1, "alice") as alice, cluster.router() as router:
        await alice.message()
        sending = asyncio.create_task(router.send("alice", "x", timeout=60.0))
        assert (await alice.message())["data"] == "x"
        assert (await alice.frame()).opcode is Opcode.PING
        assert not sending.done()
        await alice.answer()
        assert (await sending).outcome is Outcome.DELIVERED


async def test_a_deaf_session_beside_a_hearing_one_does_not_keep_a_message_from_being_proved(
    cluster: Cluster,
) -> None:
    hearing = await cluster.connect(0, "alice")
    async with slow_client(cluster, 1, "alice") as deaf, cluster.router() as router:
        await deaf.message()
        for number in range(3):
            assert (await router.send("alice", number)).outcome is Outcome.DELIVERED
        assert await hearing.messages(3) == [0, 1, 2]
