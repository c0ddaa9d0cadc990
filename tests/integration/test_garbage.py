"""What lies in an inbox and is no envelope of ours is kept aside, and all behind it goes on."""

import msgspec
import pytest

from router.codec import KickEnvelope, MessageEnvelope, ReceiptEnvelope, encode
from router.model import Confirm, Outcome
from tests.support.cluster import Cluster, endpoint_of
from tests.support.logs import Logs
from tests.support.waiting import eventually

WARNING = "inbox entry cannot be used; kept as a dead letter"

MESSAGE = MessageEnvelope(
    id="m1",
    sender="",
    origin="",
    confirm=Confirm.ACCEPTED,
    hop=0,
    sent_at=0.0,
    expires_ms=0,
    users=["alice"],
    refs=[],
    data=b'"by hand"',
)


def changed(position: int, value: object) -> bytes:
    """Return a message whose element at `position` is something else."""
    elements = msgspec.msgpack.decode(encode(MESSAGE))
    elements[position] = value
    return msgspec.msgpack.encode(elements)


GARBAGE = {
    "nothing": b"",
    "a word": b"garbage",
    "no msgpack at all": b"\xc1\xff\x00",
    "another shape": msgspec.msgpack.encode({"id": "m1"}),
    "cut short": encode(MESSAGE)[:-3],
    "too long": encode(MESSAGE) + b"\x00",
    "a later version": changed(0, 0x21),
    "an unknown kind": changed(0, 0x1F),
    "an id that is a number": changed(1, 5),
    "too many hops": changed(5, 100),
    "users that are no list": changed(8, "alice"),
    "nested without end": b"\x91" * 100_000,
    "a huge list announced": b"\xdd\xff\xff\xff\xff",
    "a large text": b"x" * 300_000,
}


async def put(cluster: Cluster, node: int, *entries: bytes) -> None:
    inbox = cluster.keys.inbox(endpoint_of(cluster.nodes[node]))
    await cluster.redis.rpush(inbox, *entries)


async def is_empty(cluster: Cluster, node: int) -> None:
    async def so() -> bool:
        return await cluster.inbox(node) == 0

    await eventually(so)


async def dead_letters(cluster: Cluster) -> list[bytes]:
    return list(await cluster.redis.lrange(cluster.keys.dead, 0, -1))


@pytest.mark.parametrize("entry", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_becomes_a_dead_letter_and_the_loop_goes_on(
    cluster: Cluster, logs: Logs, entry: bytes
) -> None:
    alice = await cluster.connect(0, "alice")
    await put(cluster, 0, entry, encode(MESSAGE), entry)
    assert await alice.messages(1) == ["by hand"]
    await is_empty(cluster, 0)
    assert cluster.nodes[0].member.receiver.counts.dead == 2
    await eventually_dead(cluster, [entry[:65_536]] * 2)
    assert len(logs.events(WARNING)) == 1
    async with cluster.router() as router:
        assert (await router.send("alice", "after")).outcome is Outcome.DELIVERED
    assert await alice.messages(1) == ["after"]


async def eventually_dead(cluster: Cluster, expected: list[bytes]) -> None:
    async def so() -> bool:
        return await dead_letters(cluster) == expected

    await eventually(so)


async def test_dead_letters_are_capped_and_the_log_is_not_flooded(
    cluster: Cluster, logs: Logs
) -> None:
    await put(cluster, 0, *[b"%d" % number for number in range(3_000)])
    await is_empty(cluster, 0)

    async def the_newest_are_there() -> bool:
        letters = await dead_letters(cluster)
        return len(letters) == 1_000 and letters[-1] == b"2999"

    await eventually(the_newest_are_there)
    assert cluster.nodes[0].member.receiver.counts.dead == 3_000
    assert len(logs.events(WARNING)) == 1


STRANGE = {
    "a receipt for what nobody sent": encode(ReceiptEnvelope([1, 2, 1])),
    "a receipt that says something new": encode(ReceiptEnvelope([1, 99, 1])),
    "a receipt that is no triple": encode(ReceiptEnvelope([1, 2])),
    "a kick of nobody": encode(KickEnvelope("gone.1", 1, "eve", "", "")),
    "a message for nobody here": encode(msgspec.structs.replace(MESSAGE, users=["eve"])),
    "a message for no user": encode(msgspec.structs.replace(MESSAGE, users=[])),
    "a user id that is none": encode(msgspec.structs.replace(MESSAGE, users=["a{b} c"])),
}


@pytest.mark.parametrize("entry", STRANGE.values(), ids=STRANGE)
async def test_envelopes_that_lead_nowhere_do_no_harm(cluster: Cluster, entry: bytes) -> None:
    alice = await cluster.connect(0, "alice")
    async with cluster.router() as router:
        await put(cluster, 0, entry)
        assert (await router.send("alice", "after")).outcome is Outcome.DELIVERED
    assert await alice.messages(1) == ["after"]
    await is_empty(cluster, 0)


async def test_a_kick_whose_reason_fits_no_close_frame_closes_the_session_all_the_same(
    cluster: Cluster,
) -> None:
    alice = await cluster.connect(0, "alice")
    bob = await cluster.connect(0, "bob")
    await put(cluster, 0, encode(KickEnvelope("", 1, "alice", "", "é" * 120)))
    code, _, _ = await alice.closed()
    assert code == 4410
    assert await bob.nothing_came()
    assert await cluster.nodes[0].router.sessions("alice") == []


async def test_data_that_is_not_json_reaches_nobody_and_stops_nobody(
    cluster: Cluster, logs: Logs
) -> None:
    bob = await cluster.connect(0, "bob", protocol="switchboard.v1.msgpack")
    alice = await cluster.connect(0, "alice")
    broken = msgspec.structs.replace(MESSAGE, users=["bob"], data=b"{broken")
    await put(cluster, 0, encode(broken), encode(MESSAGE))
    assert await alice.messages(1) == ["by hand"]
    await eventually_dead(cluster, [encode(broken)])
    assert await bob.nothing_came()
    await is_empty(cluster, 0)
    assert len(logs.events(WARNING)) == 1
