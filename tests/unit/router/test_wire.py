"""One open connection: replies belong to commands, whatever happens around them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hiredis import ReplyError
from redis import Redis

from router.keys import Keys
from router.settings import RedisSettings
from router.store import wire as wire_module
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.resp import NO_REPLY, pack
from router.store.wire import Done, Wire
from tests.support.fake_store import WELCOME, FakeStore
from tests.support.proxy import Fault, Proxy, Way
from tests.support.valkey import as_admin
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs


@pytest.fixture
def connector(store: EmbeddedServer) -> Connector:
    """May do everything: what is said here is not what the product says."""
    return Connector(as_admin(store.address.url), RedisSettings())


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    """Likewise."""
    async with Proxy(store.address.socket, store.address.password) as between:
        yield between


class Heard:
    """Writes down everything a wire says, in order."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def done(self, name: str) -> Done:
        return lambda replies: self.all.append((name, replies))

    def push(self, message: list[Any]) -> None:
        self.all.append(("push", message))

    def lost(self, reason: str) -> None:
        self.all.append(("lost", reason))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.all]

    def of(self, name: str) -> Any:
        """Return what was heard under a name."""
        return dict(self.all)[name]


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def wired(connector: Connector, heard: Heard, reply_timeout_s: float = 5.0) -> Wire:
    return Wire(await connector.connect(), heard.push, heard.lost, reply_timeout_s)


@pytest.fixture
async def wire(connector: Connector, heard: Heard) -> AsyncIterator[Wire]:
    found = await wired(connector, heard)
    yield found
    found.abort("the test is over")
    await eventually(lambda: found.lost)


@pytest.fixture
async def shaky_wire(shaky: Connector, heard: Heard) -> AsyncIterator[Wire]:
    """Goes through the proxy, and gives up after half a second."""
    found = await wired(shaky, heard, 0.5)
    yield found
    found.abort("the test is over")
    await eventually(lambda: found.lost)


