"""The handshake and the welcome, and what stands in their way."""

import asyncio
import http
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from router.client.arrivals import Arrivals
from router.client.backlog import Backlog
from router.client.dialling import Dialler, Refusal, address_of
from router.client.policy import LOST, Ending
from router.client.sends import Sends
from router.client.words import Options
from tests.conformance.scripted import ScriptedServer


def dialler(**options: float) -> Dialler:
    arrivals, sends = Arrivals(10), Sends(10)
    backlog = Backlog(10, arrivals, sends)
    given = Options(**options)  # type: ignore[arg-type]
    return Dialler("alice", "web", arrivals, sends, backlog, given, None)


async def refusal(url: str, **options: float) -> Ending:
    with pytest.raises(Refusal) as refused:
        await dialler(**options).dial(url, "", None)
    return refused.value.ending


@asynccontextmanager
async def refusing(status: int, **headers: str) -> AsyncIterator[str]:
    """Answer each handshake with an HTTP status."""

    def answer(_: ServerConnection, request: Request) -> Response:
        return Response(status, http.HTTPStatus(status).phrase, Headers(**headers), b"")

    async def never(_: ServerConnection) -> None:
        raise AssertionError

    async with serve(never, "127.0.0.1", 0, process_request=answer) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"


@pytest.mark.parametrize(
    ("url", "user", "since", "address"),
    [
        ("ws://h/ws", "alice", "", "ws://h/ws?user=alice&device=web&ack=manual"),
        ("ws://h/ws", None, "5-0", "ws://h/ws?device=web&since=5-0&ack=manual"),
        ("wss://h:1/a?x=1", "ä&b", "", "wss://h:1/a?x=1&user=%C3%A4%26b&device=web&ack=manual"),
    ],
)
def test_an_address_has_all_that_the_node_reads(
    url: str, user: str | None, since: str, address: str
) -> None:
    assert address_of(url, user, "web", since) == address


class TestRefusals:
    @pytest.mark.parametrize("status", [401, 403, 422, 404, 500])
    async def test_the_status_is_the_code(self, status: int) -> None:
        async with refusing(status) as url:
            ending = await refusal(url)
        assert ending.code == status
        assert str(status) in ending.reason
        assert ending.after_s is None

    @pytest.mark.parametrize(
        ("told", "after_s"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
    )
    async def test_a_node_that_takes_no_sessions_may_say_when(
        self, told: str, after_s: float | None
    ) -> None:
        async with refusing(503, **{"Retry-After": told}) as url:
            assert (await refusal(url)).after_s == after_s

    async def test_nobody_there(self) -> None:
        async with refusing(404) as url:
            pass
        assert (await refusal(url)).code == LOST

    async def test_something_else_there(self) -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"+PONG\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert (await refusal(f"ws://127.0.0.1:{port}/ws")).code == LOST


class TestWelcome:
    async def test_frames_before_it_are_passed_over(self, server: ScriptedServer) -> None:
        dialling = asyncio.create_task(dialler().dial(server.url, "", None))
        peer = await server.accept()
        await peer.say("pong")
        await peer.welcome(session="s9")
        connection = await dialling
        assert connection.welcome.session == "s9"
        await connection.close()

    async def test_a_close_instead_of_it(self, server: ScriptedServer) -> None:
        refused = asyncio.create_task(refusal(server.url))
        peer = await server.accept()
        await peer.say("goodbye", reason="the store is away", reconnect_after_ms=1_500)
        await peer.close(1013, "try another node")
        assert await refused == Ending(1013, "try another node", 1.5)

    async def test_a_cut_instead_of_it(self, server: ScriptedServer) -> None:
        refused = asyncio.create_task(refusal(server.url))
        (await server.accept()).cut()
        assert (await refused).code == LOST

    async def test_nonsense_instead_of_it(self, server: ScriptedServer) -> None:
        refused = asyncio.create_task(refusal(server.url))
        peer = await server.accept()
        await peer.say("welcome")
        assert "this is no node" in (await refused).reason
        await peer.gone()

    async def test_nothing_instead_of_it(self, server: ScriptedServer) -> None:
        ending = await refusal(server.url, dial_timeout_s=0.05)
        assert ending == Ending(LOST, "no welcome within 0.05 s")
        await (await server.accept()).gone()


async def test_a_token_is_sent_as_a_header_and_written_down_nowhere(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    dialling = asyncio.create_task(dialler().dial(server.url, "", "planted-token"))
    peer = await server.accept()
    assert peer.token == "planted-token"
    assert "planted-token" not in peer.path
    await peer.welcome()
    connection = await dialling
    connection.abort()
    own = [record for record in caplog.records if record.name == "websockets.client"]
    assert "planted-token" not in "".join(record.getMessage() for record in own)
    async with refusing(401) as url:
        with pytest.raises(Refusal) as refused:
            await dialler().dial(url, "", "planted-token")
    assert "planted-token" not in repr(refused.value)
