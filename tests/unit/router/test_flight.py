"""What is sent again, where, and what never is; on two real connections to one store."""

import asyncio
import errno
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hiredis import ReplyError
from redis import Redis

from router.keys import Keys
from router.settings import RedisSettings
from router.store import flight as flight_module
from router.store import scripts
from router.store.answers import NoReply, Thin
from router.store.connect import Connector
from router.store.flight import Flight
from router.store.link import Link
from router.store.resp import Command, keyed, keyless
from router.store.trouble import Meaning, Trouble
from tests.support.fake_store import OK, FakeStore
from tests.support.proxy import Fault, Proxy
from tests.support.valkey import ValkeyServer, plain_client, wheel_program
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs

TRYAGAIN = "TRYAGAIN Multiple keys request during rehashing of slot"
NOSCRIPT = "NOSCRIPT No matching script."


class TwoWays:
    """Knows two links: the keys in `there` are behind the second, all others behind the first.

    Args:
        here: through the proxy, in most tests.
        elsewhere: straight to the store.
    """

    follows = True

    def __init__(self, here: Link, elsewhere: Link) -> None:
        self.here = here
        self.elsewhere = elsewhere
        self.there: set[str] = set()
        self.young: set[Link] = set()
        self.notes: list[Trouble] = []

    def link_of(self, key: str) -> Link:
        return self.elsewhere if key in self.there else self.here

    def redirected(self, error: ReplyError) -> Link:
        assert str(error).startswith("ASK ")
        return self.elsewhere

    def coming(self, link: Link) -> bool:
        return link in self.young

    def heard(self, link: Link, trouble: Trouble, error: ReplyError) -> None:
        self.notes.append(trouble)
        if trouble.meaning is Meaning.MOVED:
            self.there.add(str(error).split()[-1])

    async def fly(self, *commands: Command, replicas: int = 0) -> list[Any]:
        """Send commands; return the answers, which come once."""
        heard: list[list[Any]] = []
        Flight(self, commands, heard.append, replicas).start()
        await eventually(lambda: heard)
        assert len(heard) == 1
        return heard[0]


@pytest.fixture
async def ways(shaky: Connector, connector: Connector, logs: StrictLogs) -> AsyncIterator[TwoWays]:
    logs.expect("store connection lost")
    found = TwoWays(Link(shaky, "here"), Link(connector, "elsewhere"))
    await found.here.open()
    await found.elsewhere.open()
    yield found
    await found.here.close()
    await found.elsewhere.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause before a repeat might have been, as they come."""
    found: list[float] = []

    def short(low: float, high: float) -> float:
        found.append(high)
        return low

    monkeypatch.setattr(random, "uniform", short)
    return found


def increment(*keys: str) -> list[Command]:
    return [keyed("INCRBY", key, 1) for key in keys]


def register(keys: Keys, n: int) -> Command:
    """Return a script that answers with None."""
    names = (f"{keys.prefix}:{{r}}:{n}", f"{keys.prefix}:{{r}}:{n}:index")
    return scripts.REGISTER.pack(names, "field", "entry", 10_000)


class Counters:
    """Keys to count in, each of which shows how often a command ran."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        self._redis = redis
        self.names = [f"{keys.prefix}:{{c{number}}}:n" for number in range(6)]

    def __getitem__(self, number: int) -> str:
        return self.names[number]

    def ran(self, *numbers: int) -> list[int]:
        return [int(self._redis.get(self.names[number]) or 0) for number in numbers]


@pytest.fixture
def counters(redis: Redis, keys: Keys) -> Counters:
    return Counters(redis, keys)