class TestReplies:
    async def test_each_command_gets_its_own_reply(self, wire: Wire, heard: Heard) -> None:
        for number in range(500):
            wire.send(pack("ECHO", str(number)), 1, heard.done(str(number)))
        await eventually(lambda: len(heard.all) == 500)
        assert heard.all == [(str(number), [str(number).encode()]) for number in range(500)]

    async def test_commands_sent_together_are_answered_together(
        self, wire: Wire, heard: Heard
    ) -> None:
        wire.send(pack("ECHO", "a") + pack("ECHO", "b") + pack("ECHO", "c"), 3, heard.done("three"))
        wire.send(pack("ECHO", "d"), 1, heard.done("one"))
        await eventually(lambda: len(heard.all) == 2)
        assert heard.all == [("three", [b"a", b"b", b"c"]), ("one", [b"d"])]

    async def test_nothing_is_said_before_the_wire_has_gone_to_the_store(
        self, wire: Wire, heard: Heard
    ) -> None:
        wire.send(pack("PING"), 1, heard.done("ping"))
        assert heard.all == []
        await eventually(lambda: heard.names == ["ping"])

    async def test_an_error_is_a_reply_among_others(self, wire: Wire, heard: Heard) -> None:
        data = pack("ECHO", "a") + pack("NOSUCH") + pack("ECHO", "b")
        wire.send(data, 3, heard.done("three"))
        await eventually(lambda: heard.all)
        first, error, last = heard.of("three")
        assert (first, last) == (b"a", b"b")
        assert type(error) is ReplyError
        assert "unknown command" in str(error)

    async def test_every_type_of_the_protocol_comes_through(
        self, wire: Wire, heard: Heard, redis: Redis, keys: Keys
    ) -> None:
        redis.hset(keys.dead, "field", "value")
        data = pack("GET", "nothing") + pack("HGETALL", keys.dead) + pack("LRANGE", "none", 0, -1)
        wire.send(data + pack("HLEN", keys.dead), 4, heard.done("all"))
        await eventually(lambda: heard.all)
        assert heard.of("all") == [None, {b"field": b"value"}, [], 1]

    async def test_a_large_reply_comes_in_one_piece(self, wire: Wire, heard: Heard) -> None:
        blob = bytes(range(256)) * 16_384
        wire.send(pack("ECHO", blob), 1, heard.done("blob"))
        wire.send(pack("PING"), 1, heard.done("ping"))
        await eventually(lambda: len(heard.all) == 2)
        assert heard.of("blob") == [blob]
        assert heard.of("ping") == [b"PONG"]

    async def test_several_parties_share_one_write(self, wire: Wire, heard: Heard) -> None:
        wire.expect(1, heard.done("first"))
        data = pack("ECHO", "a") + pack("ECHO", "b") + pack("ECHO", "c")
        wire.send(data, 2, heard.done("rest"))
        await eventually(lambda: len(heard.all) == 2)
        assert heard.all == [("first", [b"a"]), ("rest", [b"b", b"c"])]

    async def test_the_first_party_does_not_wait_for_the_seconds_blocking_command(
        self, wire: Wire, heard: Heard, redis: Redis, keys: Keys
    ) -> None:
        inbox = keys.dead
        wire.expect(1, heard.done("first"))
        wire.send(pack("PING") + pack("BLPOP", inbox, 5), 1, heard.done("blocked"))
        await eventually(lambda: heard.names == ["first"])
        redis.rpush(inbox, "x")
        await eventually(lambda: heard.names == ["first", "blocked"])

    async def test_push_messages_come_in_order_with_the_replies_around_them(
        self, wire: Wire, heard: Heard, redis: Redis, keys: Keys
    ) -> None:
        key = keys.dead
        wire.send(pack("CLIENT", "TRACKING", "ON"), 1, heard.done("on"))
        wire.send(pack("GET", key), 1, heard.done("before"))
        await eventually(lambda: len(heard.all) == 2)
        redis.set(key, "changed")
        await eventually(lambda: "push" in heard.names)
        wire.send(pack("GET", key), 1, heard.done("after"))
        await eventually(lambda: "after" in heard.names)
        assert heard.all == [
            ("on", [b"OK"]),
            ("before", [None]),
            ("push", [b"invalidate", [key.encode()]]),
            ("after", [b"changed"]),
        ]

    async def test_a_push_in_the_middle_of_a_group_does_not_count_as_a_reply(
        self, heard: Heard
    ) -> None:
        async with FakeStore() as fake:
            wire = await wired(Connector(fake.url, RedisSettings()), heard)
            wire.send(pack("A") + pack("B"), 2, heard.done("two"))
            fake.say(b"+1\r\n>2\r\n+invalidate\r\n_\r\n+2\r\n")
            await eventually(lambda: "two" in heard.names)
            assert heard.all == [("push", [b"invalidate", None]), ("two", [b"1", b"2"])]
            wire.abort("over")
            await eventually(lambda: wire.lost)


