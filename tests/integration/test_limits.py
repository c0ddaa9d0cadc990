"""The limit of a message, in both directions."""

import json

import pytest

from router.errors import TooLarge
from router.model import Outcome, UserId
from tests.support.cluster import Cluster
from tests.support.waiting import eventually

LIMIT_BYTES = 65_536


def data_of(size_bytes: int) -> str:
    """Return a text that is so long as JSON."""
    return "x" * (size_bytes - 2)


async def test_the_limit_is_told_in_the_welcome(cluster: Cluster) -> None:
    alice = await cluster.connect(0, "alice")
    assert alice.greeting["max_message_bytes"] == LIMIT_BYTES


async def test_data_at_the_limit_reaches_the_client_and_one_byte_more_is_refused(
    cluster: Cluster,
) -> None:
    alice = await cluster.connect(0, "alice")
    async with cluster.router() as router:
        result = await router.send("alice", data_of(LIMIT_BYTES))
        assert result.outcome is Outcome.DELIVERED
        with pytest.raises(TooLarge) as caught:
            await router.send("alice", data_of(LIMIT_BYTES + 1))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (LIMIT_BYTES + 1, LIMIT_BYTES)
    assert await alice.messages(1) == [data_of(LIMIT_BYTES)]
    assert await alice.nothing_came()


async def test_a_clients_frame_at_the_limit_is_taken(cluster: Cluster) -> None:
    alice, bob = await cluster.connect(0, "alice"), await cluster.connect(1, "bob")
    empty = json.dumps({"type": "send", "ref": 1, "to": "alice", "data": ""})
    data = "x" * (LIMIT_BYTES - len(empty))
    outcome = await bob.ask(type="send", ref=1, to="alice", data=data)
    assert outcome["outcome"] == "delivered"
    assert await alice.messages(1) == [data]


async def test_a_clients_frame_over_the_limit_closes_with_1009_and_says_the_limit(
    cluster: Cluster,
) -> None:
    alice, bob = await cluster.connect(0, "alice"), await cluster.connect(1, "bob")
    await bob.connection.send("x" * (LIMIT_BYTES + 1))
    code, reason, _ = await bob.closed()
    assert (code, reason) == (1009, f"a message has at most {LIMIT_BYTES} bytes")

    async def bob_is_gone() -> bool:
        return not await cluster.routes("bob")

    await eventually(bob_is_gone)
    assert await alice.nothing_came()


async def test_three_frames_that_make_no_sense_close_with_1008(cluster: Cluster) -> None:
    bob = await cluster.connect(0, "bob")
    for _ in range(2):
        await bob.connection.send("nonsense")
        assert (await bob.expect("error"))["code"] == "bad_frame"
    assert await bob.nothing_came()
    await bob.connection.send("nonsense")
    code, _, frames = await bob.closed()
    assert code == 1008
    assert [frame["type"] for frame in frames] == ["error", "goodbye"]


async def test_a_kick_closes_with_4410_wherever_the_sessions_are(cluster: Cluster) -> None:
    clients = [await cluster.connect(number, "alice") for number in range(3)]
    async with cluster.router() as router:
        assert await router.kick("alice", reason="logged out") == 3
        assert await router.kick("alice") == 0
    for client in clients:
        code, reason, frames = await client.closed()
        assert (code, reason) == (4410, "logged out")
        assert frames == [{"type": "goodbye", "reason": "logged out"}]


async def test_one_session_of_several_may_be_kicked(cluster: Cluster) -> None:
    stays, goes = [await cluster.connect(number, "alice") for number in range(2)]
    async with cluster.router() as router:
        assert await router.kick("alice", session=goes.session) == 1
    assert (await goes.closed())[0] == 4410
    assert await stays.nothing_came()
    assert len(cluster.nodes[0].hub.get(UserId("alice"))) == 1