class TestOrder:
    async def test_answers_come_in_the_order_of_the_commands_whoever_gave_them(
        self, ways: TwoWays, redis: Redis, keys: Keys
    ) -> None:
        names = [f"{keys.prefix}:{number}" for number in range(20)]
        redis.mset({name: name for name in names})
        ways.there = set(names[1::3])
        sent = [keyed("GET", name) for name in names]
        assert await ways.fly(*sent) == [name.encode() for name in names]

    async def test_they_come_together_when_the_slowest_has_come(
        self, ways: TwoWays, counters: Counters, redis: Redis
    ) -> None:
        ways.there = {counters[1]}
        slow = keyed("BLMOVE", counters[0], f"{counters[0]}:to", "LEFT", "LEFT", 10)
        flying = asyncio.create_task(ways.fly(slow, *increment(counters[1])))
        await eventually(lambda: counters.ran(1) == [1])
        assert not flying.done()
        redis.rpush(counters[0], "x")
        assert await flying == [b"x", 1]

    async def test_commands_to_one_server_are_one_round_trip(
        self, ways: TwoWays, counters: Counters
    ) -> None:
        ways.there = {counters[1], counters[3]}
        before = [ways.here.counts.round_trips, ways.elsewhere.counts.round_trips]
        await ways.fly(*increment(*counters.names))
        after = [ways.here.counts.round_trips, ways.elsewhere.counts.round_trips]
        assert [late - early for late, early in zip(after, before, strict=True)] == [1, 1]

    async def test_where_there_is_nobody_to_send_to_the_answer_comes_at_once(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not ways.here.up)
        heard: list[Any] = []
        Flight(ways, increment(counters[0], counters[1]), heard.append, 0).start()
        ((first, second),) = heard
        assert first == second == NoReply(False, ways.here.address, ways.here.reason)
        assert counters.ran(0, 1) == [0, 0]

    async def test_one_that_is_away_keeps_no_other_from_answering(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        ways.there = {counters[1]}
        await proxy.refuse()
        await eventually(lambda: not ways.here.up)
        first, second, third = await ways.fly(*increment(*counters.names[:3]))
        assert (first.sent, second, third.sent) == (False, 1, False)
        assert counters.ran(0, 1, 2) == [0, 1, 0]


class TestForgottenScripts:
    async def test_they_are_loaded_and_only_what_had_not_run_goes_again_at_once(
        self, ways: TwoWays, counters: Counters, redis: Redis, keys: Keys, pauses: list[float]
    ) -> None:
        redis.script_flush()
        one, two = increment(counters[0], counters[1])
        answers = await ways.fly(one, register(keys, 1), two, register(keys, 2))
        assert answers == [1, None, 1, None]
        assert counters.ran(0, 1) == [1, 1]
        assert redis.exists(register(keys, 1).key, register(keys, 2).key) == 2
        assert all(redis.script_exists(*(script.sha for script in scripts.ALL)))
        assert pauses == []

    async def test_each_server_that_has_forgotten_them_gets_them(
        self, ways: TwoWays, proxy: Proxy, keys: Keys, pauses: list[float]
    ) -> None:
        ways.there = {register(keys, 2).key}
        proxy.answer(b"EVALSHA", NOSCRIPT)
        before = [ways.here.counts.round_trips, ways.elsewhere.counts.round_trips]
        assert await ways.fly(register(keys, 1), register(keys, 2)) == [None, None]
        after = [ways.here.counts.round_trips, ways.elsewhere.counts.round_trips]
        assert [late - early for late, early in zip(after, before, strict=True)] == [2, 1]
        assert pauses == []

    async def test_one_that_nobody_knows_is_an_error_in_the_end(
        self, ways: TwoWays, counters: Counters, impatient: None
    ) -> None:
        unknown = keyless("EVALSHA", "0" * 40, 0)
        error, one = await ways.fly(unknown, *increment(counters[0]))
        assert str(error).startswith("NOSCRIPT")
        assert (one, counters.ran(0)) == (1, [1])

    async def test_a_reply_that_is_lost_behind_the_scripts_is_not_asked_for_again(
        self, ways: TwoWays, proxy: Proxy, redis: Redis, counters: Counters, keys: Keys
    ) -> None:
        redis.script_flush()
        proxy.when(b"EVALSHA", Fault.LOSE_REPLY, nth=2)
        one, lost = await ways.fly(*increment(counters[0]), register(keys, 1))
        assert (one, type(lost)) == (1, NoReply)
        assert lost.sent
        assert counters.ran(0) == [1]


class TestWhatPasses:
    async def test_it_goes_again_after_a_pause_until_it_is_taken(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, pauses: list[float]
    ) -> None:
        proxy.answer(counters[1].encode(), TRYAGAIN, times=3)
        assert await ways.fly(*increment(*counters.names[:3])) == [1, 1, 1]
        assert counters.ran(0, 1, 2) == [1, 1, 1]
        assert len(pauses) == 3

    async def test_and_no_longer_than_two_seconds(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(random, "uniform", lambda low, high: high)
        proxy.answer(b"INCRBY", TRYAGAIN, times=-1)
        (error,) = await ways.fly(*increment(counters[0]))
        assert str(error) == TRYAGAIN
        # However slow the machine is: two seconds have no more of the longest pauses than these.
        assert 2 <= ways.here.counts.store_errors["TRYAGAIN"] <= 2 / flight_module._PAUSE_S + 2

    async def test_then_its_error_is_the_answer(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, impatient: None
    ) -> None:
        proxy.answer(counters[1].encode(), TRYAGAIN, times=-1)
        first, error, last = await ways.fly(*increment(*counters.names[:3]))
        assert (first, str(error), last) == (1, TRYAGAIN, 1)
        assert counters.ran(0, 1, 2) == [1, 0, 1]
        assert ways.here.up

    async def test_what_is_told_what_to_do_waits_for_what_has_to_wait(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, keys: Keys, pauses: list[float]
    ) -> None:
        proxy.answer(counters[0].encode(), TRYAGAIN)
        proxy.answer(b"EVALSHA", NOSCRIPT)
        assert await ways.fly(*increment(counters[0]), register(keys, 1)) == [1, None]
        assert len(pauses) == 1

    async def test_it_goes_to_whoever_has_the_key_by_then(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        proxy.answer(b"INCRBY", TRYAGAIN, times=-1)
        flying = asyncio.create_task(ways.fly(*increment(counters[0])))
        await eventually(lambda: ways.notes)
        ways.there = {counters[0]}
        assert await flying == [1]
        assert counters.ran(0) == [1]


class TestWhatMayHaveRun:
    @pytest.mark.parametrize(("fault", "ran"), [(Fault.LOSE_REPLY, 1), (Fault.LOSE_COMMAND, 0)])
    async def test_it_is_never_repeated(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, fault: Fault, ran: int
    ) -> None:
        proxy.when(b"INCRBY", fault)
        (answer,) = await ways.fly(*increment(counters[0]))
        assert (type(answer), answer.sent) == (NoReply, True)
        assert answer.address == ways.here.address
        # Not held against the link's own reason: it may be up again.
        assert os.strerror(errno.ECONNRESET) in answer.reason
        await eventually(lambda: ways.here.up)
        assert counters.ran(0) == [ran]

    async def test_nor_is_it_when_others_of_the_same_flight_are(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, redis: Redis, keys: Keys
    ) -> None:
        redis.script_flush()
        ways.there = {register(keys, 1).key}
        proxy.when(b"INCRBY", Fault.LOSE_REPLY)
        lost, script = await ways.fly(*increment(counters[0]), register(keys, 1))
        assert (type(lost), lost.sent, script) == (NoReply, True, None)
        await eventually(lambda: ways.here.up)
        assert counters.ran(0) == [1]

    async def test_nor_is_it_when_it_was_lost_while_it_was_repeated(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        proxy.answer(b"INCRBY", TRYAGAIN)
        proxy.when(b"INCRBY", Fault.LOSE_REPLY, nth=2)
        (answer,) = await ways.fly(*increment(counters[0]))
        assert (type(answer), answer.sent) == (NoReply, True)
        await eventually(lambda: ways.here.up)
        assert counters.ran(0) == [1]

    @pytest.mark.parametrize(
        "error",
        ["OOM no memory", "LOADING data", "BUSY script", "NOPERM no", "WRONGTYPE no", "ERR"],
    )
    async def test_any_other_error_is_the_answer(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, error: str, pauses: list[float]
    ) -> None:
        proxy.answer(counters[0].encode(), error)
        first, second = await ways.fly(*increment(counters[0], counters[1]))
        assert (type(first), str(first), second) == (ReplyError, error, 1)
        assert counters.ran(0, 1) == [0, 1]
        assert pauses == []


class TestOtherServers:
    async def test_what_has_moved_is_asked_for_where_it_is_now_at_once(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, pauses: list[float]
    ) -> None:
        proxy.answer(counters[1].encode(), f"MOVED 1 {counters[1]}")
        assert await ways.fly(*increment(*counters.names[:3])) == [1, 1, 1]
        assert counters.ran(0, 1, 2) == [1, 1, 1]
        assert pauses == []

    async def test_what_is_only_just_moving_is_asked_for_there_this_once(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, pauses: list[float]
    ) -> None:
        for number in (1, 2):
            proxy.answer(counters[number].encode(), "ASK 1 there:1")
        sent = increment(*counters.names[:4])
        assert await ways.fly(*sent) == [1, 1, 1, 1]
        assert counters.ran(0, 1, 2, 3) == [1, 1, 1, 1]
        assert ways.there == set()
        assert pauses == []

    async def test_who_is_only_just_being_given_a_key_is_told_that_we_know(
        self, connector: Connector, keys: Keys
    ) -> None:
        answers = {b"SCRIPT": OK, b"SETNAME": OK, b"ASKING": OK, b"INCRBY": b":1\r\n"}
        async with FakeStore({**answers, b"INCRBY": b"-ASK 1 there:1\r\n"}) as giver:
            async with FakeStore(answers) as taker:
                links = [Link(Connector(fake.url, RedisSettings()), "a") for fake in (giver, taker)]
                ways = TwoWays(*links)
                for link in links:
                    await link.open()
                assert await ways.fly(*increment("a", "b")) == [1, 1]
                told = [command.split(b"\r\n")[2] for command in taker.said[-4:]]
                assert told == [b"ASKING", b"INCRBY", b"ASKING", b"INCRBY"]
                for link in links:
                    await link.close()

    async def test_whoever_does_not_follow_gets_these_errors_as_answers(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, pauses: list[float]
    ) -> None:
        ways.follows = False
        proxy.answer(counters[0].encode(), f"MOVED 1 {counters[0]}")
        proxy.answer(counters[1].encode(), "ASK 1 there:1")
        moved, asking = await ways.fly(*increment(counters[0], counters[1]))
        assert (str(moved), str(asking)) == (f"MOVED 1 {counters[0]}", "ASK 1 there:1")
        assert counters.ran(0, 1) == [0, 0]
        assert pauses == []

    async def test_two_that_name_each_other_are_not_asked_for_ever(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, impatient: None
    ) -> None:
        ways.there = set()
        proxy.answer(b"INCRBY", "MOVED 1 nowhere", times=-1)
        (error,) = await ways.fly(*increment(counters[0]))
        assert str(error) == "MOVED 1 nowhere"
        assert counters.ran(0) == [0]

    async def test_a_link_that_is_only_just_being_made_is_waited_for(
        self, ways: TwoWays, connector: Connector, counters: Counters
    ) -> None:
        young = Link(connector, "young")
        ways.here, old = young, ways.here
        ways.young = {young}
        flying = asyncio.create_task(ways.fly(*increment(counters[0])))
        await asyncio.wait([flying], timeout=0.05)
        assert not flying.done()
        await young.open()
        assert await flying == [1]
        await young.close()
        ways.here = old

    async def test_but_not_for_ever(
        self, ways: TwoWays, connector: Connector, counters: Counters, impatient: None
    ) -> None:
        young = Link(connector, "young")
        ways.here, old = young, ways.here
        ways.young = {young}
        (answer,) = await ways.fly(*increment(counters[0]))
        assert answer == NoReply(False, young.address, "not connected yet")
        ways.here = old

    async def test_whoever_knows_the_servers_hears_of_each_error(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        proxy.answer(counters[0].encode(), "READONLY replica")
        proxy.answer(counters[1].encode(), TRYAGAIN)
        await ways.fly(*increment(*counters.names[:3]))
        heard = [(note.meaning, note.elsewhere) for note in ways.notes]
        assert heard == [(Meaning.UNAVAILABLE, True), (Meaning.REPEAT, False)]


class TestReplicas:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(flight_module, "_REPLICAS_S", 0.05)

    async def test_what_too_few_have_in_time_is_said_to_be_thin(
        self, ways: TwoWays, counters: Counters
    ) -> None:
        answers = await ways.fly(*increment(counters[0], counters[1]), replicas=1)
        assert answers == [Thin(1, 0), Thin(1, 0)]

    async def test_without_being_asked_for_nobody_waits_for_them(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        proxy.when(b"WAIT", Fault.LOSE_COMMAND)
        assert await ways.fly(*increment(counters[0])) == [1]

    async def test_a_store_that_does_not_say_who_has_it_leaves_it_thin(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        proxy.answer(b"WAIT", "NOPERM this user has no permissions to run the 'wait' command")
        assert await ways.fly(*increment(counters[0]), replicas=2) == [Thin(1, 0)]
        assert counters.ran(0) == [1]

    async def test_an_error_is_an_error_and_what_found_no_reply_is_not_thin(
        self, ways: TwoWays, proxy: Proxy, counters: Counters
    ) -> None:
        ways.there = {counters[1]}
        proxy.answer(counters[0].encode(), "OOM no memory")
        error, thin, also = await ways.fly(*increment(*counters.names[:3]), replicas=1)
        assert (type(error), thin, also) == (ReplyError, Thin(1, 0), Thin(1, 0))
        proxy.when(b"WAIT", Fault.LOSE_COMMAND)
        (lost,) = await ways.fly(*increment(counters[0]), replicas=1)
        assert (type(lost), lost.sent) == (NoReply, True)
        assert counters.ran(0) == [1]

    async def test_what_is_sent_again_waits_for_them_too(
        self, ways: TwoWays, proxy: Proxy, counters: Counters, redis: Redis, keys: Keys
    ) -> None:
        redis.script_flush()
        proxy.answer(counters[1].encode(), "ASK 1 there:1")
        sent = (*increment(counters[0], counters[1]), register(keys, 1))
        assert await ways.fly(*sent, replicas=1) == [Thin(1, 0), Thin(1, 0), Thin(None, 0)]
        assert counters.ran(0, 1) == [1, 1]

    async def test_what_enough_of_them_have_is_as_good_as_without(
        self, own_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory, keys: Keys
    ) -> None:
        replica = ValkeyServer(wheel_program(), tmp_path_factory.mktemp("r"))
        replica.start(replicaof=f"127.0.0.1 {own_server.port}")
        link = Link(Connector(own_server.url, RedisSettings()), "test")
        await link.open()
        ways = TwoWays(link, link)

        async def everybody_has_it() -> bool:
            return type((await ways.fly(keyed("INCR", keys.dead), replicas=1))[0]) is int

        try:
            await eventually(everybody_has_it)
            (count,) = await ways.fly(keyed("INCR", keys.dead), replicas=1)
            with plain_client(replica.url) as copy:
                assert int(copy.get(keys.dead) or 0) == count
            assert await ways.fly(keyed("INCR", keys.dead), replicas=2) == [Thin(count + 1, 1)]
        finally:
            await link.close()
            replica.stop()