class TestLoss:
    async def test_everybody_who_waits_hears_of_it_oldest_first_and_the_owner_last(
        self, wire: Wire, heard: Heard
    ) -> None:
        for name in ("one", "two", "three"):
            wire.send(pack("BLPOP", "nothing", 0), 1, heard.done(name))
        wire.abort("enough")
        await eventually(lambda: wire.lost)
        assert heard.all == [("one", None), ("two", None), ("three", None), ("lost", "enough")]

    async def test_a_group_that_is_half_answered_is_lost_as_a_whole(
        self, wire: Wire, heard: Heard, keys: Keys
    ) -> None:
        wire.send(pack("PING"), 1, heard.done("ping"))
        wire.send(pack("PING") + pack("BLPOP", keys.dead, 0), 2, heard.done("half"))
        await eventually(lambda: heard.names == ["ping"])
        wire.abort("enough")
        await eventually(lambda: wire.lost)
        assert heard.of("half") is None

    async def test_what_is_sent_on_a_lost_wire_is_lost_at_once(
        self, wire: Wire, heard: Heard
    ) -> None:
        wire.abort("enough")
        await eventually(lambda: wire.lost)
        wire.send(pack("PING"), 1, heard.done("late"))
        assert heard.all == [("lost", "enough"), ("late", None)]

    async def test_what_is_sent_on_a_wire_just_given_up_is_lost_in_its_turn(
        self, wire: Wire, heard: Heard
    ) -> None:
        wire.send(pack("BLPOP", "nothing", 0), 1, heard.done("early"))
        wire.abort("enough")
        for _ in range(20):  # a transport would log the writes after its end
            wire.send(pack("PING"), 1, heard.done("late"))
        await eventually(lambda: wire.lost)
        assert heard.names == ["early", *["late"] * 20, "lost"]

    async def test_what_asks_for_no_reply_waits_for_none(
        self, wire: Wire, heard: Heard, redis: Redis, keys: Keys
    ) -> None:
        wire.write(NO_REPLY + pack("INCR", keys.dead))
        wire.send(pack("GET", keys.dead), 1, heard.done("next"))
        await eventually(lambda: heard.all == [("next", [b"1"])])

    async def test_what_asks_for_no_reply_is_gone_with_the_wire(
        self, wire: Wire, redis: Redis, keys: Keys
    ) -> None:
        wire.abort("enough")
        for _ in range(20):
            wire.write(NO_REPLY + pack("INCR", keys.dead))
        await eventually(lambda: wire.lost)
        wire.write(NO_REPLY + pack("INCR", keys.dead))
        assert redis.exists(keys.dead) == 0

    async def test_the_first_reason_stands(self, wire: Wire, heard: Heard) -> None:
        wire.abort("first")
        wire.abort("second")
        await eventually(lambda: wire.lost)
        wire.abort("third")
        assert heard.all == [("lost", "first")]

    async def test_replies_that_have_arrived_are_not_handed_out_after_the_end(
        self, wire: Wire, heard: Heard
    ) -> None:
        def end(replies: list[Any] | None) -> None:
            heard.all.append(("end", replies))
            wire.abort("seen enough")

        wire.expect(1, end)
        wire.send(pack("ECHO", "a") + pack("ECHO", "b"), 1, heard.done("rest"))
        await eventually(lambda: wire.lost)
        assert heard.all == [("end", [b"a"]), ("rest", None), ("lost", "seen enough")]

    async def test_a_connection_the_store_has_closed_is_lost(
        self, shaky_wire: Wire, heard: Heard, proxy: Proxy
    ) -> None:
        shaky_wire.send(pack("BLPOP", "nothing", 0), 1, heard.done("waits"))
        await eventually(lambda: proxy.open_connections == 1)
        proxy.reset_all()
        await eventually(lambda: shaky_wire.lost)
        assert heard.names == ["waits", "lost"]
        assert heard.of("lost")

    @pytest.mark.parametrize("seen_at", ["its end", "its reset"])
    async def test_a_connection_that_ended_before_the_wire_took_it_over_is_lost(
        self, connector: Connector, proxy: Proxy, heard: Heard, redis: Redis, seen_at: str
    ) -> None:
        if seen_at == "its end":
            connection: Any = await connector.connect()
            redis.client_kill_filter(_type="normal", skipme=True)
            await eventually(connection._reader.at_eof)
        else:
            connection = await Connector(proxy.url, RedisSettings()).connect()
            proxy.reset_all()
            await eventually(connection._reader.exception)
        wire = Wire(connection, heard.push, heard.lost, 60.0)
        wire.send(pack("PING"), 1, heard.done("ping"))
        await eventually(lambda: wire.lost)
        assert heard.names == ["ping", "lost"]

    async def test_a_reply_that_never_came_is_not_the_next_ones(
        self, shaky_wire: Wire, heard: Heard, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        lost = proxy.when(b"INCR", Fault.LOSE_REPLY)
        shaky_wire.send(pack("ECHO", "a"), 1, heard.done("before"))
        shaky_wire.send(pack("INCR", keys.dead), 1, heard.done("lost reply"))
        shaky_wire.send(pack("ECHO", "b"), 1, heard.done("after"))
        await eventually(lambda: shaky_wire.lost)
        assert lost.is_set()
        assert heard.of("before") == [b"a"]
        assert (heard.of("lost reply"), heard.of("after")) == (None, None)
        assert redis.get(keys.dead) == b"1"

    async def test_a_reply_that_is_cut_is_lost(
        self, shaky_wire: Wire, heard: Heard, proxy: Proxy
    ) -> None:
        proxy.cut_after(100, Way.TO_CLIENT)
        shaky_wire.send(pack("ECHO", "x" * 500), 1, heard.done("cut"))
        await eventually(lambda: shaky_wire.lost)
        assert heard.of("cut") is None

    async def test_a_command_that_is_cut_does_not_run(
        self, shaky_wire: Wire, heard: Heard, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        proxy.cut_after(60, Way.TO_STORE)
        shaky_wire.send(pack("SET", keys.dead, "x" * 500), 1, heard.done("cut"))
        await eventually(lambda: shaky_wire.lost)
        assert heard.of("cut") is None
        assert redis.exists(keys.dead) == 0


class SlowReader:
    """A store that greets and then reads nothing, until it is told to go on to the end."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.how_it_ended = ""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"HELLO")
        writer.write(WELCOME)
        await self.goes_on.wait()
        try:
            while await reader.read(65_536):
                pass
            self.how_it_ended = "all that was taken has come"
        except ConnectionResetError:
            self.how_it_ended = "the rest was dropped"
        writer.transport.abort()

    async def end(self) -> str:
        """Read on; return how the connection ended."""
        self.goes_on.set()
        await eventually(lambda: bool(self.how_it_ended))
        return self.how_it_ended


KILLED = """
import asyncio, os, signal, sys
from router.settings import RedisSettings
from router.store.connect import Connector
from router.store.resp import pack
from router.store.wire import Wire
async def main():
    connection = await Connector(sys.argv[1], RedisSettings()).connect()
    wire = Wire(connection, print, print, 5.0)
    wire.send(pack("SET", "key", "x" * 16_000_000), 1, print)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


class TestWhatIsOnItsWay:
    """More than the kernel takes is sent to a store that does not read it."""

    @pytest.fixture
    async def store_there(self) -> AsyncIterator[SlowReader]:
        slow = SlowReader()
        async with await asyncio.start_server(slow.serve, "127.0.0.1", 0) as server:
            slow.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield slow

    async def wired_to(self, store: SlowReader, heard: Heard) -> Wire:
        wire = await wired(Connector(store.url, RedisSettings()), heard, 0.5)
        wire.send(pack("SET", "key", "x" * 16_000_000), 1, heard.done("set"))
        return wire

    async def test_never_arrives_after_a_silent_store_was_given_up(
        self, store_there: SlowReader, heard: Heard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire_module, "_TICK_S", 0.05)
        wire = await self.wired_to(store_there, heard)
        await eventually(lambda: wire.lost)
        assert heard.all == [("set", None), ("lost", "no reply for 0.5 s")]
        assert await store_there.end() == "the rest was dropped"

    async def test_never_arrives_after_the_process_was_killed(
        self, store_there: SlowReader
    ) -> None:
        killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, store_there.url)
        assert await killed.wait() == -signal.SIGKILL
        assert await store_there.end() == "the rest was dropped"

    async def test_arrives_after_a_close_of_ours(
        self, store_there: SlowReader, heard: Heard
    ) -> None:
        wire = await self.wired_to(store_there, heard)
        wire.abort("closed by us", deliver=True)
        await eventually(lambda: wire.lost)
        assert await store_there.end() == "all that was taken has come"


class TestHungStore:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire_module, "_TICK_S", 0.05)

    async def test_one_that_accepts_commands_and_never_answers_is_given_up(
        self, shaky_wire: Wire, heard: Heard, proxy: Proxy
    ) -> None:
        proxy.hold()
        shaky_wire.send(pack("PING"), 1, heard.done("ping"))
        await eventually(lambda: shaky_wire.lost)
        assert heard.all == [("ping", None), ("lost", "no reply for 0.5 s")]

    async def test_one_that_owes_nothing_is_not(
        self, shaky_wire: Wire, heard: Heard, proxy: Proxy
    ) -> None:
        proxy.hold()
        await asyncio.sleep(0.8)  # longer than it would be given up after, if it owed something
        proxy.heal()
        shaky_wire.send(pack("PING"), 1, heard.done("ping"))
        await eventually(lambda: heard.names == ["ping"])
        assert not shaky_wire.lost

    async def test_a_slow_one_is_not_as_long_as_something_comes(
        self, shaky: Connector, heard: Heard, proxy: Proxy
    ) -> None:
        wire = await wired(shaky, heard, 0.5)
        proxy.delay_s = 0.1
        sent = 10
        for number in range(sent):  # something is owed all the time, for twice the limit
            wire.send(pack("ECHO", str(number)), 1, heard.done(str(number)))
            await asyncio.sleep(0.09)
        await eventually(lambda: len(heard.all) == sent)
        assert not wire.lost
        wire.abort("over")
        await eventually(lambda: wire.lost)


