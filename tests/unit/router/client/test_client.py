"""The client as a program uses it. What every SDK must do is in tests/conformance."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from router.client import (
    Client,
    ClientClosed,
    Closed,
    Message,
    NotConnected,
    Open,
    Options,
    SendResult,
    State,
)
from router.errors import InvalidRequest, InvalidUser
from router.model import Confirm
from tests.conformance.scripted import Peer, ScriptedServer
from tests.support.logs import Logs
from tests.support.waiting import eventually, rounds

QUICK = Options(retry_base_s=0.01, retry_cap_s=0.05)


def client_of(server: ScriptedServer, **fields: Any) -> Client:
    return Client(server.url, user="alice", **{"options": QUICK, **fields})


async def live(client: Client) -> None:
    """Be a program that does nothing but wait for the end."""
    async with client:
        with contextlib.suppress(ZeroDivisionError):
            await client.wait_closed()


async def answer(peer: Peer, outcome: str = "written") -> None:
    await peer.answer(await peer.hear("send"), outcome)


def test_the_router_does_not_need_the_library_of_the_client() -> None:
    code = "import router, sys; assert 'websockets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Client([]), InvalidRequest),
        (lambda: Client("http://127.0.0.1/ws"), InvalidRequest),
        (lambda: Client("ws:///ws"), InvalidRequest),
        (lambda: Client("ws://h/ws", user="a b"), InvalidUser),
        (lambda: Client("ws://h/ws", device="a b"), InvalidRequest),
        (lambda: Client("ws://h/ws", since="yesterday"), InvalidRequest),
        (lambda: Options(max_sends=0), InvalidRequest),
    ],
)
def test_arguments_that_cannot_work_are_refused(
    make: Callable[[], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make()


class TestIterating:
    async def test_asking_for_the_next_message_says_that_the_last_one_is_done(
        self, server: ScriptedServer
    ) -> None:
        async with client_of(server) as client:
            peer = await server.welcomed()
            await peer.message(1)
            await peer.message(2)
            assert (await anext(client)).data == 1
            assert client.offset == ""
            assert (await anext(client)).data == 2
            assert client.offset == "1-0"
            assert (await peer.hear("ack"))["offset"] == "1-0"

    async def test_leaving_without_an_error_says_so_too(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            peer = await server.welcomed()
            await peer.message(1)
            async for message in client:
                assert message.offset == "1-0"
                break
        assert (await peer.hear("ack"))["offset"] == "1-0"
        assert await peer.gone() == 1000

    async def test_leaving_with_an_error_does_not(self, server: ScriptedServer) -> None:
        client = client_of(server)

        async def fail() -> None:
            async with client:
                await anext(client)
                raise ZeroDivisionError

        failing = asyncio.create_task(fail())
        peer = await server.welcomed()
        await peer.message(1)
        with pytest.raises(ZeroDivisionError):
            await failing
        await peer.gone()
        assert client.offset == ""

    async def test_waiting_for_a_message_can_be_cancelled(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            peer = await server.welcomed()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await anext(client)
            await peer.plain_message(1)
            assert (await anext(client)).data == 1

    async def test_it_ends_when_the_program_closes_the_client(self, server: ScriptedServer) -> None:
        client = client_of(server)
        client.start()
        await server.welcomed()
        waiting = asyncio.create_task(anext(client, None))
        other = asyncio.create_task(anext(client, None))
        await rounds()
        await client.close()
        assert await waiting is None
        assert await other is None

    async def test_it_raises_when_a_node_closes_it_for_good(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            peer = await server.welcomed()
            await peer.plain_message(1)
            await peer.close(4410, "kicked")
            assert (await anext(client)).data == 1  # what has come is still given
            with pytest.raises(ClientClosed, match="kicked"):
                await anext(client)
            with pytest.raises(ClientClosed):
                await client.wait_open()
            assert await client.wait_closed() == Closed(4410, "kicked")

    async def test_several_tasks_acknowledge_themselves(self, server: ScriptedServer) -> None:
        async with client_of(server, auto_ack=False) as client:
            peer = await server.welcomed()
            for number in (1, 2):
                await peer.message(number)
            first, second = await anext(client), await anext(client)
            client.ack(second)
            assert client.offset == ""
            client.ack(first)
            assert (await peer.hear("ack"))["offset"] == "2-0"


class TestHandler:
    async def test_functions_and_coroutine_functions_will_do(self, server: ScriptedServer) -> None:
        seen: list[Any] = []

        async def later(message: Message) -> None:
            await asyncio.sleep(0)
            seen.append(message.data)

        for handler in (later, lambda message: seen.append(message.data)):
            async with client_of(server, on_message=handler):
                peer = await server.welcomed()
                await peer.message(1)
                assert (await peer.hear("ack"))["offset"] == "1-0"
        assert seen == [1, 1]

    async def test_what_it_raises_ends_the_client_and_is_raised(
        self, server: ScriptedServer, logs: Logs
    ) -> None:
        def fail(message: Message) -> None:
            raise ZeroDivisionError

        client = client_of(server, on_message=fail)
        living = asyncio.create_task(live(client))
        peer = await server.welcomed()
        await peer.message(1)
        await peer.message(2)
        with pytest.raises(ZeroDivisionError):
            await living
        await peer.gone()
        assert client.offset == ""
        assert isinstance(client.state, Closed)

    async def test_it_may_close_the_client_and_its_message_is_done(
        self, server: ScriptedServer
    ) -> None:
        async def leave(message: Message) -> None:
            await client.close()

        client = client_of(server, on_message=leave)
        client.start()
        peer = await server.welcomed()
        await peer.message(1)
        await peer.message(2)
        await client.wait_closed()
        assert (await peer.hear("ack"))["offset"] == "1-0"
        assert client.offset == "1-0"
        await client.close()

    async def test_closing_lets_it_finish_its_message(self, server: ScriptedServer) -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(message: Message) -> None:
            begun.set()
            await go.wait()

        async with client_of(server, on_message=slow) as client:
            peer = await server.welcomed()
            await peer.message(1)
            await peer.message(2)
            await begun.wait()
            closing = asyncio.create_task(client.close())
            await rounds()
            go.set()
            await closing
        assert (await peer.hear("ack"))["offset"] == "1-0"

    async def test_one_that_hangs_is_ended(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("router.client.life._FINISH_S", 0.01)
        begun, ended = asyncio.Event(), asyncio.Event()

        async def hang(message: Message) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with client_of(server, on_message=hang):
            peer = await server.welcomed()
            await peer.message(1)
            await begun.wait()
        assert ended.is_set()

    async def test_it_may_send_while_messages_wait_for_it(self, server: ScriptedServer) -> None:
        results: list[SendResult] = []

        async def reply(message: Message) -> None:
            results.append(await client.send("bob", message.data))

        options = Options(max_messages=2)
        async with client_of(server, on_message=reply, options=options) as client:
            peer = await server.welcomed()
            for number in range(4):  # the outcome is behind these
                await peer.message(number + 1)
            for _ in range(4):
                await answer(peer)
            await eventually(lambda: len(results) == 4)


class TestSending:
    async def test_results_are_returned_and_told(self, server: ScriptedServer) -> None:
        told: list[SendResult] = []
        async with client_of(server, on_outcome=told.append) as client:
            peer = await server.welcomed()
            sending = asyncio.create_task(client.send("bob", 1, confirm=Confirm.WRITTEN))
            sent = await peer.hear("send")
            assert sent["confirm"] == "written"
            await peer.answer(sent, "written")
            assert told == [await sending]

    async def test_several_users(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            assert await client.send_many([], 1) == {}
            peer = await server.welcomed()
            sending = asyncio.create_task(client.send_many(["bob", "eve", "bob"], 1))
            sent = await peer.hear("send")
            assert sent["to"] == ["bob", "eve"]
            outcomes = {"bob": "accepted", "eve": "offline"}
            await peer.say("outcome", ref=sent["ref"], id="a", outcomes=outcomes)
            assert {u: r.outcome for u, r in (await sending).items()} == outcomes

    async def test_calls_that_cannot_be_made(self, server: ScriptedServer) -> None:
        client = client_of(server)
        with pytest.raises(ClientClosed, match="not started"):
            await client.send("bob", 1)
        async with client:
            with pytest.raises(InvalidUser):
                await client.send("no such user", 1)
            with pytest.raises(InvalidRequest, match="data"):
                await client.send("bob", object())
            with pytest.raises(InvalidRequest, match="ttl"):
                await client.send("bob", 1, ttl=0)

    async def test_a_cancelled_one_that_waits_is_never_sent(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            peer = await server.accept()
            sending = asyncio.create_task(client.send("bob", "cancelled"))
            await rounds()
            sending.cancel()
            await asyncio.wait([sending])
            other = asyncio.create_task(client.send("bob", "kept"))
            await peer.welcome()
            assert (await peer.hear("send"))["data"] == "kept"
            other.cancel()
            await asyncio.wait([other])

    async def test_unanswered_ones_are_told_too(self, server: ScriptedServer) -> None:
        told: list[SendResult] = []
        async with client_of(server, on_outcome=told.append) as client:
            await server.welcomed()
            await client.wait_open()
            result = await client.send("bob", 1, timeout=0.05)
            assert told == [result]

    async def test_without_a_connection_their_time_runs_out(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            with pytest.raises(NotConnected) as failed:
                await client.send("bob", 1, timeout=0.01)
            assert failed.value.consequence.retry


class TestLife:
    async def test_states_are_told_in_order(self, server: ScriptedServer) -> None:
        states: list[State] = []
        async with client_of(server, on_state=states.append) as client:
            await server.welcomed(resumed=True, offset="5-0")
            opened = await client.wait_open()
            assert opened == Open("s1", "n1", True, "5-0")
        assert [state.name for state in states] == ["connecting", "open", "closed"]
        assert states[-1] == client.state == Closed(1000, "closed by the program")

    async def test_closing_twice_or_before_the_start_is_nothing(
        self, server: ScriptedServer
    ) -> None:
        client = client_of(server)
        await client.close()
        client.start()
        await asyncio.gather(client.close(), client.close())
        await client.close()

    async def test_a_token_travels_in_a_header(self, server: ScriptedServer) -> None:
        async with Client(server.url, token="secret"):
            peer = await server.welcomed()
            assert peer.token == "secret"
            assert "token" not in peer.query

    async def test_a_token_function_that_fails_is_asked_again(self, server: ScriptedServer) -> None:
        states: list[State] = []
        asked = 0

        async def token() -> str:
            nonlocal asked
            asked += 1
            if asked < 3:
                raise OSError("no way")
            return "secret"

        async with client_of(server, token=token, on_state=states.append):
            assert (await server.welcomed()).token == "secret"
        assert "no way" in str(states[1])

    async def test_a_callback_that_fails_ends_the_client_and_is_raised(
        self, server: ScriptedServer
    ) -> None:
        def fail(state: State) -> None:
            if isinstance(state, Open):
                raise ZeroDivisionError

        living = asyncio.create_task(live(client_of(server, on_state=fail)))
        await server.welcomed()
        with pytest.raises(ZeroDivisionError):
            await living

    async def test_even_the_last_one(self, server: ScriptedServer) -> None:
        def fail(state: State) -> None:
            if isinstance(state, Closed):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async with client_of(server, on_state=fail):
                pass
