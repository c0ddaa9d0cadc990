"""A connection that is kept up; and what its callers may believe about their commands."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hiredis import ReplyError
from redis import Redis

from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.settings import RedisSettings
from router.store import connect as connect_module
from router.store import link as link_module
from router.store import scripts
from router.store.answers import ReplyLost
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.link import Link
from router.store.resp import Argument, pack
from tests.support.fake_store import OK, FakeStore
from tests.support.proxy import Fault, Proxy
from tests.support.valkey import as_admin
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

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


@asynccontextmanager
async def opened(connector: Connector, name: str = "test", **events: Any) -> AsyncIterator[Link]:
    link = Link(connector, name, **events)
    await link.open()
    try:
        yield link
    finally:
        await link.close()


@pytest.fixture
async def link(connector: Connector) -> AsyncIterator[Link]:
    async with opened(connector) as found:
        yield found


@pytest.fixture
async def shaky_link(shaky: Connector, logs: StrictLogs) -> AsyncIterator[Link]:
    logs.expect(LOST)
    async with opened(shaky) as found:
        yield found


async def ask(link: Link, *args: Argument) -> Any:
    """Ask one thing; return the answer, whatever it is."""
    return (await link.ask(pack(*args), 1))[0]


def others() -> set[asyncio.Task[Any]]:
    """Return the tasks beside the test's own, and those of the proxy."""
    return {
        task
        for task in asyncio.all_tasks() - {asyncio.current_task()}
        if task.get_name().startswith("link")
    }


class TestOpening:
    async def test_it_can_be_used_at_once(self, link: Link) -> None:
        assert link.up
        assert await ask(link, "PING") == b"PONG"

    async def test_the_scripts_are_loaded(self, redis: Redis, connector: Connector) -> None:
        redis.script_flush()
        async with opened(connector):
            assert all(redis.script_exists(*(script.sha for script in scripts.ALL)))

    async def test_the_store_can_tell_who_it_is(self, connector: Connector, redis: Redis) -> None:
        async with opened(connector, "mine"):
            names = [client["name"] for client in redis.client_list()]
            assert "switchboard-mine" in names

    async def test_the_set_up_comes_before_everything_else(
        self, connector: Connector, keys: Keys, redis: Redis
    ) -> None:
        setup = (pack("RPUSH", keys.dead, "set up"), 1)
        seen: list[Any] = []
        up = lambda: seen.append(redis.lrange(keys.dead, 0, -1))  # noqa: E731
        async with opened(connector, setup=setup, on_up=up):
            assert seen == [[b"set up"]]

    async def test_nobody_there_is_an_error_and_leaves_nothing_running(self) -> None:
        async with FakeStore() as gone:
            url = gone.url
        link = Link(Connector(url, RedisSettings()), "test")
        with pytest.raises(Unavailable):
            await link.open()
        assert not link.up
        assert others() == set()

    async def test_a_refused_set_up_is_an_error_and_leaves_nothing_running(
        self, connector: Connector, redis: Redis, prefix: str
    ) -> None:
        link = Link(connector, prefix, setup=(pack("NOSUCH"), 1))
        with pytest.raises(StoreRefused, match="unknown command"):
            await link.open()
        assert not link.up
        assert others() == set()
        await eventually(
            lambda: f"switchboard-{prefix}" not in [c["name"] for c in redis.client_list()]
        )

    async def test_a_cancelled_attempt_leaves_nothing_running(self) -> None:
        async with FakeStore() as silent:  # greets, then says nothing
            link = Link(Connector(silent.url, RedisSettings()), "test")
            attempt = asyncio.create_task(link.open())
            await eventually(lambda: any(b"SCRIPT" in command for command in silent.said))
            attempt.cancel()
            await asyncio.wait([attempt])
            assert not link.up
            assert others() == set()
            await eventually(lambda: silent.ended == silent.connections)

    async def test_a_second_attempt_may_succeed(
        self, proxy: Proxy, shaky: Connector, logs: StrictLogs
    ) -> None:
        link = Link(shaky, "test")
        await proxy.refuse()
        with pytest.raises(Unavailable):
            await link.open()
        await proxy.accept()
        await link.open()
        assert await ask(link, "PING") == b"PONG"
        await link.close()


