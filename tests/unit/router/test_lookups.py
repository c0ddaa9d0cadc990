"""Look-ups that store something: asked again when the reply is lost, and never done twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from router.codec import MessageEnvelope
from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.model import START, Confirm, EndpointId, Outcome, Session, SessionId, UserId
from router.settings import MailboxSettings, RedisSettings, RegistrySettings
from router.store import flight as flight_module
from router.store import scripts
from router.store.connect import Connector
from router.store.mailbox import Mailbox
from router.store.modes import make_store
from router.store.registry import Registry
from router.store.routes import RouteTable
from router.store.store import Store
from router.transport.base import Delivery
from router.transport.lookups import LookUps, Ready
from tests.support.proxy import Fault, Proxy, Way
from tests.support.valkey import ValkeyServer, plain_client
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs

ALICE, BOB = UserId("alice"), UserId("bob")
N1 = EndpointId("n1.aa")
LOST = "store connection lost"
LOOKUP_SHA = scripts.LOOKUP.sha.encode()


class World:
    """Look-ups on a real store; what they freed and what they settled.

    Args:
        way: for what is not a look-up.
        look_ups: opens the connection of the look-ups.
        keys: key names.
        redis: for arranging and looking.
        settings: of mailboxes.
    """

    def __init__(
        self, way: Store, look_ups: Connector, keys: Keys, redis: "Redis", **settings: Any
    ) -> None:
        self.keys = keys
        self.redis = redis
        self.registry = Registry(way, keys, RegistrySettings())
        self.routes = RouteTable(look_ups, keys, RegistrySettings())
        mailbox = Mailbox(way, keys, MailboxSettings(**settings))
        self.settled: list[Delivery] = []
        self.freed: list[Ready] = []
        self._refs = 0
        self.look_ups = LookUps(self.routes, mailbox, self.settled.append, self.freed.extend)
        redis.set(keys.open(N1), b"1")

    async def come(self, user: UserId = ALICE, device: str = "web") -> None:
        session = Session(SessionId(f"s-{device}"), N1, device, "", 1.0)
        await self.registry.register([(user, session)])

    def ask(
        self,
        id: str = "m1",
        *users: UserId,
        durable: bool = True,
        key: str | None = None,
        again: bool = False,
    ) -> list[Delivery]:
        """Look the users (none named: alice) up for one message."""
        deliveries = []
        for user in users or (ALICE,):
            self._refs += 1
            delivery = Delivery(
                user,
                self._refs,
                Confirm.ACCEPTED,
                lambda _: None,
                durable=durable,
                key=key,
                again=again,
                id=id,
            )
            deliveries.append(delivery)
        parcel = MessageEnvelope(id, "", "carol", 0, 0, 1.0, 0, None, [], b'"x"')
        self.look_ups.add(parcel, deliveries)
        return deliveries

    async def answered(self, *deliveries: Delivery) -> None:
        """Wait until these are freed or settled."""

        def so() -> bool:
            known = [item[1] for item in self.freed] + self.settled
            return all(delivery in known for delivery in deliveries)

        await eventually(so)

    def stored(self, user: UserId = ALICE) -> list[str]:
        """Return the ids in a mailbox, in order."""
        found: Any = self.redis.xrange(self.keys.mail(user))
        return [fields[b"name"].decode().split()[-1] for _, fields in found]


@asynccontextmanager
async def opened(
    way: Store, look_ups: Connector, keys: Keys, redis: "Redis", **settings: Any
) -> AsyncIterator[World]:
    world = World(way, look_ups, keys, redis, **settings)
    await world.routes.open()
    try:
        yield world
    finally:
        await world.routes.close()


@pytest.fixture
async def world(
    plain_store: Store, connector: Connector, keys: Keys, redis: Redis
) -> AsyncIterator[World]:
    async with opened(plain_store, connector, keys, redis) as found:
        yield found


@pytest.fixture
async def shaky_world(
    plain_store: Store, shaky: Connector, keys: Keys, redis: Redis, logs: StrictLogs
) -> AsyncIterator[World]:
    """The look-ups go through the proxy, nothing else does."""
    logs.expect(LOST)
    async with opened(plain_store, shaky, keys, redis) as found:
        yield found


@pytest.fixture
async def shaky_world_of_two(
    plain_store: Store, shaky: Connector, keys: Keys, redis: Redis
) -> AsyncIterator[World]:
    """Likewise; what is stored shall be on two replicas."""
    async with opened(plain_store, shaky, keys, redis, min_replicas=2) as found:
        yield found


class TestStoring:
    async def test_a_durable_message_is_stored_before_anybody_is_told(self, world: World) -> None:
        await world.come()
        (delivery,) = world.ask()
        await world.answered(delivery)
        assert world.stored() == ["m1"]
        assert delivery.offset is not None
        assert delivery.before == START
        assert [routes.endpoints for _, _, routes in world.freed] == [(N1,)]

    async def test_for_one_who_is_away_it_is_stored_and_settled(self, world: World) -> None:
        (delivery,) = world.ask()
        await world.answered(delivery)
        assert world.settled == [delivery]
        assert delivery.verdict() is Outcome.QUEUED
        assert world.stored() == ["m1"]

    async def test_messages_of_one_moment_lie_in_the_order_of_the_calls(self, world: World) -> None:
        await world.come()
        asked = [world.ask(f"m{number}")[0] for number in range(20)]
        await world.answered(*asked)
        assert world.stored() == [f"m{number}" for number in range(20)]
        assert [item[1] for item in world.freed] == asked
        assert [d.before for d in asked[1:]] == [d.offset for d in asked[:-1]]

    async def test_durable_and_plain_ones_of_one_moment_are_each_done_once(
        self, world: World
    ) -> None:
        await world.come()
        asked = [world.ask(f"m{number}", durable=number % 2 == 0)[0] for number in range(10)]
        await world.answered(*asked)
        assert world.stored() == ["m0", "m2", "m4", "m6", "m8"]
        assert [d.offset is not None for d in asked] == [True, False] * 5
        assert len(world.freed) == 10

    async def test_one_message_for_many_is_stored_for_each(self, world: World) -> None:
        await world.come(ALICE)
        asked = world.ask("m1", ALICE, BOB)
        await world.answered(*asked)
        assert world.stored(ALICE) == world.stored(BOB) == ["m1"]
        assert [item[1] for item in world.freed] == asked[:1]
        assert world.settled == asked[1:]

    async def test_a_user_who_is_waited_for_is_named(self, world: World) -> None:
        (delivery,) = world.ask()
        assert world.look_ups.waits(ALICE)
        assert not world.look_ups.waits(BOB)
        await world.answered(delivery)
        assert not world.look_ups.waits(ALICE)


class TestNotTwice:
    async def test_another_message_with_the_same_key_is_a_duplicate(self, world: World) -> None:
        await world.come()
        (first,) = world.ask("m1", key="carol k")
        (second,) = world.ask("m2", key="carol k")
        await world.answered(first, second)
        assert (second.outcome, second.first) == (Outcome.DUPLICATE, "m1")
        assert world.settled == [second]
        assert world.stored() == ["m1"]

    async def test_a_repeat_of_the_caller_finds_what_was_stored(self, world: World) -> None:
        (first,) = world.ask("m1")
        await world.answered(first)
        (second,) = world.ask("m1", again=True)
        await world.answered(second)
        assert second.offset == first.offset
        assert world.stored() == ["m1"]

    async def test_a_full_mailbox_is_busy_and_says_why(
        self, plain_store: Store, connector: Connector, keys: Keys, redis: Redis
    ) -> None:
        async with opened(plain_store, connector, keys, redis, max_length=1) as world:
            await world.come()
            (first,), (second,) = world.ask("m1"), world.ask("m2")
            await world.answered(first, second)
            assert (first.outcome, second.outcome) == (None, Outcome.BUSY)
            assert second.reason.startswith("the mailbox holds 1 messages of ")
            assert world.stored() == ["m1"]

    async def test_what_too_few_replicas_have_is_thin_and_says_so(
        self,
        plain_store: Store,
        connector: Connector,
        keys: Keys,
        redis: Redis,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(flight_module, "_REPLICAS_S", 0.05)
        async with opened(plain_store, connector, keys, redis, min_replicas=2) as world:
            await world.come()
            (stored,), (plain,) = world.ask("m1"), world.ask("m2", durable=False)
            await world.answered(stored, plain)
            assert stored.thin == "stored, but 0 of 2 replicas have it so far"
            assert (stored.offset is None, stored.error, plain.error) == (False, None, None)
            assert plain.thin == ""
            assert {routes.endpoints for _, _, routes in world.freed} == {(N1,)}
            assert world.stored() == ["m1"]

    async def test_where_nothing_is_stored_nobody_waits_for_replicas(
        self, shaky_world_of_two: World, proxy: Proxy
    ) -> None:
        world = shaky_world_of_two
        waited = proxy.when(b"WAIT", Fault.LOSE_COMMAND)
        await world.come()
        (plain,) = world.ask("m1", durable=False)
        (named,) = world.ask("m2", durable=False, key="carol k")
        await world.answered(plain, named)
        assert (plain.error, named.error) == (None, None)
        assert not waited.is_set()


class TestLosses:
    @pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
    async def test_what_got_no_reply_is_asked_again_and_stored_once(
        self, shaky_world: World, proxy: Proxy, fault: Fault
    ) -> None:
        await shaky_world.come()
        (earlier,) = shaky_world.ask("m0")
        await shaky_world.answered(earlier)
        lost = proxy.when(LOOKUP_SHA, fault)
        (delivery,) = shaky_world.ask("m1")
        await lost.wait()
        await shaky_world.answered(delivery)
        assert shaky_world.stored() == ["m0", "m1"]
        assert (delivery.before, delivery.error) == (earlier.offset, None)
        assert shaky_world.settled == []

    async def test_so_is_one_with_a_key_and_it_is_no_duplicate_of_itself(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        await shaky_world.come()
        proxy.when(LOOKUP_SHA, Fault.LOSE_REPLY)
        for durable in (True, False):
            (delivery,) = shaky_world.ask("m1", durable=durable, key=f"carol {durable}")
            await shaky_world.answered(delivery)
            assert delivery.outcome is None
            proxy.when(LOOKUP_SHA, Fault.LOSE_REPLY)
        assert shaky_world.stored() == ["m1"]

    async def test_replies_may_be_lost_again_and_again(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        await shaky_world.come()
        for _ in range(4):
            last = proxy.when(LOOKUP_SHA, Fault.LOSE_REPLY)
        (delivery,) = shaky_world.ask("m1")
        await shaky_world.answered(delivery)
        assert last.is_set()
        assert shaky_world.stored() == ["m1"]
        assert (delivery.error, delivery.before) == (None, START)

    async def test_one_that_may_be_stored_and_is_refused_when_asked_again_is_unknown(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        await shaky_world.come()
        lost = proxy.when(LOOKUP_SHA, Fault.LOSE_REPLY)
        proxy.hold(Way.TO_CLIENT)
        (delivery,) = shaky_world.ask("m1")
        await lost.wait()
        await eventually(lambda: shaky_world.stored() == ["m1"])
        shaky_world.redis.delete(shaky_world.keys.routes(ALICE))
        shaky_world.redis.set(shaky_world.keys.routes(ALICE), "not a hash")
        proxy.heal()
        await shaky_world.answered(delivery)
        assert (delivery.outcome, delivery.error) == (Outcome.UNKNOWN, None)
        assert "WRONGTYPE" in delivery.reason

    async def test_of_many_under_way_each_is_stored_once(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        await shaky_world.come()
        proxy.when(LOOKUP_SHA, Fault.LOSE_REPLY, nth=10)
        asked = [shaky_world.ask(f"m{number}")[0] for number in range(20)]
        await shaky_world.answered(*asked)
        assert sorted(shaky_world.stored()) == sorted(f"m{number}" for number in range(20))
        by_offset = sorted(asked, key=lambda delivery: delivery.offset or START)
        assert [d.before for d in by_offset[1:]] == [d.offset for d in by_offset[:-1]]

    async def test_who_waits_no_longer_is_not_asked_for_again(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        await proxy_holds(proxy)
        (gone,) = shaky_world.ask("m1")
        gone.outcome = Outcome.UNKNOWN  # its time ran out
        proxy.reset_all()
        proxy.heal()
        (later,) = await asked_when_up(shaky_world, "m2")
        assert later.error is None
        assert gone not in shaky_world.settled

    async def test_a_plain_look_up_without_an_answer_is_an_error_at_once(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        proxy.when(b"HKEYS", Fault.LOSE_REPLY)
        (delivery,) = shaky_world.ask("m1", durable=False)
        await shaky_world.answered(delivery)
        assert isinstance(delivery.error, Unavailable)

    async def test_while_the_store_is_away_nothing_is_sent_and_the_caller_hears_so_at_once(
        self, shaky_world: World, proxy: Proxy
    ) -> None:
        await proxy.refuse()

        def refused() -> bool:
            (delivery,) = shaky_world.ask("never")
            return isinstance(delivery.error, Unavailable)

        await eventually(refused)
        await proxy.accept()
        await asked_when_up(shaky_world, "m2")
        assert "m2" in shaky_world.stored()

    async def test_a_script_the_store_has_forgotten_is_loaded_in_the_middle_and_nothing_runs_twice(
        self, keys: Keys, own_server: ValkeyServer
    ) -> None:
        own = Connector(own_server.url, RedisSettings())
        way = make_store(own, "test")
        await way.open()
        with plain_client(own_server.url) as redis:
            async with opened(way, own, keys, redis) as world:
                await world.come()
                (first,) = world.ask("m0")
                await world.answered(first)
                redis.script_flush()
                asked = [
                    world.ask(f"m{number}", durable=number % 3 > 0)[0] for number in range(1, 10)
                ]
                await world.answered(*asked)
                assert world.stored() == ["m0", "m1", "m2", "m4", "m5", "m7", "m8"]
                assert {delivery.error for delivery in asked} == {None}
        await way.close()

    async def test_a_store_without_memory_is_busy_and_one_that_refuses_is_an_error(
        self, keys: Keys, own_server: ValkeyServer
    ) -> None:
        own = Connector(own_server.url, RedisSettings())
        way = make_store(own, "test")
        await way.open()
        with plain_client(own_server.url) as redis:
            async with opened(way, own, keys, redis) as world:
                await world.come()
                redis.config_set("maxmemory", "1")
                (busy,) = world.ask("m1", key="carol k")
                await world.answered(busy)
                assert busy.outcome is Outcome.BUSY
                assert busy.reason.startswith("the store is full: OOM")
                redis.config_set("maxmemory", "0")
                redis.set(keys.mail(ALICE), "not a stream")
                (refused,) = world.ask("m2")
                await world.answered(refused)
                assert isinstance(refused.error, StoreRefused)
        await way.close()


async def proxy_holds(proxy: Proxy) -> None:
    """Have nothing travel until it is healed."""
    proxy.hold(*Way)


async def asked_when_up(world: World, id: str) -> list[Delivery]:
    """Ask until the connection of the look-ups is back."""
    asked: list[Delivery] = []

    async def so() -> bool:
        asked[:] = world.ask(id)
        await world.answered(*asked)
        return asked[0].error is None

    await eventually(so)
    return asked
