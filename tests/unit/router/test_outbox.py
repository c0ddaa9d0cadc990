"""Group commit: what leaves together, in which order, and what became of each envelope."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from router.errors import SwitchboardError, Unavailable
from router.keys import Keys
from router.model import EndpointId
from router.settings import RedisSettings
from router.store import scripts
from router.store.connect import Connector
from router.store.inbox import MAX_PUSH, Room
from router.store.modes import make_store
from router.store.resp import Command, keyless
from router.store.store import Store
from router.transport import outbox as outbox_module
from router.transport.outbox import Outbox, Push
from tests.support.proxy import Fault, Proxy
from tests.support.rooms import room
from tests.support.valkey import ValkeyServer, plain_client
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

N1, N2 = EndpointId("n1.aa"), EndpointId("n2.bb")
PUSH_SHA = scripts.PUSH.sha.encode()
TRYAGAIN = "TRYAGAIN Multiple keys request during rehashing of slot"


@pytest.fixture
async def way(shaky: Connector, logs: StrictLogs) -> AsyncIterator[Store]:
    logs.expect("store connection lost")
    found = make_store(shaky, "outbox")
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def outbox(way: Store, keys: Keys) -> Outbox:
    return Outbox(way, keys, room(10_000), limit=50_000)


@pytest.fixture(autouse=True)
def opened(redis: Redis, keys: Keys) -> None:
    redis.mset({keys.open(N1): b"1", keys.open(N2): b"1"})


class Results:
    """Takes what the outbox says of each envelope, in the order in which it says so."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, Push]] = []

    def __call__(self, arg: Any, result: Push) -> None:
        self.all.append((arg, result))

    def of(self, arg: Any) -> Push:
        found: Push = dict(self.all)[arg]
        return found

    @property
    def kinds(self) -> set[Push]:
        return {result for _, result in self.all}


@pytest.fixture
def results() -> Results:
    return Results()


def pushes(redis: Redis) -> int:
    """Return how many scripts have run so far."""
    stats: Any = redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


def inbox(redis: Redis, keys: Keys, endpoint: EndpointId) -> Any:
    return redis.lrange(keys.inbox(endpoint), 0, -1)