class TestAsking:
    async def test_error_replies_to_many_stand_among_the_others(self, link: Link) -> None:
        first, error = await link.ask(pack("PING") + pack("NOSUCH"), 2)
        assert first == b"PONG"
        assert type(error) is ReplyError

    async def test_nothing_is_asked_again_whatever_the_answer_says(
        self, link: Link, redis: Redis
    ) -> None:
        redis.script_flush()
        (error,) = await link.ask(pack("EVALSHA", scripts.TRIM.sha, 0), 1)
        assert str(error).startswith("NOSCRIPT")

    async def test_callers_at_the_same_time_get_their_own_replies(self, link: Link) -> None:
        asked = [ask(link, "ECHO", str(number)) for number in range(200)]
        assert await asyncio.gather(*asked) == [str(number).encode() for number in range(200)]

    async def test_a_cancelled_caller_does_not_shift_the_replies_of_others(
        self, link: Link, redis: Redis, keys: Keys
    ) -> None:
        waiting = asyncio.create_task(ask(link, "BLPOP", keys.dead, 5))
        behind = [asyncio.create_task(ask(link, "ECHO", str(number))) for number in range(5)]
        await rounds()
        waiting.cancel()
        behind[2].cancel()
        await asyncio.wait([waiting, behind[2]])
        redis.rpush(keys.dead, "x")
        kept = [task for task in behind if not task.cancelled()]
        assert await asyncio.gather(*kept) == [b"0", b"1", b"3", b"4"]
        assert await ask(link, "ECHO", "afterwards") == b"afterwards"

    async def test_sending_without_waiting_tells_the_replies(self, link: Link) -> None:
        heard: list[Any] = []
        link.expect(1, heard.append)
        link.send(pack("ECHO", "a") + pack("ECHO", "b"), 1, heard.append)
        await eventually(lambda: heard == [[b"a"], [b"b"]])

    async def test_what_is_told_is_not_answered(self, link: Link, redis: Redis, keys: Keys) -> None:
        assert link.tell(pack("INCR", keys.dead))
        assert await ask(link, "GET", keys.dead) == b"1"

    async def test_what_is_written_may_be_answered_by_push_messages(
        self, connector: Connector, redis: Redis, prefix: str
    ) -> None:
        heard: list[Any] = []
        async with opened(connector, on_push=heard.append) as link:
            link.write(pack("SUBSCRIBE", prefix))
            await eventually(lambda: heard == [[b"subscribe", prefix.encode(), 1]])
            assert await ask(link, "PING") == b"PONG"


