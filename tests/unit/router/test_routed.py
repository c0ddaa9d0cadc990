"""The product's way of bringing a message to its user: look up, push, and tell the truth."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from router.codec import MAX_USERS_PER_ENVELOPE, Answer, MessageEnvelope, decode_envelope
from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.model import Confirm, EndpointId, Outcome, Session, SessionId, UserId
from router.settings import MailboxSettings, RegistrySettings
from router.store import scripts
from router.store.connect import Connector
from router.store.mailbox import Mailbox
from router.store.registry import Registry
from router.store.resp import Command
from router.store.routes import Question, RouteTable
from router.store.store import Store
from router.transport import lookups as lookups_module
from router.transport.base import Delivery
from router.transport.outbox import Outbox
from router.transport.routed import RoutedTransport
from tests.support.proxy import Fault, Proxy, Way
from tests.support.rooms import room
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

ALICE, BOB, EVE = UserId("alice"), UserId("bob"), UserId("eve")
N1, N2, N3 = (EndpointId(name) for name in ("n1.aa", "n2.bb", "n3.cc"))
SENDER = "send.01"
INBOX_LENGTH = 20
PUSH_SHA, FORGET_SHA = scripts.PUSH.sha.encode(), scripts.FORGET.sha.encode()


class World:
    """A transport on a real store, and what it has said of each delivery.

    Args:
        store: for pushes and detours.
        look_ups: opens the connection of the look-ups.
        keys: key names.
        redis: for arranging and looking.
    """

    def __init__(self, store: Store, look_ups: Connector, keys: Keys, redis: "Redis") -> None:
        self.keys = keys
        self.redis = redis
        settings = RegistrySettings()
        self.registry = Registry(store, keys, settings)
        self.routes = RouteTable(look_ups, keys, settings)
        outbox = Outbox(store, keys, room(INBOX_LENGTH), 50_000)
        self.mailbox = Mailbox(store, keys, MailboxSettings())
        self.transport = RoutedTransport(
            store, self.routes, self.registry, self.mailbox, outbox, self._changed
        )
        self.settled: list[Delivery] = []
        self._refs = 0

    def _changed(self, delivery: Delivery) -> None:
        """Settle as `Sending` does."""
        if delivery.open:
            delivery.outcome = delivery.verdict()
            if delivery.outcome is None:
                return
        if delivery not in self.settled:
            self.settled.append(delivery)

    def publish(
        self,
        *users: UserId,
        data: bytes = b'"x"',
        confirm: Confirm = Confirm.ACCEPTED,
        sender: str = SENDER,
        durable: bool = False,
    ) -> list[Delivery]:
        """Publish one message and return its deliveries."""
        deliveries = []
        for user in users:
            self._refs += 1
            one = Delivery(user, self._refs, confirm, lambda _: None, durable=durable)
            deliveries.append(one)
        parcel = MessageEnvelope("m", sender, "", int(confirm), 0, 1.0, 0, None, [], data)
        self.transport.publish(parcel, deliveries)
        return deliveries

    async def send(self, user: UserId = ALICE, **how: Any) -> Delivery:
        """Publish to one user and wait until that is settled."""
        [delivery] = self.publish(user, **how)
        await eventually(lambda: not delivery.open, what=f"an outcome for {user}")
        return delivery

    async def come(self, user: UserId, *endpoints: EndpointId) -> None:
        """Let the user have a session on each endpoint."""
        for endpoint in endpoints:
            written = Session(SessionId(f"s-{user}"), endpoint, "web", "", 1.0)
            await self.registry.register([(user, written)])

    async def warm(self, *users: UserId) -> None:
        """Have the cache know these users."""
        self.routes.look_up([Question(user) for user in users], lambda *_: None)
        await eventually(lambda: all(self.routes.cached(user) for user in users))

    def inbox(self, endpoint: EndpointId) -> list[MessageEnvelope]:
        found: Any = self.redis.lrange(self.keys.inbox(endpoint), 0, -1)
        entries = [decode_envelope(entry) for entry in found]
        return [entry for entry in entries if isinstance(entry, MessageEnvelope)]

    def data(self, endpoint: EndpointId) -> list[bytes]:
        return [envelope.data for envelope in self.inbox(endpoint)]

    def close(self, *endpoints: EndpointId) -> None:
        self.redis.delete(*(self.keys.open(endpoint) for endpoint in endpoints))


@asynccontextmanager
async def opened(
    store: Store, look_ups: Connector, keys: Keys, redis: "Redis"
) -> AsyncIterator[World]:
    redis.mset({keys.open(endpoint): b"1" for endpoint in (N1, N2, N3)})
    world = World(store, look_ups, keys, redis)
    await world.transport.open()
    try:
        yield world
    finally:
        await world.transport.close()


@pytest.fixture
async def world(
    plain_store: Store, connector: Connector, keys: Keys, redis: Redis
) -> AsyncIterator[World]:
    async with opened(plain_store, connector, keys, redis) as found:
        yield found


@pytest.fixture
async def shaky_pushes(
    shaky_store: Store, connector: Connector, keys: Keys, redis: Redis
) -> AsyncIterator[World]:
    """Pushes and detours go through the proxy, look-ups do not."""
    async with opened(shaky_store, connector, keys, redis) as found:
        yield found


@pytest.fixture
async def shaky_look_ups(
    plain_store: Store, shaky: Connector, keys: Keys, redis: Redis, logs: StrictLogs
) -> AsyncIterator[World]:
    """Look-ups go through the proxy, nothing else does."""
    logs.expect("store connection lost")
    async with opened(plain_store, shaky, keys, redis) as found:
        yield found


class TestPushing:
    async def test_a_message_lies_in_the_inbox_of_each_node_that_holds_the_user(
        self, world: World
    ) -> None:
        await world.come(ALICE, N1, N2)
        delivery = await world.send(ALICE)
        assert (delivery.outcome, delivery.sessions) == (Outcome.ACCEPTED, 2)
        assert [len(world.inbox(endpoint)) for endpoint in (N1, N2, N3)] == [1, 1, 0]

    async def test_an_envelope_names_its_users_and_their_numbers(self, world: World) -> None:
        await world.come(ALICE, N1)
        await world.come(BOB, N1)
        alice, bob = world.publish(ALICE, BOB, confirm=Confirm.DELIVERED)
        await eventually(lambda: world.inbox(N1))
        [envelope] = world.inbox(N1)
        assert (envelope.users, envelope.refs) == ([ALICE, BOB], [alice.ref, bob.ref])
        assert (envelope.sender, envelope.confirm, envelope.hop) == (SENDER, Confirm.DELIVERED, 0)

    async def test_where_nobody_waits_no_numbers_travel(self, world: World) -> None:
        await world.come(ALICE, N1)
        await world.send(ALICE, sender="")
        assert [envelope.refs for envelope in world.inbox(N1)] == [[]]

    async def test_very_many_users_of_one_node_are_parted(self, world: World) -> None:
        users = [UserId(f"user-{number}") for number in range(MAX_USERS_PER_ENVELOPE + 1)]
        await world.registry.register(
            [(user, Session(SessionId("s"), N1, "web", "", 1.0)) for user in users]
        )
        deliveries = world.publish(*users)
        await eventually(lambda: len(world.settled) == len(users))
        assert {delivery.outcome for delivery in deliveries} == {Outcome.ACCEPTED}
        sizes = [len(envelope.users or ()) for envelope in world.inbox(N1)]
        assert sizes == [MAX_USERS_PER_ENVELOPE, 1]

    async def test_who_is_nowhere_is_offline(self, world: World) -> None:
        delivery = await world.send(ALICE)
        assert (delivery.outcome, delivery.sessions) == (Outcome.OFFLINE, 0)

    async def test_sessions_are_attached_and_detached_in_the_registry(self, world: World) -> None:
        session = Session(SessionId("s1"), N1, "web", "", 1.0)
        assert await world.transport.attach([(ALICE, session)])
        assert await world.registry.sessions(ALICE) == [session]
        await world.transport.detach(ALICE, N1, SessionId("s1"), last_here=True)
        assert await world.registry.sessions(ALICE) == []

    async def test_a_full_inbox_is_busy_with_its_name(self, world: World) -> None:
        await world.come(ALICE, N1)
        world.redis.rpush(world.keys.inbox(N1), *["x"] * INBOX_LENGTH)
        delivery = await world.send(ALICE)
        assert delivery.outcome is Outcome.BUSY
        assert N1 in delivery.reason


class TestOrder:
    async def test_a_message_does_not_overtake_one_that_waits_for_a_look_up(
        self, world: World
    ) -> None:
        await world.come(ALICE, N1)
        for number in range(10):
            world.publish(ALICE, data=str(number).encode())
            if number == 4:
                await rounds(2)
        await eventually(lambda: len(world.settled) == 10)
        assert world.data(N1) == [str(number).encode() for number in range(10)]

    async def test_many_users_look_ups_travel_in_slices(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lookups_module, "_MAX_LOOK_UPS", 2)
        asked: list[Sequence[Question]] = []
        look_up = world.routes.look_up

        def counted(questions: Sequence[Question], done: Any, replicas: int = 0) -> None:
            asked.append(questions)
            look_up(questions, done, replicas)

        monkeypatch.setattr(world.routes, "look_up", counted)
        users = [UserId(f"user-{number}") for number in range(7)]
        for user in users[:5]:
            await world.come(user, N1)
        deliveries = [delivery for user in users for delivery in world.publish(user)]
        await eventually(lambda: len(world.settled) == 7)
        outcomes = [delivery.outcome for delivery in deliveries]
        assert outcomes == [Outcome.ACCEPTED] * 5 + [Outcome.OFFLINE] * 2
        assert all(len(users) <= 2 for users in asked)

    async def test_who_comes_while_a_look_up_is_under_way_is_not_judged_by_it(
        self, shaky_look_ups: World, proxy: Proxy
    ) -> None:
        world = shaky_look_ups
        proxy.hold()
        [early] = world.publish(ALICE)
        await rounds()
        [late] = world.publish(ALICE)
        [other] = world.publish(BOB)
        await world.come(BOB, N2)
        proxy.heal()
        await eventually(lambda: not (early.open or late.open or other.open))
        assert [d.outcome for d in (early, late, other)] == [
            Outcome.OFFLINE,
            Outcome.OFFLINE,
            Outcome.ACCEPTED,
        ]

    async def test_who_is_known_by_then_needs_no_second_look_up(
        self, shaky_look_ups: World, proxy: Proxy
    ) -> None:
        world = shaky_look_ups
        await world.come(ALICE, N1)
        proxy.hold()
        world.publish(ALICE, data=b"1")
        await rounds()
        world.publish(ALICE, data=b"2")
        proxy.heal()
        await eventually(lambda: len(world.settled) == 2)
        assert world.data(N1) == [b"1", b"2"]

    async def test_a_message_sent_from_within_an_outcome_does_not_overtake_either(
        self, shaky_look_ups: World, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = shaky_look_ups
        await world.come(BOB, N1)

        def changed(delivery: Delivery) -> None:
            world._changed(delivery)
            if delivery.user == ALICE:
                world.publish(BOB, data=b"3")

        monkeypatch.setattr(world.transport._look_ups, "_changed", changed)
        proxy.hold()
        world.publish(ALICE, BOB, data=b"1")
        await rounds()
        world.publish(BOB, data=b"2")
        proxy.heal()
        await eventually(lambda: len(world.settled) == 4)
        assert world.data(N1) == [b"1", b"2", b"3"]


class TestLookUpsThatFail:
    async def test_a_lost_look_up_is_an_error_and_nothing_was_sent(
        self, shaky_look_ups: World, proxy: Proxy
    ) -> None:
        await shaky_look_ups.come(ALICE, N1)
        proxy.when(b"HKEYS", Fault.LOSE_REPLY)
        delivery = await shaky_look_ups.send(ALICE)
        assert isinstance(delivery.error, Unavailable)
        assert shaky_look_ups.inbox(N1) == []

    async def test_a_refused_look_up_is_an_error_for_that_user_alone(self, world: World) -> None:
        world.redis.set(world.keys.routes(BOB), b"not a hash")
        await world.come(ALICE, N1)
        alice, bob = world.publish(ALICE, BOB)
        await eventually(lambda: not (alice.open or bob.open))
        assert alice.outcome is Outcome.ACCEPTED
        assert isinstance(bob.error, StoreRefused)
        assert "WRONGTYPE" in str(bob.error)

    async def test_while_the_look_ups_connection_is_down_every_send_is_an_error_at_once(
        self, shaky_look_ups: World, proxy: Proxy
    ) -> None:
        await proxy.refuse()

        async def refused() -> bool:
            return (await shaky_look_ups.send(ALICE)).error is not None

        await eventually(refused)


class TestDetours:
    async def test_a_closed_endpoints_routes_are_removed_and_the_user_is_offline(
        self, world: World
    ) -> None:
        await world.come(ALICE, N1)
        world.close(N1)
        delivery = await world.send(ALICE)
        assert delivery.outcome is Outcome.OFFLINE
        assert await world.registry.sessions(ALICE) == []

    async def test_a_warm_cache_costs_a_detour_and_never_a_lie(self, world: World) -> None:
        await world.come(ALICE, N1)
        await world.warm(ALICE)
        world.close(N1)
        await world.come(ALICE, N2)
        delivery = await world.send(ALICE)
        assert delivery.outcome is Outcome.ACCEPTED
        assert len(world.inbox(N2)) == 1

    async def test_what_was_shown_to_be_wrong_is_not_believed_until_the_store_says_so(
        self, shaky_look_ups: World, proxy: Proxy
    ) -> None:
        world = shaky_look_ups
        await world.come(ALICE, N1)
        await world.warm(ALICE)
        proxy.hold(Way.TO_CLIENT)  # what the store says of changed routes does not arrive
        world.close(N1)
        assert (await world.send(ALICE)).outcome is Outcome.OFFLINE
        assert world.routes.cached(ALICE) is None

    async def test_a_user_who_is_also_elsewhere_is_served_there_once(self, world: World) -> None:
        await world.come(ALICE, N1, N2)
        world.close(N1)
        delivery = await world.send(ALICE)
        assert delivery.outcome is Outcome.ACCEPTED
        assert len(world.inbox(N2)) == 1

    async def test_only_those_who_were_refused_are_looked_up_again(self, world: World) -> None:
        await world.come(ALICE, N1)
        await world.come(BOB, N1)
        await world.come(EVE, N2)
        await world.warm(ALICE, BOB, EVE)
        world.close(N1)
        world.redis.hset(world.keys.routes(BOB), f"{N3}/s", b"entry")
        alice, bob, eve = world.publish(ALICE, BOB, EVE)
        await eventually(lambda: len(world.settled) == 3)
        outcomes = (alice.outcome, bob.outcome, eve.outcome)
        assert outcomes == (Outcome.OFFLINE, Outcome.ACCEPTED, Outcome.ACCEPTED)
        assert [envelope.users for envelope in world.inbox(N3)] == [[BOB]]

    async def test_a_user_who_always_moves_on_is_not_followed_for_ever(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forgotten = 0
        pack_forget = world.registry.pack_forget

        def moved_again(
            user: UserId, endpoint: EndpointId, keep: Sequence[SessionId] = ()
        ) -> Command:
            nonlocal forgotten
            forgotten += 1
            fresh = f"n{forgotten}.dead/s"
            world.redis.hset(world.keys.routes(user), fresh, b"entry")
            return pack_forget(user, endpoint, keep)

        monkeypatch.setattr(world.registry, "pack_forget", moved_again)
        await world.come(ALICE, N1)
        world.close(N1)
        delivery = await world.send(ALICE)
        assert delivery.outcome is Outcome.UNKNOWN
        assert "moved" in delivery.reason
        assert forgotten == 4

    @pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
    async def test_a_detour_whose_look_up_is_lost_leaves_it_unknown(
        self, shaky_pushes: World, proxy: Proxy, fault: Fault
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        shaky_pushes.close(N1)
        proxy.when(FORGET_SHA, fault)
        delivery = await shaky_pushes.send(ALICE)
        assert delivery.outcome is Outcome.UNKNOWN
        assert N1 in delivery.reason


class TestStoreTrouble:
    async def test_a_push_that_was_never_sent_is_an_error(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store
    ) -> None:
        await shaky_pushes.come(ALICE, N1, N2)
        await shaky_pushes.warm(ALICE)
        await proxy.refuse()
        await eventually(lambda: not shaky_store.up)
        delivery = await shaky_pushes.send(ALICE)
        assert isinstance(delivery.error, Unavailable)

    async def test_a_stored_message_whose_push_was_never_sent_is_no_error(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        await proxy.refuse()
        await eventually(lambda: not shaky_store.up)
        delivery = await shaky_pushes.send(ALICE, durable=True)
        assert (delivery.outcome, delivery.error) == (Outcome.UNKNOWN, None)
        assert delivery.offset is not None

    async def test_a_push_that_was_refused_is_an_error_with_the_stores_words(
        self, world: World
    ) -> None:
        await world.come(ALICE, N1)
        world.redis.set(world.keys.inbox(N1), b"not a list")
        delivery = await world.send(ALICE)
        assert isinstance(delivery.error, StoreRefused)
        assert "WRONGTYPE" in delivery.error.error

    @pytest.mark.parametrize("bad", [N1, N2])
    @pytest.mark.parametrize("confirm", [Confirm.ACCEPTED, Confirm.WRITTEN])
    async def test_a_message_of_which_one_copy_is_out_is_no_error(
        self, world: World, bad: EndpointId, confirm: Confirm
    ) -> None:
        await world.come(ALICE, N1, N2)
        world.redis.set(world.keys.inbox(bad), b"not a list")
        [delivery] = world.publish(ALICE, confirm=confirm)
        good = N2 if bad is N1 else N1
        await eventually(lambda: world.inbox(good))
        await eventually(lambda: delivery.unpushed == 0)
        assert delivery.error is None
        if confirm is Confirm.ACCEPTED:
            assert delivery.outcome is Outcome.UNKNOWN
            assert "WRONGTYPE" in delivery.reason
        else:
            delivery.answered(Answer.WRITTEN, 1)
            assert delivery.verdict() is Outcome.WRITTEN

    async def test_a_message_of_which_every_copy_was_refused_is_an_error(
        self, world: World
    ) -> None:
        await world.come(ALICE, N1, N2)
        world.redis.mset({world.keys.inbox(N1): b"junk", world.keys.inbox(N2): b"junk"})
        delivery = await world.send(ALICE)
        assert isinstance(delivery.error, StoreRefused)


class TestLostReplies:
    @pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
    async def test_the_same_envelope_goes_again_when_the_store_is_back(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store, fault: Fault
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        proxy.when(PUSH_SHA, fault)
        [delivery] = shaky_pushes.publish(ALICE, confirm=Confirm.WRITTEN)
        await eventually(lambda: not delivery.sure)
        assert delivery.open
        await eventually(lambda: shaky_store.up)
        shaky_pushes.transport.store_is_back()
        await eventually(lambda: delivery.unpushed == 0)
        envelopes = shaky_pushes.inbox(N1)
        assert len(envelopes) == (2 if fault is Fault.LOSE_REPLY else 1)
        assert {envelope.id for envelope in envelopes} == {"m"}
        delivery.answered(Answer.NOT_HERE, 0)
        assert delivery.verdict() is Outcome.UNKNOWN

    async def test_what_was_settled_meanwhile_does_not_go_again(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY)
        [delivery] = shaky_pushes.publish(ALICE, confirm=Confirm.WRITTEN)
        await eventually(lambda: not delivery.sure)
        delivery.outcome = Outcome.WRITTEN
        await eventually(lambda: shaky_store.up)
        shaky_pushes.transport.store_is_back()
        shaky_pushes.transport.store_is_back()
        await shaky_pushes.send(BOB)
        assert len(shaky_pushes.inbox(N1)) == 1

    async def test_what_was_settled_before_its_reply_was_lost_is_left_alone(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        await shaky_pushes.warm(ALICE)
        proxy.when(PUSH_SHA, Fault.HANG)
        [delivery] = shaky_pushes.publish(ALICE, confirm=Confirm.WRITTEN)
        await eventually(lambda: shaky_pushes.inbox(N1))
        delivery.outcome = Outcome.WRITTEN  # the receipt was quicker than the push's own reply
        await proxy.refuse()
        await eventually(lambda: not shaky_store.up)
        assert delivery.sure
        await proxy.accept()
        await eventually(lambda: shaky_store.up)
        shaky_pushes.transport.store_is_back()
        await rounds(20)
        assert len(shaky_pushes.inbox(N1)) == 1

    async def test_a_repeat_that_finds_the_endpoint_closed_is_unknown(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY)
        [delivery] = shaky_pushes.publish(ALICE, confirm=Confirm.WRITTEN)
        await eventually(lambda: not delivery.sure)
        shaky_pushes.close(N1)
        await eventually(lambda: shaky_store.up)
        shaky_pushes.transport.store_is_back()
        await eventually(lambda: not delivery.open)
        assert delivery.outcome is Outcome.UNKNOWN

    async def test_a_repeat_whose_store_is_not_the_one_that_is_back_waits_for_its_own(
        self, shaky_pushes: World, proxy: Proxy, shaky_store: Store
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        proxy.when(PUSH_SHA, Fault.LOSE_COMMAND)
        [delivery] = shaky_pushes.publish(ALICE, confirm=Confirm.WRITTEN)
        await eventually(lambda: not delivery.sure)
        await proxy.refuse()
        await eventually(lambda: not shaky_store.up)
        shaky_pushes.transport.store_is_back()
        await rounds(20)
        assert delivery.open
        assert shaky_pushes.inbox(N1) == []
        await proxy.accept()
        await eventually(lambda: shaky_store.up)
        shaky_pushes.transport.store_is_back()
        await eventually(lambda: delivery.unpushed == 0)
        assert [envelope.id for envelope in shaky_pushes.inbox(N1)] == ["m"]

    async def test_a_repeat_that_cannot_be_sent_is_unknown_and_no_error(
        self,
        shaky_pushes: World,
        proxy: Proxy,
        shaky_store: Store,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await shaky_pushes.come(ALICE, N1)
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY)
        [delivery] = shaky_pushes.publish(ALICE, confirm=Confirm.WRITTEN)
        await eventually(lambda: not delivery.sure)
        await proxy.refuse()
        await eventually(lambda: not shaky_store.up)
        # It goes again between the look at the store and the push.
        monkeypatch.setattr(shaky_pushes.transport._outbox, "reaches", lambda _: True)
        shaky_pushes.transport.store_is_back()
        await eventually(lambda: not delivery.open)
        assert (delivery.outcome, delivery.error) == (Outcome.UNKNOWN, None)
