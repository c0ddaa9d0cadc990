"""What a rescuer does with a dead endpoint: its messages, its routes, its keys."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.codec import MAX_HOPS, Answer, KickEnvelope, ReceiptEnvelope, decode_envelope, encode
from router.member import sender_lease
from router.model import EndpointId, Outcome, SendResult, UserId
from router.store import remains
from router.store.embedded import EmbeddedServer
from router.transport.outbox import Push
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint
from tests.support.rescues import Held, Rescues, message, rescues
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs

DEAD_LETTER = "inbox entry cannot be used; kept as a dead letter"


@pytest.fixture(autouse=True)
def rescues_are_logged(logs: StrictLogs) -> None:
    logs.expect("endpoint is dead, rescuing it")


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str) -> AsyncIterator[Rescues]:
    async with rescues(store.address.url, fast_settings(prefix)) as found:
        yield found


@pytest.fixture
async def n1(world: Rescues) -> Endpoint:
    return await world.start("n1")


async def rescued(world: Rescues, endpoint: EndpointId) -> None:
    """Rescue an endpoint; go on when nothing is left of it."""
    await world.dies(endpoint)
    (await world.rescuer()).rescue_own(endpoint)
    await world.gone(endpoint)


async def hears_nothing(
    world: Rescues, endpoint: Endpoint, sending: "asyncio.Task[SendResult]"
) -> bool:
    """Say whether a sender has no answer, with that to a later message as the end of them."""
    await endpoint.attach("bob")
    assert (await world.router.send("bob", "later")).outcome is Outcome.DELIVERED
    return not sending.done()


class TestMessages:
    async def test_they_follow_their_user_and_the_sender_learns_the_truth(
        self, world: Rescues, n1: Endpoint
    ) -> None:
        dead = await world.dying("dead", "alice")
        sending = asyncio.create_task(world.router.send("alice", "hello", timeout=30.0))
        await world.waits(dead, 1)
        await n1.attach("alice")
        await rescued(world, dead)
        assert (await sending).outcome is Outcome.DELIVERED
        assert [(m.data, m.hop) for m in n1.messages] == [(b'"hello"', 1)]
        assert await world.routes("alice") == {n1.id}

    async def test_one_for_many_users_goes_to_wherever_each_of_them_is(
        self, world: Rescues, n1: Endpoint
    ) -> None:
        dead = await world.dying("dead", "alice", "bob", "carol")
        users = ["alice", "bob", "carol"]
        sending = asyncio.create_task(
            world.router.send_many(users, "sale", confirm="delivered", timeout=30.0)
        )
        await world.waits(dead, 1)
        n2 = await world.start("n2")
        await n1.attach("alice")
        await n2.attach("bob")
        await rescued(world, dead)
        outcomes = {user: result.outcome for user, result in (await sending).items()}
        assert outcomes == {
            UserId("alice"): Outcome.DELIVERED,
            UserId("bob"): Outcome.DELIVERED,
            UserId("carol"): Outcome.UNKNOWN,
        }
        assert (n1.texts("alice"), n2.texts("bob")) == (['"sale"'], ['"sale"'])

    async def test_a_user_on_two_other_nodes_gets_it_on_both(
        self, world: Rescues, n1: Endpoint
    ) -> None:
        dead = await world.dying("dead", "alice")
        await world.lay(dead, message("m1", "alice"))
        n2 = await world.start("n2")
        await n1.attach("alice")
        await n2.attach("alice")
        await rescued(world, dead)
        await eventually(lambda: n1.texts() == n2.texts() == ["m1"])

    async def test_they_come_in_the_order_in_which_they_lay_there(
        self, world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remains, "_BATCH", 32)
        dead = await world.dying("dead", "alice")
        ids = [f"m{number}" for number in range(100)]
        await world.lay(dead, *(message(each, "alice") for each in ids))
        await n1.attach("alice")
        await rescued(world, dead)
        await eventually(lambda: n1.texts() == ids)

    async def test_of_one_that_finds_nobody_the_sender_hears_unknown_after_its_removal(
        self, world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead = await world.dying("dead", "alice")
        sending = asyncio.create_task(world.router.send("alice", "lost", timeout=30.0))
        await world.waits(dead, 1)
        await world.dies(dead)
        member = await world.member()
        looked_up = Held(member, monkeypatch, 3)  # fence, read, look up
        (await world.rescuer(member)).rescue_own(dead)
        await looked_up.reached.wait()
        assert await hears_nothing(world, n1, sending)
        looked_up.goes_on.set()
        result = await sending
        assert (result.outcome, "timeout" in result.reason) == (Outcome.UNKNOWN, False)
        await world.gone(dead)

    async def test_while_the_removal_is_refused_the_sender_hears_nothing(
        self, world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead = await world.dying("dead", "alice")
        sending = asyncio.create_task(world.router.send("alice", "lost", timeout=30.0))
        await world.waits(dead, 1)
        await world.dies(dead)
        member = await world.member()
        looked_up = Held(member, monkeypatch, 3)
        first = await world.rescuer(member)
        first.rescue_own(dead)
        await looked_up.reached.wait()
        await world.token_ends(dead)
        looked_up.goes_on.set()
        await eventually(lambda: looked_up.steps == 4)
        await first.stop()
        assert await hears_nothing(world, n1, sending)
        assert (first.counts.rescues, first.counts.failures["rescue"]) == (0, 0)
        (await world.rescuer()).rescue_own(dead)
        assert (await sending).outcome is Outcome.UNKNOWN

    async def test_what_is_no_message_for_users_ends_with_the_dead(
        self, world: Rescues, n1: Endpoint, logs: StrictLogs
    ) -> None:
        dead = await world.dying("dead", "alice")
        await n1.attach("alice")
        receipt = encode(ReceiptEnvelope([1, Answer.DELIVERED, 1]))
        kick = encode(KickEnvelope(world.router.member.endpoint.id or "", 1, "alice", "", ""))
        await world.lay(dead, receipt, message("m1", "alice"), kick)
        await rescued(world, dead)
        await eventually(lambda: n1.texts() == ["m1"])
        assert await world.dead_letters() == []

    async def test_what_is_no_envelope_becomes_a_dead_letter_and_the_next_goes_on(
        self, world: Rescues, n1: Endpoint, logs: StrictLogs
    ) -> None:
        logs.expect(DEAD_LETTER)
        dead = await world.dying("dead", "alice")
        await n1.attach("alice")
        await world.lay(dead, b"\xff poison", message("m1", "alice"))
        await rescued(world, dead)
        await eventually(lambda: n1.texts() == ["m1"])
        assert await world.dead_letters() == [b"\xff poison"]

    async def test_what_was_rescued_too_often_becomes_a_dead_letter_and_its_sender_hears_unknown(
        self, world: Rescues, n1: Endpoint, logs: StrictLogs
    ) -> None:
        logs.expect(DEAD_LETTER)
        dead = await world.dying("dead", "alice")
        await n1.attach("alice")
        sender = await world.unread("sender")
        tired = message("m1", "alice", "bob", hop=MAX_HOPS, sender=sender)
        await world.lay(dead, tired, message("m2", "alice", hop=MAX_HOPS - 1))
        await rescued(world, dead)
        await eventually(lambda: n1.texts() == ["m2"])
        assert await world.dead_letters() == [tired]
        await world.waits(sender, 1)
        (receipt,) = await world.redis.lrange(world.key(sender, "inbox"), 0, -1)
        unsure = [1, Answer.UNSURE, 0, 2, Answer.UNSURE, 0]
        assert decode_envelope(receipt) == ReceiptEnvelope(unsure)


class TestCleaningUp:
    async def test_nothing_of_it_is_left_and_other_routes_stay(
        self, world: Rescues, n1: Endpoint
    ) -> None:
        users = [f"u{number}" for number in range(20)]
        dead = await world.dying("dead", *users)
        await n1.attach(*users[:10])
        await world.lay(dead, message("m1", "u0"))
        await rescued(world, dead)
        for user in users:
            assert await world.routes(user) == ({n1.id} if user in users[:10] else set())
            seen = await world.redis.exists(world.key(user, "seen"))
            assert bool(seen) == (user not in users[:10])

    async def test_one_that_is_alive_is_left_alone(self, world: Rescues, n1: Endpoint) -> None:
        dead = await world.dying("dead")
        await n1.attach("alice")
        await world.dies(dead)
        rescuer = await world.rescuer()
        rescuer.rescue_own(n1.id)
        rescuer.rescue_own(dead)
        await world.gone(dead)
        await eventually(lambda: rescuer.counts.rescues == 1)
        assert (await world.router.send("alice", 1)).outcome is Outcome.DELIVERED

    async def test_nothing_a_zombie_does_brings_it_back(self, world: Rescues) -> None:
        dead = await world.dying("dead", "alice")
        await rescued(world, dead)
        zombie = await world.member()
        assert await zombie.outbox.post(dead, message("m1", "alice")) is Push.NOT_OPEN
        assert await zombie.leases.close(dead) == 0
        assert await world.left_of(dead) == []
        assert await zombie.leases.heartbeat(dead, sender_lease()) is None
        await rescued(world, dead)  # its heartbeat had listed it again, and no more
