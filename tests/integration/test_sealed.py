"""With keys, nothing that others put into the store reaches a client, and all else goes on."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from router.codec import KickEnvelope, MessageEnvelope, StoredMessage, encode
from router.keys import Keys
from router.model import Confirm, EndpointId, Outcome, UserId
from router.seals import Seals
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster, endpoint_of
from tests.support.logs import Logs
from tests.support.waiting import eventually

OLD, NEW, STRANGE = "old" * 12, "new" * 12, "strange" * 6
DEAD: Final = "inbox entry cannot be used; kept as a dead letter"


def forged(*users: str) -> bytes:
    """Return a message that nobody of the cluster has sent."""
    return encode(
        MessageEnvelope("f1", "", "bob", Confirm.ACCEPTED, 0, 1.0, 0, list(users), [], b'"forged"')
    )


@pytest.fixture
async def sealed(store: EmbeddedServer) -> AsyncIterator[Cluster]:
    """Two nodes with keys; one of them is ahead in changing them."""
    async with Cluster(store.address.url, 0, redis={"envelope_keys": [OLD, NEW]}) as cluster:
        await cluster.start("n1")
        await cluster.start("n2", redis={"envelope_keys": [NEW, OLD]})
        yield cluster


def dead(cluster: Cluster, node: int) -> int:
    return int(cluster.nodes[node].member.counts.dead)


async def test_everything_goes_on_as_without(sealed: Cluster) -> None:
    alice = await sealed.connect(0, "alice", device="web")
    async with sealed.router() as router:
        assert (await router.send("alice", 1)).outcome is Outcome.DELIVERED
        assert (await router.send("alice", 2, durable=True)).outcome is Outcome.DELIVERED
        assert (await router.send("bob", 3, durable=True)).outcome is Outcome.QUEUED
        assert await router.broadcast(4) == 2
        assert await alice.messages(3) == [1, 2, 4]
        bob = await sealed.connect(1, "bob")
        assert await bob.messages(1) == [3]
        assert await router.kick("bob") == 1
        await bob.closed()
        # One that comes where its user is not any more is sent on, sealed anew.
        onward = sealed.nodes[1].member.seals.seal(endpoint_of(sealed.nodes[1]), forged("alice"))
        await sealed.redis.rpush(sealed.keys.inbox(endpoint_of(sealed.nodes[1])), onward)
        assert await alice.messages(1) == ["forged"]
    assert [dead(sealed, 0), dead(sealed, 1)] == [0, 0]


@pytest.mark.one_server
async def test_in_the_store_there_is_nothing_without_a_seal(sealed: Cluster) -> None:
    await sealed.connect(0, "alice")
    monitor: Any = sealed.redis.monitor()
    async with monitor, sealed.router() as router:
        await router.send("alice", "said aloud")
        await router.send("nobody", "stored", durable=True)
        assert await router.kick("alice") == 1
        await sealed.redis.echo(f"{sealed.prefix} over")
        commands = [""]
        while f"{sealed.prefix} over" not in commands[-1]:
            commands.append((await monitor.next_command())["command"])
    pushes = [each for each in commands if "RPUSH" in each and sealed.prefix in each]
    ours = [each for each in pushes if "{probe." not in each]
    assert len(ours) >= 4  # the message, the receipts, the kick, its answer
    assert all(" \\xc1\\x01" in each for each in ours)
    ((_, fields),) = await sealed.redis.xrange(sealed.keys.mail(UserId("nobody")))
    assert fields[b"message"].startswith(b"\xc1\x01")


async def test_what_has_no_seal_or_a_wrong_one_reaches_nobody(sealed: Cluster, logs: Logs) -> None:
    alice, eve = await sealed.connect(0, "alice"), await sealed.connect(1, "eve")
    n1, n2 = (endpoint_of(node) for node in sealed.nodes)
    mine = sealed.nodes[0].member.seals
    wrong = [
        forged("alice"),
        forged("alice", "eve"),
        Seals([STRANGE.encode()]).seal(n1, forged("alice")),
        mine.seal(n2, forged("alice")),  # for another inbox
        mine.seal(EndpointId("n1.0"), forged("alice")),  # for an earlier epoch
        mine.seal(n1, forged("alice"))[:-1],
        encode(KickEnvelope("", 1, "alice", "", "go")),
        b"\xc1\x01",
    ]
    await sealed.redis.rpush(sealed.keys.inbox(n1), *wrong)
    await eventually(lambda: dead(sealed, 0) == len(wrong))
    assert len(logs.events(DEAD)) == 1
    assert await alice.nothing_came()
    assert await eve.nothing_came()
    async with sealed.router() as router:
        assert (await router.send("alice", "after")).outcome is Outcome.DELIVERED
    assert await alice.messages(1) == ["after"]


async def test_what_others_put_into_a_mailbox_is_passed_over_and_counted(sealed: Cluster) -> None:
    redis, keys = sealed.redis, sealed.keys
    async with sealed.router() as router:
        await router.send("bob", "for bob", durable=True)
        await router.send("alice", "first", durable=True)
        ((_, bobs),) = await redis.xrange(keys.mail(UserId("bob")))
        forgery = encode(StoredMessage("f1", "bob", 1.0, 0, b'"forged"'))
        for value in (forgery, bobs[b"message"], b"\xc1\x01", b""):
            await redis.xadd(
                keys.mail(UserId("alice")), {"name": "x", "message": value, "total": 1}
            )
        await router.send("alice", "last", durable=True)
    alice = await sealed.connect(0, "alice")
    assert await alice.messages(2) == ["first", "last"]
    assert sealed.nodes[0].member.counts.garbage == 4


async def test_a_rescue_looks_at_seals_too(sealed: Cluster) -> None:
    alice = await sealed.connect(0, "alice")
    seals, keys, gone = sealed.nodes[0].member.seals, Keys(sealed.prefix), EndpointId("gone.1")
    good = seals.seal(gone, forged("alice"))
    await sealed.redis.rpush(
        keys.inbox(gone), forged("alice"), good, seals.seal(EndpointId("x.1"), forged("alice"))
    )
    await sealed.redis.sadd(keys.endpoints, gone)
    assert await alice.messages(1) == ["forged"]
    await eventually(lambda: dead(sealed, 0) + dead(sealed, 1) == 2)
    assert await alice.nothing_came()