class TestNonsense:
    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeStore]:
        async with FakeStore() as server:
            yield server

    @pytest.fixture
    async def to_fake(self, fake: FakeStore, heard: Heard) -> AsyncIterator[Wire]:
        found = await wired(Connector(fake.url, RedisSettings()), heard)
        yield found
        found.abort("the test is over")
        await eventually(lambda: found.lost)

    @pytest.mark.parametrize(
        "words", [b"HTTP/1.1 400\r\n", b"\x00\x01\x02\r\n", b"*x\r\n", b"%1\r\n*1\r\n+a\r\n+b\r\n"]
    )
    async def test_bytes_that_are_no_reply_end_the_wire(
        self, fake: FakeStore, to_fake: Wire, heard: Heard, words: bytes
    ) -> None:
        to_fake.send(pack("PING"), 1, heard.done("ping"))
        fake.say(words)
        await eventually(lambda: to_fake.lost)
        assert heard.of("ping") is None
        assert "not what a Redis server says" in heard.of("lost")

    async def test_a_reply_that_nobody_asked_for_ends_the_wire(
        self, fake: FakeStore, to_fake: Wire, heard: Heard
    ) -> None:
        fake.say(b"+OK\r\n")
        await eventually(lambda: to_fake.lost)
        assert "not what a Redis server says" in heard.of("lost")

    async def test_a_reply_too_many_ends_the_wire_after_the_right_one(
        self, fake: FakeStore, to_fake: Wire, heard: Heard
    ) -> None:
        to_fake.send(pack("PING"), 1, heard.done("ping"))
        fake.say(b"+PONG\r\n+PONG\r\n")
        await eventually(lambda: to_fake.lost)
        assert heard.of("ping") == [b"PONG"]

    async def test_an_end_in_the_middle_of_a_reply_is_a_loss(
        self, fake: FakeStore, to_fake: Wire, heard: Heard
    ) -> None:
        to_fake.send(pack("PING"), 1, heard.done("ping"))
        fake.say(b"$100\r\nhalf")
        fake.hang_up()
        await eventually(lambda: to_fake.lost)
        assert heard.names == ["ping", "lost"]
        assert heard.of("ping") is None


class TestFaultsOfOurs:
    async def test_a_fault_in_a_callback_ends_the_wire_and_not_the_process(
        self, wire: Wire, heard: Heard, logs: StrictLogs
    ) -> None:
        logs.expect("a reply could not be handled")

        def broken(replies: list[Any] | None) -> None:
            raise KeyError("a fault of ours")

        wire.send(pack("PING"), 1, broken)
        wire.send(pack("PING"), 1, heard.done("next"))
        await eventually(lambda: wire.lost)
        assert heard.of("next") is None
        assert "a fault of ours" in heard.of("lost")
        assert logs.events("a reply could not be handled")

    async def test_a_fault_in_one_callback_keeps_no_other_from_hearing_of_a_loss(
        self, wire: Wire, heard: Heard, logs: StrictLogs
    ) -> None:
        logs.expect("a lost reply could not be handled")

        def broken(replies: list[Any] | None) -> None:
            raise KeyError("a fault of ours")

        wire.send(pack("BLPOP", "nothing", 0), 1, broken)
        wire.send(pack("PING"), 1, heard.done("next"))
        wire.abort("enough")
        await eventually(lambda: wire.lost)
        assert heard.all == [("next", None), ("lost", "enough")]