class TestPushing:
    async def test_an_envelope_lies_in_its_inbox(
        self, outbox: Outbox, redis: Redis, keys: Keys
    ) -> None:
        assert await outbox.post(N1, b"a") is Push.PUSHED
        assert inbox(redis, keys, N1) == [b"a"]

    async def test_what_is_handed_over_in_one_round_leaves_in_one_push_per_endpoint(
        self, outbox: Outbox, redis: Redis, results: Results
    ) -> None:
        before = pushes(redis)
        for number in range(100):
            outbox.push(N1 if number % 2 else N2, b"x", results, number)
        await eventually(lambda: len(results.all) == 100)
        assert results.kinds == {Push.PUSHED}
        assert pushes(redis) - before == 2

    async def test_while_one_flush_is_under_way_the_next_one_fills(
        self, outbox: Outbox, redis: Redis, results: Results
    ) -> None:
        before = pushes(redis)
        outbox.push(N1, b"first", results, 0)
        await rounds()
        for number in range(1, 50):
            outbox.push(N1, b"next", results, number)
            await rounds(1)
        await eventually(lambda: len(results.all) == 50)
        assert pushes(redis) - before < 50
        assert [arg for arg, _ in results.all] == list(range(50))

    async def test_who_sends_again_when_answered_shares_the_push_of_those_who_wait(
        self, outbox: Outbox, redis: Redis, results: Results
    ) -> None:
        before = pushes(redis)
        answered = outbox.post(N1, b"first")

        async def again() -> None:
            await answered
            outbox.push(N1, b"again", results, "again")

        async def waits_for_that() -> None:
            await sender
            outbox.push(N1, b"last", results, "last")

        sender = asyncio.create_task(again())
        follower = asyncio.create_task(waits_for_that())
        await rounds(1)
        outbox.push(N1, b"waiting", results, "waiting")
        await eventually(lambda: len(results.all) == 3)
        await follower
        assert [arg for arg, _ in results.all] == ["waiting", "again", "last"]
        assert pushes(redis) - before == 2

    async def test_the_order_per_endpoint_is_that_of_the_calls(
        self, outbox: Outbox, redis: Redis, keys: Keys, results: Results
    ) -> None:
        total = 3 * MAX_PUSH + 7
        for number in range(total):
            outbox.push(N1, str(number).encode(), results, number)
            if number % 100 == 0:
                await rounds(2)
        await eventually(lambda: len(results.all) == total)
        assert inbox(redis, keys, N1) == [str(number).encode() for number in range(total)]

    async def test_a_push_holds_so_many_envelopes_and_no_more(
        self, outbox: Outbox, redis: Redis, results: Results
    ) -> None:
        before = pushes(redis)
        for number in range(2 * MAX_PUSH + 1):
            outbox.push(N1, b"x", results, number)
        await eventually(lambda: len(results.all) == 2 * MAX_PUSH + 1)
        assert pushes(redis) - before == 3

    async def test_a_push_is_split_by_size(
        self,
        outbox: Outbox,
        redis: Redis,
        keys: Keys,
        results: Results,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(outbox_module, "_MAX_PUSH_BYTES", 1_000)
        before = pushes(redis)
        envelopes = [bytes([number]) * 400 for number in range(5)]
        for number, envelope in enumerate(envelopes):
            outbox.push(N1, envelope, results, number)
        await eventually(lambda: len(results.all) == 5)
        assert pushes(redis) - before == 3
        assert inbox(redis, keys, N1) == envelopes

    async def test_an_envelope_over_the_size_goes_alone(
        self,
        outbox: Outbox,
        redis: Redis,
        keys: Keys,
        results: Results,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(outbox_module, "_MAX_PUSH_BYTES", 1_000)
        envelopes = [b"a" * 5_000, b"b", b"c" * 5_000]
        for number, envelope in enumerate(envelopes):
            outbox.push(N1, envelope, results, number)
        await eventually(lambda: len(results.all) == 3)
        assert results.kinds == {Push.PUSHED}
        assert inbox(redis, keys, N1) == envelopes

    async def test_a_large_backlog_of_one_endpoint_does_not_hold_up_another(
        self, outbox: Outbox, results: Results
    ) -> None:
        for number in range(10 * MAX_PUSH):
            outbox.push(N1, b"x", results, number)
        outbox.push(N2, b"y", results, "other")
        await eventually(lambda: ("other", Push.PUSHED) in results.all)
        assert results.all.index(("other", Push.PUSHED)) <= MAX_PUSH

    async def test_a_cancelled_waiter_disturbs_nobody(
        self, outbox: Outbox, redis: Redis, keys: Keys
    ) -> None:
        first, second = outbox.post(N1, b"a"), outbox.post(N1, b"b")
        first.cancel()
        assert await second is Push.PUSHED
        assert inbox(redis, keys, N1) == [b"a", b"b"]

    async def test_what_is_told_lies_in_the_inbox_too(
        self, outbox: Outbox, way: Store, redis: Redis, keys: Keys
    ) -> None:
        assert outbox.tell(N1, b"a")
        assert await way.call(keyless("PING")) == b"PONG"
        assert inbox(redis, keys, N1) == [b"a"]


class TestRefusals:
    async def test_a_closed_endpoint_is_told_apart_from_open_ones(
        self, outbox: Outbox, redis: Redis, keys: Keys
    ) -> None:
        redis.delete(keys.open(N1))
        closed, fine = outbox.post(N1, b"a"), outbox.post(N2, b"b")
        assert (await closed, await fine) == (Push.NOT_OPEN, Push.PUSHED)
        assert redis.exists(keys.inbox(N1)) == 0

    async def test_a_full_inbox_takes_none_of_a_push(
        self, way: Store, keys: Keys, redis: Redis, results: Results
    ) -> None:
        outbox = Outbox(way, keys, room(3), limit=100)
        for number in range(4):
            outbox.push(N1, b"x", results, number)
        await eventually(lambda: len(results.all) == 4)
        assert results.kinds == {Push.FULL}
        assert redis.exists(keys.inbox(N1)) == 0

    async def test_an_inbox_that_weighs_too_much_takes_none_of_a_push(
        self, way: Store, keys: Keys, redis: Redis, results: Results
    ) -> None:
        outbox = Outbox(way, keys, Room(1_000, max_bytes=100_000, unweighed=2), limit=100)
        for number in range(4):
            outbox.push(N1, bytes(60_000), results, number)
            await eventually(lambda: len(results.all) == number + 1)  # noqa: B023
        assert [result for _, result in results.all] == [Push.PUSHED] * 2 + [Push.FULL] * 2
        assert redis.llen(keys.inbox(N1)) == 2

    async def test_a_full_outbox_says_so_at_once_and_has_room_again_later(
        self, way: Store, keys: Keys, results: Results
    ) -> None:
        outbox = Outbox(way, keys, room(100), limit=3)
        for number in range(5):
            outbox.push(N1, b"x", results, number)
        assert results.all == [(3, Push.FULL), (4, Push.FULL)]
        await eventually(lambda: len(results.all) == 5)
        assert [results.of(number) for number in range(3)] == [Push.PUSHED] * 3
        assert await outbox.post(N1, b"y") is Push.PUSHED

    async def test_an_error_reply_is_told_with_its_words(
        self, outbox: Outbox, redis: Redis, keys: Keys
    ) -> None:
        redis.set(keys.inbox(N1), b"not a list")
        refused, fine = outbox.post(N1, b"a"), outbox.post(N2, b"b")
        assert (await refused, await fine) == (Push.REFUSED, Push.PUSHED)
        assert "WRONGTYPE" in str(outbox.error)

    async def test_a_store_without_memory_is_full(
        self, own_server: ValkeyServer, keys: Keys, hasty: RedisSettings
    ) -> None:
        with plain_client(own_server.url) as client:
            client.set(keys.open(N1), b"1")
            way = make_store(Connector(own_server.url, hasty), "outbox")
            await way.open()
            outbox = Outbox(way, keys, room(10), limit=10)
            client.config_set("maxmemory", "1")
            failures: list[SwitchboardError] = []
            assert await outbox.post(N1, b"a", failures) is Push.FULL
            assert "the store is full: OOM" in str(failures[0])
            client.config_set("maxmemory", "0")
            assert await outbox.post(N1, b"a") is Push.PUSHED
            await way.close()


class TestForgottenScripts:
    async def test_they_are_loaded_and_each_envelope_is_pushed_once(
        self, outbox: Outbox, redis: Redis, keys: Keys, results: Results
    ) -> None:
        redis.script_flush()
        outbox.push(N1, b"a", results, 1)
        outbox.push(N2, b"b", results, 2)
        await eventually(lambda: len(results.all) == 2)
        assert results.kinds == {Push.PUSHED}
        assert (inbox(redis, keys, N1), inbox(redis, keys, N2)) == ([b"a"], [b"b"])

    async def test_what_is_handed_over_meanwhile_stays_behind(
        self, outbox: Outbox, redis: Redis, keys: Keys, results: Results
    ) -> None:
        redis.script_flush()
        for number in range(40):
            outbox.push(N1, str(number).encode(), results, number)
            await rounds(1)
        await eventually(lambda: len(results.all) == 40)
        assert inbox(redis, keys, N1) == [str(number).encode() for number in range(40)]

    async def test_a_store_that_keeps_no_scripts_is_an_error_and_not_a_loop(
        self, way: Store, keys: Keys, monkeypatch: pytest.MonkeyPatch, impatient: None
    ) -> None:
        def packed(*_: object, **__: object) -> Command:
            return keyless("EVALSHA", "0" * 40, 0)

        monkeypatch.setattr(outbox_module, "pack_push", packed)
        outbox = Outbox(way, keys, room(10), limit=10)
        assert await outbox.post(N1, b"a") is Push.REFUSED
        assert "NOSCRIPT" in str(outbox.error)

    async def test_what_is_told_without_a_reply_brings_its_script_along_now_and_then(
        self, outbox: Outbox, way: Store, redis: Redis, keys: Keys
    ) -> None:
        outbox.tell(N2, b"before")
        redis.script_flush()

        async def told() -> bool:
            outbox.tell(N1, b"a")
            await way.call(keyless("PING"))
            return bool(inbox(redis, keys, N1))

        await eventually(told)
        assert redis.script_exists(scripts.PUSH.sha) == [True]

    async def test_a_connection_lost_while_they_are_loaded_is_a_lost_reply(
        self, outbox: Outbox, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        redis.script_flush()
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY, nth=2)
        assert await outbox.post(N1, b"a") is Push.LOST
        assert inbox(redis, keys, N1) == [b"a"]


class TestPassingErrors:
    async def test_a_push_that_the_store_takes_in_a_moment_goes_again(
        self, outbox: Outbox, redis: Redis, keys: Keys, proxy: Proxy, results: Results
    ) -> None:
        proxy.answer(PUSH_SHA, TRYAGAIN, times=3)
        outbox.push(N1, b"a", results, 1)
        outbox.push(N2, b"b", results, 2)
        await eventually(lambda: len(results.all) == 2)
        assert results.kinds == {Push.PUSHED}
        assert (inbox(redis, keys, N1), inbox(redis, keys, N2)) == ([b"a"], [b"b"])

    async def test_one_that_it_does_not_take_in_time_is_an_error(
        self, outbox: Outbox, redis: Redis, keys: Keys, proxy: Proxy, impatient: None
    ) -> None:
        proxy.answer(PUSH_SHA, TRYAGAIN, times=-1)
        failures: list[SwitchboardError] = []
        assert await outbox.post(N1, b"a", failures) is Push.REFUSED
        assert [type(failure) for failure in failures] == [Unavailable]
        assert redis.exists(keys.inbox(N1)) == 0


class TestWhy:
    """Why an envelope may not be in its inbox."""

    async def test_of_one_that_is_there_or_whose_inbox_is_closed_there_is_nothing_to_say(
        self, outbox: Outbox, redis: Redis, keys: Keys
    ) -> None:
        failures: list[SwitchboardError] = []
        redis.delete(keys.open(N2))
        await outbox.post(N1, b"a", failures)
        await outbox.post(N2, b"a", failures)
        assert failures == []

    async def test_a_full_inbox_and_a_full_outbox_are_told_apart(
        self, way: Store, keys: Keys, redis: Redis
    ) -> None:
        outbox = Outbox(way, keys, room(1), limit=1)
        failures: list[SwitchboardError] = []
        waits = outbox.post(N1, b"a", failures)
        assert await outbox.post(N1, b"b", failures) is Push.FULL
        assert "1 pushes wait" in str(failures.pop())
        assert await waits is Push.PUSHED
        assert await outbox.post(N1, b"c", failures) is Push.FULL
        assert "the inbox of n1.aa is full" in str(failures.pop())

    async def test_a_lost_push_and_one_that_was_never_sent_are_told_apart(
        self, outbox: Outbox, proxy: Proxy, way: Store
    ) -> None:
        failures: list[SwitchboardError] = []
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY)
        await outbox.post(N1, b"a", failures)
        assert "may have run" in str(failures.pop())
        await proxy.refuse()
        await eventually(lambda: not way.up)
        await outbox.post(N1, b"a", failures)
        assert "down" in str(failures.pop())


class TestLosses:
    async def test_a_lost_reply_says_that_nobody_knows(
        self, outbox: Outbox, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY)
        assert await outbox.post(N1, b"a") is Push.LOST
        assert inbox(redis, keys, N1) == [b"a"]

    async def test_a_lost_push_says_so_too_and_is_not_repeated_here(
        self, outbox: Outbox, redis: Redis, keys: Keys, proxy: Proxy, way: Store
    ) -> None:
        proxy.when(PUSH_SHA, Fault.LOSE_COMMAND)
        assert await outbox.post(N1, b"a") is Push.LOST
        await eventually(lambda: way.up)
        assert redis.exists(keys.inbox(N1)) == 0

    async def test_what_had_not_left_when_the_connection_went_is_unsent(
        self, outbox: Outbox, proxy: Proxy, results: Results
    ) -> None:
        proxy.when(PUSH_SHA, Fault.HANG)
        outbox.push(N1, b"under way", results, "first")
        await rounds()
        outbox.push(N1, b"waits", results, "second")
        proxy.reset_all()
        await eventually(lambda: len(results.all) == 2)
        assert results.all == [("first", Push.LOST), ("second", Push.UNSENT)]

    async def test_while_the_store_is_away_everything_is_unsent_at_once(
        self, outbox: Outbox, proxy: Proxy, way: Store, results: Results
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not way.up)
        outbox.push(N1, b"a", results, 1)
        outbox.push(N2, b"b", results, 2)
        await rounds()
        assert results.all == [(1, Push.UNSENT), (2, Push.UNSENT)]
        assert not outbox.tell(N1, b"c")

    async def test_who_tries_again_at_once_hears_the_same(
        self, outbox: Outbox, proxy: Proxy, way: Store, results: Results
    ) -> None:
        def again(arg: Any, result: Push) -> None:
            results(arg, result)
            if arg < 3:
                outbox.push(N1, b"a", again, arg + 1)

        await proxy.refuse()
        await eventually(lambda: not way.up)
        outbox.push(N1, b"a", again, 1)
        await eventually(lambda: len(results.all) == 3)
        assert results.all == [(1, Push.UNSENT), (2, Push.UNSENT), (3, Push.UNSENT)]

    async def test_a_large_backlog_is_unsent_in_one_go(
        self, outbox: Outbox, proxy: Proxy, way: Store, results: Results
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not way.up)
        large = bytes(700_000)  # one push each: many flushes, were there a store
        for number in range(3_000):
            outbox.push(N1, large, results, number)
        await eventually(lambda: len(results.all) == 3_000)
        assert results.kinds == {Push.UNSENT}

    async def test_a_backlog_behind_a_lost_push_is_unsent_in_one_go(
        self, outbox: Outbox, proxy: Proxy, results: Results
    ) -> None:
        proxy.when(PUSH_SHA, Fault.HANG)
        large = bytes(700_000)
        for number in range(3_000):
            outbox.push(N1, large, results, number)
        await rounds()
        proxy.reset_all()
        await eventually(lambda: len(results.all) == 3_000)
        assert results.all[0] == (0, Push.LOST)
        assert {result for _, result in results.all[1:]} == {Push.UNSENT}

    async def test_it_goes_on_when_the_store_is_back(
        self, outbox: Outbox, redis: Redis, keys: Keys, proxy: Proxy, way: Store
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not way.up)
        assert await outbox.post(N1, b"a") is Push.UNSENT
        await proxy.accept()
        await eventually(lambda: way.up)
        assert await outbox.post(N1, b"b") is Push.PUSHED
        assert inbox(redis, keys, N1) == [b"b"]

    async def test_what_was_lost_or_unsent_no_longer_takes_up_room(
        self, way: Store, keys: Keys, proxy: Proxy
    ) -> None:
        outbox = Outbox(way, keys, room(100), limit=2)
        proxy.when(PUSH_SHA, Fault.LOSE_REPLY)
        assert {await f for f in [outbox.post(N1, b"a"), outbox.post(N1, b"b")]} == {Push.LOST}
        await eventually(lambda: way.up)
        assert {await f for f in [outbox.post(N1, b"a"), outbox.post(N1, b"b")]} == {Push.PUSHED}
        assert await outbox.post(N1, b"c") is Push.PUSHED
