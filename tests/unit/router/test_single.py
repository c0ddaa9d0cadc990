"""The store on one server: what callers are told, and may believe of their commands."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hiredis import ReplyError
from redis import Redis

from router.errors import Garbage, StoreRefused, Unavailable
from router.keys import Keys
from router.settings import RedisSettings
from router.store import scripts
from router.store.answers import NoReply, ReplyLost
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.link import Link
from router.store.resp import keyed, keyless, pack
from router.store.single import Single
from router.store.trouble import TROUBLES, Meaning
from tests.support.fake_store import FakeStore
from tests.support.proxy import Fault, Proxy
from tests.support.valkey import as_admin
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

TRYAGAIN = "TRYAGAIN Multiple keys request during rehashing of slot"
LOST, GIVEN_UP = "store connection lost", "store connection given up"


@pytest.fixture
def connector(store: EmbeddedServer) -> Connector:
    """May do everything: what is said here is not what the product says."""
    return Connector(as_admin(store.address.url), RedisSettings())


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    """Likewise."""
    async with Proxy(store.address.socket, store.address.password) as between:
        yield between


@pytest.fixture
async def single(connector: Connector) -> AsyncIterator[Single]:
    found = Single(Link(connector, "test"))
    await found.open()
    yield found
    await found.close()


@pytest.fixture
async def shaky_single(shaky: Connector, logs: StrictLogs) -> AsyncIterator[Single]:
    logs.expect(LOST)
    found = Single(Link(shaky, "test"))
    await found.open()
    yield found
    await found.close()


class TestOpening:
    async def test_it_can_be_used_at_once(self, single: Single) -> None:
        assert single.up
        assert single.reaches("any key")
        assert await single.call(keyless("PING")) == b"PONG"

    async def test_nobody_there_is_an_error(self) -> None:
        async with FakeStore() as gone:
            url = gone.url
        with pytest.raises(Unavailable):
            await Single(Link(Connector(url, RedisSettings()), "test")).open()

    async def test_when_it_is_closed_it_reaches_nothing_and_whoever_waits_hears_so(
        self, connector: Connector
    ) -> None:
        single = Single(Link(connector, "test"))
        await single.open()
        waiting = asyncio.create_task(single.command("BLPOP", "none", 0))
        await rounds()
        await single.close()
        with pytest.raises(ReplyLost, match="closed by us"):
            await waiting
        assert not single.up
        assert not single.reaches("any key")

    async def test_all_keys_are_in_the_same_place(
        self, single: Single, connector: Connector
    ) -> None:
        assert single.place("a") == single.place("b") == ""
        assert single.address == connector.address
        assert single.counts is connector.counts

    async def test_there_is_one_way_wherever_a_key_is_said_to_be(self, single: Single) -> None:
        link = single.link_of("a")
        assert single.link_of("") is single.redirected(ReplyError("ASK 1 b:1")) is link
        assert (single.follows, single.coming(link)) == (False, False)


class TestAsking:
    async def test_a_call_returns_its_reply(self, single: Single, keys: Keys) -> None:
        assert await single.call(keyed("INCR", keys.dead)) == 1
        assert await single.command("INCR", keys.dead) == 2

    async def test_an_error_reply_to_a_call_is_raised(self, single: Single) -> None:
        with pytest.raises(StoreRefused, match="unknown command"):
            await single.command("NOSUCH", "key")

    async def test_error_replies_to_many_stand_among_the_others(self, single: Single) -> None:
        first, error, last = await single.ask(
            (keyless("ECHO", "a"), keyless("NOSUCH"), keyless("ECHO", "b"))
        )
        assert (first, last) == (b"a", b"b")
        assert type(error) is ReplyError

    async def test_where_no_error_will_do_the_first_is_raised_and_the_others_have_run(
        self, single: Single, redis: Redis, keys: Keys
    ) -> None:
        commands = (
            keyed("INCR", keys.dead),
            keyless("NOSUCH", "first"),
            keyless("NOSUCH", "second"),
            keyed("INCR", keys.dead),
        )
        with pytest.raises(StoreRefused, match="first"):
            await single.answers(commands)
        assert redis.get(keys.dead) == b"2"

    async def test_what_holds_another_type_is_passed_over_and_counted_where_others_are_read(
        self, single: Single, redis: Redis, keys: Keys
    ) -> None:
        redis.set(keys.dead, "not a list")
        redis.rpush(keys.endpoints, "x")
        commands = (keyed("LLEN", keys.dead), keyed("LLEN", keys.endpoints))
        assert await single.readings(commands) == [None, 1]
        assert single.counts.garbage == 1
        with pytest.raises(Garbage):
            await single.answers(commands)
        with pytest.raises(StoreRefused, match="unknown command"):
            await single.readings((*commands, keyless("NOSUCH")))

    async def test_callers_at_the_same_time_get_their_own_replies(self, single: Single) -> None:
        asked = [single.command("ECHO", str(number)) for number in range(200)]
        assert await asyncio.gather(*asked) == [str(number).encode() for number in range(200)]

    async def test_a_cancelled_caller_does_not_shift_the_replies_of_others(
        self, single: Single, redis: Redis, keys: Keys
    ) -> None:
        waiting = asyncio.create_task(single.command("BLPOP", keys.dead, 5))
        behind = [asyncio.create_task(single.command("ECHO", str(number))) for number in range(5)]
        await rounds()
        waiting.cancel()
        behind[2].cancel()
        await asyncio.wait([waiting, behind[2]])
        redis.rpush(keys.dead, "x")
        kept = [task for task in behind if not task.cancelled()]
        assert await asyncio.gather(*kept) == [b"0", b"1", b"3", b"4"]
        assert await single.command("ECHO", "afterwards") == b"afterwards"

    async def test_scripts_the_store_has_forgotten_are_loaded_again(
        self, single: Single, redis: Redis, keys: Keys
    ) -> None:
        redis.script_flush()
        script = scripts.REGISTER.pack((keys.dead, keys.everybody), "field", "entry", 1_000)
        assert await single.call(script) is None
        assert all(redis.script_exists(*(script.sha for script in scripts.ALL)))

    async def test_what_stands_beside_a_forgotten_script_runs_once(
        self, single: Single, redis: Redis, keys: Keys
    ) -> None:
        redis.script_flush()
        script = scripts.REGISTER.pack((keys.endpoints, keys.everybody), "field", "entry", 1_000)
        assert await single.ask((keyed("INCR", keys.dead), script)) == [1, None]
        assert redis.get(keys.dead) == b"1"

    async def test_a_script_nobody_knows_is_an_error_in_the_end(
        self, single: Single, impatient: None
    ) -> None:
        with pytest.raises(StoreRefused, match="NOSCRIPT"):
            await single.call(keyless("EVALSHA", "0" * 40, 0))

    async def test_what_the_store_takes_in_a_moment_is_repeated(
        self, shaky_single: Single, proxy: Proxy, keys: Keys
    ) -> None:
        proxy.answer(b"INCR", TRYAGAIN, times=3)
        assert await shaky_single.command("INCR", keys.dead) == 1

    async def test_but_not_for_ever(
        self, shaky_single: Single, proxy: Proxy, redis: Redis, keys: Keys, impatient: None
    ) -> None:
        proxy.answer(b"INCR", TRYAGAIN, times=-1)
        with pytest.raises(Unavailable, match="TRYAGAIN"):
            await shaky_single.command("INCR", keys.dead)
        assert shaky_single.up
        assert redis.get(keys.dead) is None

    async def test_sending_without_waiting_tells_the_answers(self, single: Single) -> None:
        heard: list[Any] = []
        single.send((keyless("ECHO", "a"), keyless("ECHO", "b")), heard.append)
        assert heard == []
        await eventually(lambda: heard == [[b"a", b"b"]])

    async def test_what_is_told_is_not_answered(
        self, single: Single, redis: Redis, keys: Keys
    ) -> None:
        before = single.counts.unanswered
        assert single.tell(keyed("INCR", keys.dead))
        assert await single.command("GET", keys.dead) == b"1"
        assert single.counts.unanswered == before + 1

    async def test_each_server_is_one_and_may_refuse(self, single: Single) -> None:
        assert await single.each(pack("ECHO", "a")) == {single.address: b"a"}
        with pytest.raises(StoreRefused, match="unknown command"):
            await single.each(pack("NOSUCH"))


class TestErrors:
    """What an error reply does to the connection, and what it is called."""

    @pytest.mark.parametrize("word", [word for word in TROUBLES if TROUBLES[word].elsewhere])
    async def test_a_server_that_is_not_the_store_any_more_is_left_for_a_new_connection(
        self, shaky_single: Single, proxy: Proxy, keys: Keys, logs: StrictLogs, word: str
    ) -> None:
        logs.expect(GIVEN_UP)
        before = proxy.connections
        proxy.answer(b"INCR", f"{word} for a reason")
        with pytest.raises((Unavailable, StoreRefused), match=f"{word} for a reason"):
            await shaky_single.command("INCR", keys.dead)
        await eventually(lambda: proxy.connections == before + 1 and shaky_single.up)
        assert await shaky_single.command("INCR", keys.dead) == 1

    @pytest.mark.parametrize("word", [word for word in TROUBLES if TROUBLES[word].elsewhere])
    async def test_it_is_left_whoever_hears_of_it_and_whatever_stands_beside_it(
        self, shaky_single: Single, proxy: Proxy, keys: Keys, logs: StrictLogs, word: str
    ) -> None:
        logs.expect(GIVEN_UP)
        before = proxy.connections
        proxy.answer(b"INCR", f"{word} for a reason")
        heard: list[Any] = []
        commands = (keyless("ECHO", "a"), keyed("INCR", keys.dead), keyless("ECHO", "b"))
        shaky_single.send(commands, heard.extend)
        await eventually(lambda: proxy.connections == before + 1 and shaky_single.up)
        assert (heard[0], str(heard[1]), heard[2]) == (b"a", f"{word} for a reason", b"b")

    @pytest.mark.parametrize("word", [word for word in TROUBLES if not TROUBLES[word].elsewhere])
    async def test_any_other_error_leaves_the_connection_as_it_is(
        self,
        shaky_single: Single,
        proxy: Proxy,
        keys: Keys,
        word: str,
        impatient: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("router.store.link._LAST_REPLIES_S", 0.0)
        before = proxy.connections
        proxy.answer(b"INCR", f"{word} 1 for a reason", times=-1)
        (error,) = await shaky_single.ask((keyed("INCR", keys.dead),))
        assert str(error) == f"{word} 1 for a reason"
        await rounds()
        assert await shaky_single.call(keyless("PING")) == b"PONG"
        assert proxy.connections == before

    @pytest.mark.parametrize("word", TROUBLES)
    async def test_saying_what_an_error_stands_for_does_nothing_to_the_connection(
        self, shaky_single: Single, proxy: Proxy, word: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("router.store.link._LAST_REPLIES_S", 0.0)
        before = proxy.connections
        error = shaky_single.explain(ReplyError(f"{word} 1 for a reason"))
        assert f"{word} 1 for a reason" in str(error)
        await rounds()
        assert await shaky_single.call(keyless("PING")) == b"PONG"
        assert proxy.connections == before

    @pytest.mark.parametrize(
        "word",
        [word for word in TROUBLES if TROUBLES[word].meaning in (Meaning.MOVED, Meaning.ASK)],
    )
    async def test_a_server_of_a_cluster_is_named_as_what_it_is_and_asked_once(
        self, shaky_single: Single, proxy: Proxy, keys: Keys, word: str
    ) -> None:
        proxy.answer(b"INCR", f"{word} 3999 127.0.0.1:6381")
        with pytest.raises(StoreRefused, match=r'set redis\.mode = "cluster"') as caught:
            await shaky_single.command("INCR", keys.dead)
        assert f"{word} 3999 127.0.0.1:6381" in str(caught.value)


class TestLosing:
    async def test_a_reply_that_is_lost_says_that_the_command_may_have_run(
        self, shaky_single: Single, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        proxy.when(b"INCR", Fault.LOSE_REPLY)
        with pytest.raises(ReplyLost):
            await shaky_single.command("INCR", keys.dead)
        await eventually(lambda: shaky_single.up)
        assert redis.get(keys.dead) == b"1"

    async def test_a_command_that_is_lost_looks_the_same_and_is_not_repeated(
        self, shaky_single: Single, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        proxy.when(b"INCR", Fault.LOSE_COMMAND)
        with pytest.raises(ReplyLost):
            await shaky_single.command("INCR", keys.dead)
        await eventually(lambda: shaky_single.up)
        assert redis.get(keys.dead) is None

    async def test_while_it_is_down_nothing_is_sent_and_the_caller_knows(
        self, shaky_single: Single, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not shaky_single.up)
        with pytest.raises(Unavailable) as caught:
            await shaky_single.command("INCR", keys.dead)
        assert type(caught.value) is Unavailable
        assert caught.value.address == proxy.url.rpartition("@")[2]
        heard: list[Any] = []
        shaky_single.send((keyed("INCR", keys.dead),), heard.extend)
        (answer,) = heard
        assert type(answer) is NoReply
        assert (answer.sent, answer.address) == (False, caught.value.address)
        assert not shaky_single.tell(keyed("INCR", keys.dead))
        assert not shaky_single.reaches(keys.dead)
        await proxy.accept()
        await eventually(lambda: shaky_single.up)
        assert redis.get(keys.dead) is None

    async def test_every_caller_hears_of_a_loss(self, shaky_single: Single, proxy: Proxy) -> None:
        waiting = [asyncio.create_task(shaky_single.command("BLPOP", "none", 0)) for _ in range(9)]
        await rounds()
        proxy.reset_all()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {ReplyLost}