class TestLosing:
    async def test_a_reply_that_is_lost_says_that_the_command_may_have_run(
        self, shaky_link: Link, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        proxy.when(b"INCR", Fault.LOSE_REPLY)
        with pytest.raises(ReplyLost):
            await ask(shaky_link, "INCR", keys.dead)
        assert redis.get(keys.dead) == b"1"

    async def test_a_command_that_is_lost_looks_the_same_and_is_not_repeated(
        self, shaky_link: Link, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        proxy.when(b"INCR", Fault.LOSE_COMMAND)
        with pytest.raises(ReplyLost):
            await ask(shaky_link, "INCR", keys.dead)
        await eventually(lambda: shaky_link.up)
        assert redis.get(keys.dead) is None

    async def test_while_it_is_down_nothing_is_sent_and_the_caller_knows(
        self, shaky_link: Link, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not shaky_link.up)
        with pytest.raises(Unavailable) as caught:
            await ask(shaky_link, "INCR", keys.dead)
        assert type(caught.value) is Unavailable
        assert caught.value.address == proxy.url.rpartition("@")[2]
        heard: list[Any] = []
        shaky_link.send(pack("INCR", keys.dead), 1, heard.append)
        assert heard == [None]
        assert not shaky_link.tell(pack("INCR", keys.dead))
        shaky_link.write(pack("INCR", keys.dead))
        await proxy.accept()
        await eventually(lambda: shaky_link.up)
        assert redis.get(keys.dead) is None

    async def test_every_caller_hears_of_a_loss(self, shaky_link: Link, proxy: Proxy) -> None:
        waiting = [asyncio.create_task(ask(shaky_link, "BLPOP", "none", 0)) for _ in range(9)]
        await rounds()
        proxy.reset_all()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {ReplyLost}


class TestReconnecting:
    @pytest.fixture
    def events(self) -> list[str]:
        return []

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The longest that each pause before an attempt might have been, as they come."""
        found: list[float] = []

        def shortest(low: float, high: float) -> float:
            found.append(high)
            return low

        monkeypatch.setattr(random, "uniform", shortest)
        return found

    @pytest.fixture
    def told(self, events: list[str]) -> dict[str, Callable[[], None]]:
        return {
            "on_up": lambda: events.append("up"),
            "on_down": lambda: events.append("down"),
        }

    async def test_it_connects_again_by_itself_and_tells_its_owner(
        self, shaky: Connector, proxy: Proxy, events: list[str], told: Any, logs: StrictLogs
    ) -> None:
        logs.expect(LOST)
        async with opened(shaky, **told) as link:
            proxy.reset_all()
            await eventually(lambda: events == ["up", "down", "up"])
            assert await ask(link, "PING") == b"PONG"

    async def test_the_owner_hears_of_a_loss_after_every_caller(
        self, shaky: Connector, proxy: Proxy, events: list[str], told: Any, logs: StrictLogs
    ) -> None:
        logs.expect(LOST)
        async with opened(shaky, **told) as link:
            link.send(pack("BLPOP", "none", 0), 1, lambda replies: events.append(str(replies)))
            proxy.reset_all()
            await eventually(lambda: "down" in events)
            assert events[:3] == ["up", "None", "down"]  # it may be up again already

    async def test_it_goes_on_trying_while_nobody_is_there(
        self, shaky_link: Link, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not shaky_link.up)
        await asyncio.sleep(0.2)  # some attempts fail
        await proxy.accept()
        await eventually(lambda: shaky_link.up)
        assert await ask(shaky_link, "PING") == b"PONG"

    async def test_a_new_connection_has_the_scripts_and_the_set_up(
        self, shaky: Connector, proxy: Proxy, redis: Redis, keys: Keys, logs: StrictLogs
    ) -> None:
        logs.expect(LOST)
        setup = (pack("INCR", keys.dead), 1)
        async with opened(shaky, setup=setup) as link:
            await proxy.refuse()
            await eventually(lambda: not link.up)
            redis.script_flush()
            await proxy.accept()
            await eventually(lambda: link.up and redis.get(keys.dead) == b"2")
            assert all(redis.script_exists(*(script.sha for script in scripts.ALL)))

    async def test_a_set_up_that_is_refused_is_tried_again_and_never_called_up(
        self, logs: StrictLogs, events: list[str], told: Any
    ) -> None:
        logs.expect(LOST)
        async with FakeStore({b"SCRIPT": OK, b"SETNAME": OK, b"SETUP": OK}) as fake:
            setup = (pack("SETUP"), 1)
            async with opened(Connector(fake.url, RedisSettings()), setup=setup, **told) as link:
                fake.answers[b"SETUP"] = b"-NOPERM not any more\r\n"
                fake.hang_up()
                await eventually(lambda: fake.connections >= 4)
                assert "up" not in events[1:]
                assert logs.events("store connection up again") == []
                assert len(logs.events(LOST)) == 1
                fake.answers[b"SETUP"] = OK
                await eventually(lambda: events[-1] == "up")
                assert link.up
        assert len(logs.events("store connection up again")) == 1

    async def test_why_it_is_down_is_what_callers_hear(self, logs: StrictLogs) -> None:
        logs.expect(LOST)
        async with FakeStore({b"SCRIPT": OK, b"SETNAME": OK}) as fake:
            async with opened(Connector(fake.url, RedisSettings())) as link:
                fake.answers[b"SETNAME"] = b"-NOPERM not any more\r\n"
                fake.hang_up()
                await eventually(lambda: fake.connections >= 3)

                async def heard() -> bool:
                    with pytest.raises(Unavailable, match="NOPERM"):
                        await ask(link, "PING")
                    return True

                await eventually(heard)

    async def test_a_store_that_takes_connections_and_drops_them_is_asked_less_and_less(
        self, shaky: Connector, proxy: Proxy, logs: StrictLogs, pauses: list[float]
    ) -> None:
        logs.expect(LOST)

        def drop() -> None:
            if len(pauses) < 6:
                proxy.reset_all()

        async with opened(shaky, on_up=drop) as link:
            await eventually(lambda: len(pauses) >= 6 and link.up)
        assert pauses[:6] == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1]

    async def test_one_that_kept_a_connection_for_long_is_asked_soon_again(
        self, shaky: Connector, proxy: Proxy, logs: StrictLogs, pauses: list[float]
    ) -> None:
        logs.expect(LOST)
        async with opened(shaky) as link:
            for _ in range(2):
                await asyncio.sleep(0.2)  # long is more than the longest pause
                before = proxy.connections
                proxy.reset_all()
                await eventually(lambda: link.up and proxy.connections > before)  # noqa: B023
        assert pauses == [0.02, 0.02]

    async def test_the_links_of_one_process_share_their_turns(
        self, shaky: Connector, proxy: Proxy, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logs.expect(LOST)
        monkeypatch.setattr(connect_module, "_EVERY_S", 0.05)
        links = [Link(shaky, f"l{number}") for number in range(3)]
        for link in links:
            await link.open()
        loop = asyncio.get_running_loop()
        before, began = proxy.connections, loop.time()
        for _ in range(4):
            proxy.reset_all()
            await eventually(lambda: all(link.up for link in links))
        assert proxy.connections - before <= 4 + (loop.time() - began) / 0.05
        for link in links:
            await link.close()

    async def test_a_hung_store_is_given_up_and_found_again(
        self, shaky_link: Link, proxy: Proxy
    ) -> None:
        proxy.hold()
        with pytest.raises(ReplyLost):
            await ask(shaky_link, "PING")
        assert not shaky_link.up
        proxy.heal()
        await eventually(lambda: shaky_link.up)
        assert await ask(shaky_link, "PING") == b"PONG"

    async def test_an_owner_may_give_a_connection_up(
        self, shaky_link: Link, proxy: Proxy, logs: StrictLogs
    ) -> None:
        logs.expect(GIVEN_UP)
        before = proxy.connections
        shaky_link.abort("it is of no use")
        await eventually(lambda: proxy.connections == before + 1 and shaky_link.up)
        assert logs.events(LOST)[0]["reason"] == "it is of no use"

    async def test_giving_up_what_is_down_does_nothing(
        self, shaky_link: Link, proxy: Proxy, logs: StrictLogs
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not shaky_link.up)
        shaky_link.abort("anyway")
        assert logs.events(GIVEN_UP) == []

    async def test_one_that_is_left_has_given_the_replies_to_what_was_sent_on_it(
        self, shaky_link: Link, proxy: Proxy, logs: StrictLogs
    ) -> None:
        logs.expect(GIVEN_UP)
        before = proxy.connections
        shaky_link.leave("the store may be elsewhere")
        asked = [ask(shaky_link, "ECHO", str(number)) for number in range(50)]
        assert await asyncio.gather(*asked) == [str(number).encode() for number in range(50)]
        await eventually(lambda: proxy.connections == before + 1 and shaky_link.up)
        assert logs.events(LOST)[0]["reason"] == "the store may be elsewhere"

    async def test_one_connection_is_left_once_however_often_that_is_said(
        self, shaky_link: Link, proxy: Proxy, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logs.expect(GIVEN_UP)
        monkeypatch.setattr(link_module, "_LAST_REPLIES_S", 0.02)
        for number in range(5):
            shaky_link.leave(f"reason {number}")
        await eventually(lambda: len(logs.events(LOST)) == 1 and shaky_link.up)
        await asyncio.sleep(0.1)  # the others would have struck by now
        assert [entry["reason"] for entry in logs.events(GIVEN_UP)] == ["reason 0"]
        assert shaky_link.up

    async def test_leaving_harms_no_connection_that_came_in_between(
        self, shaky_link: Link, proxy: Proxy, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(link_module, "_LAST_REPLIES_S", 0.3)
        before = proxy.connections
        shaky_link.leave("too late")
        proxy.reset_all()
        await eventually(lambda: proxy.connections == before + 1 and shaky_link.up)
        await asyncio.sleep(0.5)  # it would have struck by now
        assert logs.events(GIVEN_UP) == []
        assert await ask(shaky_link, "PING") == b"PONG"

    async def test_leaving_what_is_down_does_nothing(
        self, shaky_link: Link, proxy: Proxy, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(link_module, "_LAST_REPLIES_S", 0.02)
        await proxy.refuse()
        await eventually(lambda: not shaky_link.up)
        shaky_link.leave("anyway")
        await asyncio.sleep(0.1)
        assert logs.events(GIVEN_UP) == []

    async def test_a_fault_of_ours_does_not_end_the_keeping(
        self, shaky: Connector, proxy: Proxy, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logs.expect(LOST, "store connection failed")
        async with opened(shaky) as link:
            connect, failed = shaky.connect, asyncio.Event()

            async def broken() -> Any:
                monkeypatch.setattr(shaky, "connect", connect)
                failed.set()
                raise RuntimeError("a fault of ours")

            monkeypatch.setattr(shaky, "connect", broken)
            proxy.reset_all()
            await failed.wait()
            await eventually(lambda: link.up)
        assert logs.events("store connection failed")


class TestClosing:
    async def test_whoever_waits_hears_that_the_reply_is_lost(self, connector: Connector) -> None:
        async with opened(connector) as link:
            waiting = asyncio.create_task(ask(link, "BLPOP", "none", 0))
            await rounds()
        with pytest.raises(ReplyLost, match="closed by us"):
            await waiting

    async def test_nothing_is_left_running(self, connector: Connector) -> None:
        async with opened(connector) as link:
            assert others()
        assert others() == set()
        assert not link.up

    async def test_closing_twice_is_closing_once(self, connector: Connector) -> None:
        async with opened(connector) as link:
            await link.close()
        assert not link.up

    async def test_it_can_be_closed_while_it_tries_to_connect(
        self, shaky: Connector, proxy: Proxy, logs: StrictLogs
    ) -> None:
        logs.expect(LOST)
        async with opened(shaky) as link:
            proxy.hold()
            proxy.reset_all()
            await eventually(lambda: proxy.connections >= 2)
            await link.close()
            assert others() == set()
            assert not link.up

    async def test_what_was_never_opened_can_be_closed(self, connector: Connector) -> None:
        await Link(connector, "test").close()
