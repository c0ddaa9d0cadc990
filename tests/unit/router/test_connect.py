import asyncio
import itertools
from typing import Any, cast

import pytest
from hiredis import ReplyError
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import AbstractConnection

from router.errors import StoreRefused, Unavailable
from router.settings import RedisSettings
from router.store.connect import (
    Connector,
    Pace,
    check_version,
    is_noscript,
    translate,
)
from router.store.embedded import EmbeddedServer
from router.urls import printable_address
from tests.support.fake_store import FakeStore
from tests.support.waiting import eventually, rounds

INFO = b"# Server\r\nredis_version:%b\r\nredis_mode:standalone\r\n"


async def disconnect(connection: AbstractConnection) -> None:
    await cast(Any, connection).disconnect()


class TestConnecting:
    async def test_a_connection_is_authenticated_and_speaks_the_third_version(
        self, connector: Connector
    ) -> None:
        connection = cast(Any, await connector.connect())
        await connection.send_command("CLIENT", "TRACKING", "ON")
        assert await connection.read_response() == b"OK"
        await connection.disconnect()

    async def test_redis_py_repeats_nothing_of_its_own_accord(self, connector: Connector) -> None:
        connection = cast(Any, await connector.connect())
        assert connection.retry._retries == 0
        await connection.disconnect()

    async def test_a_closed_port_is_unavailable_and_says_where(self) -> None:
        async with FakeStore() as gone:
            url = gone.url
        with pytest.raises(Unavailable, match="refused") as caught:
            await Connector(url, RedisSettings()).connect()
        assert caught.value.address == printable_address(url)

    async def test_a_socket_that_is_not_there_is_unavailable(self) -> None:
        with pytest.raises(Unavailable, match="No such file") as caught:
            await Connector("unix:///nowhere/at/all", RedisSettings()).connect()
        assert caught.value.address == "/nowhere/at/all"

    async def test_a_wrong_password_is_refused_and_not_shown(self, store: EmbeddedServer) -> None:
        url = f"redis://:hunter2@127.0.0.1:{store.address.port}"
        with pytest.raises(StoreRefused, match=r"(?i)pass") as caught:
            await Connector(url, RedisSettings()).connect()
        assert "hunter2" not in str(caught.value)

    async def test_a_store_too_old_for_the_protocol_is_refused(self) -> None:
        async with FakeStore({b"HELLO": b"-ERR unknown command 'HELLO'\r\n"}) as old:
            with pytest.raises(StoreRefused, match="HELLO"):
                await Connector(old.url, RedisSettings()).connect()

    async def test_a_server_of_another_kind_is_unavailable(self) -> None:
        async with FakeStore({b"HELLO": b"HTTP/1.1 400 Bad Request\r\n\r\n"}) as web:
            with pytest.raises(Unavailable):
                await Connector(web.url, RedisSettings()).connect()

    async def test_a_server_that_never_answers_is_unavailable_and_let_go_of(
        self, hasty: RedisSettings
    ) -> None:
        async with FakeStore({b"HELLO": b""}) as silent:
            with pytest.raises(Unavailable):
                await Connector(silent.url, hasty).connect()
            await eventually(lambda: silent.ended == silent.connections)

    async def test_a_cancelled_attempt_is_let_go_of(self) -> None:
        async with FakeStore({b"HELLO": b""}) as silent:
            attempt = asyncio.create_task(Connector(silent.url, RedisSettings()).connect())
            await eventually(lambda: silent.said)
            attempt.cancel()
            await asyncio.wait([attempt])
            assert attempt.cancelled()
            await eventually(lambda: silent.ended == silent.connections)

    async def test_a_cancel_is_never_swallowed_wherever_it_strikes(
        self, connector: Connector
    ) -> None:
        for moment in range(2_000):
            attempt = asyncio.create_task(connector.connect())
            await rounds(moment)
            if attempt.done():
                await disconnect(attempt.result())
                return
            attempt.cancel()
            await asyncio.wait([attempt])
            assert attempt.cancelled()
        raise AssertionError("it never connects")


@pytest.mark.parametrize("words", ["OOM command not allowed", "NOPERM no", "ERR syntax", ""])
def test_an_error_that_somebody_must_mend_is_the_stores_own_words(words: str) -> None:
    error = translate(ReplyError(words), "there:1")
    assert isinstance(error, StoreRefused)
    assert error.error == words


@pytest.mark.parametrize(
    "words",
    ["LOADING data", "READONLY replica", "TRYAGAIN later", "MOVED 1 a:1", "ASK 1 a:1"],
)
def test_an_error_that_passes_by_itself_is_unavailable_with_the_stores_own_words(
    words: str,
) -> None:
    error = translate(ReplyError(words), "there:1")
    assert isinstance(error, Unavailable)
    assert (error.address, error.reason) == ("there:1", words)


class TestPace:
    @pytest.fixture(autouse=True)
    def as_in_earnest(self, quick_reconnects: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()

    def test_some_connect_at_once_and_then_two_a_second(self) -> None:
        pace = Pace()
        assert [pace.wait_s(100.0) for _ in range(7)] == [0, 0, 0, 0, 0.5, 1.0, 1.5]

    def test_quiet_times_earn_turns_again_and_no_more_than_at_first(self) -> None:
        pace = Pace()
        for _ in range(4):
            pace.wait_s(100.0)
        assert [pace.wait_s(101.0) for _ in range(3)] == [0, 0, 0.5]
        assert [pace.wait_s(999.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]

    @given(st.lists(st.floats(0, 3), max_size=100))
    def test_however_they_come_there_are_never_more_than_two_a_second(
        self, pauses: list[float]
    ) -> None:
        pace, now, turns = Pace(), 0.0, list[float]()
        for pause in pauses:
            now += pause
            turns.append(now + pace.wait_s(now))
        for first, last in itertools.combinations(range(len(turns)), 2):
            passed_s = turns[last] - turns[first]
            assert last - first + 1 <= 4 + passed_s / 0.5 + 1e-6


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (ReplyError("NOSCRIPT No matching script."), True),
        (ReplyError("ERR NOSCRIPT"), False),
        (b"NOSCRIPT", False),
        (None, False),
        (-1, False),
    ],
)
def test_only_the_error_of_that_name_means_forgotten_scripts(reply: object, answer: bool) -> None:
    assert is_noscript(reply) is answer


class TestVersion:
    @pytest.mark.parametrize("version", [b"7.0.0", b"7.0", b"7.2.4", b"8.2.1", b"10.0.0", b"7"])
    def test_seven_and_later_will_do(self, version: bytes) -> None:
        check_version(INFO % version)

    @pytest.mark.parametrize("version", [b"6.2.14", b"6", b"2.8.0"])
    def test_older_ones_are_refused_with_both_numbers(self, version: bytes) -> None:
        with pytest.raises(StoreRefused, match=rf"{version.decode()}, and 7\.0"):
            check_version(INFO % version)

    @pytest.mark.parametrize("info", [b"", b"# Server\r\n", b"\xff\xfe"])
    def test_one_that_does_not_say_is_refused(self, info: bytes) -> None:
        with pytest.raises(StoreRefused):
            check_version(info)
