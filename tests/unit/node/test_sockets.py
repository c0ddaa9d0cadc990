import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from node.listener import Listener
from node.pace import Limits, Pace
from node.sockets import Socket, SocketHandler, frame, ping_frame
from router.settings import LimitSettings
from scripts.measuring.websocket import client_text
from tests.support.clients import RawClient, parse_frames
from tests.support.serving import serving
from tests.support.waiting import eventually, rounds

LIMIT_BYTES = 1_000


# ---- bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("binary", [False, True])
def test_a_frame_of_any_length_is_read_by_a_parser_we_did_not_write(
    length: int, binary: bool
) -> None:
    payload = b"x" * length
    (found,) = parse_frames(frame(payload, binary=binary))
    assert found.opcode is (Opcode.BINARY if binary else Opcode.TEXT)
    assert bytes(found.data) == payload
    assert (found.fin, found.rsv1, found.rsv2, found.rsv3) == (True, False, False, False)


def test_frames_of_one_write_are_read_one_by_one() -> None:
    written = frame(b'"a"', binary=False) + ping_frame(b"7") + frame(b"\x01", binary=True)
    found = parse_frames(written)
    assert [(f.opcode, bytes(f.data)) for f in found] == [
        (Opcode.TEXT, b'"a"'),
        (Opcode.PING, b"7"),
        (Opcode.BINARY, b"\x01"),
    ]


def test_a_ping_carries_its_payload() -> None:
    (found,) = parse_frames(ping_frame(b"123"))
    assert (found.opcode, bytes(found.data)) == (Opcode.PING, b"123")


# ---- a live socket ------------------------------------------------------------------------------


class Server:
    """Holds the sockets of the clients that came."""

    def __init__(self) -> None:
        self.address = ""
        self.sockets: list[Socket] = []
        self.handlers: weakref.WeakSet[Handler] = weakref.WeakSet()
        self.heard: list[str | bytes] = []
        self.over: list[str] = []
        self.pace: Pace | None = None
        self.broken = False
        self.ended = 0

    async def socket(self) -> Socket:
        await eventually(lambda: self.sockets)
        return self.sockets[-1]


class Handler(SocketHandler):
    def initialize(self, server: Server) -> None:
        self.server = server
        server.handlers.add(self)

    def opened(self, socket: Socket) -> Listener:
        if self.server.broken:
            raise RuntimeError("the handler is broken")
        self.server.sockets.append(socket)
        return Ear(self.server)


class Ear(Listener):
    __slots__ = ("server",)

    def __init__(self, server: Server) -> None:
        super().__init__(server.pace)
        self.server = server

    def on_message(self, message: str | bytes) -> None:
        if message == "break":
            raise RuntimeError("the listener is broken")
        self.server.heard.append(message)

    def over(self, limit: str) -> None:
        self.server.over.append(limit)

    def on_close(self, code: int | None) -> None:
        self.server.ended += 1


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    server = Server()
    route = (r"/", Handler, {"server": server})
    async with serving([route], websocket_max_message_size=LIMIT_BYTES) as server.address:
        yield server
        for socket in server.sockets:
            socket.abort()
        await eventually(lambda: server.ended == len(server.sockets))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as found:
        yield found


async def test_what_is_written_arrives(server: Server) -> None:
    async with RawClient(server.address, "/") as client:
        socket = await server.socket()
        socket.write(frame(b"one", binary=False) + frame(b"two", binary=True))
        assert [bytes((await client.frame()).data) for _ in range(2)] == [b"one", b"two"]
        assert socket.waiting_bytes == 0


async def test_a_client_that_does_not_read_makes_bytes_wait_and_nothing_is_lost(
    server: Server,
) -> None:
    async with RawClient(server.address, "/", receive_buffer_bytes=4_096) as client:
        socket = await server.socket()
        sent = 0
        while socket.waiting_bytes < 500_000:
            socket.write(frame(b"%d " % sent + b"x" * 10_000, binary=False))
            sent += 1
        for expected in range(sent):
            found = bytes((await client.frame()).data)
            assert found == b"%d " % expected + b"x" * 10_000
        await eventually(lambda: socket.waiting_bytes == 0)
        socket.write(frame(b"again at once", binary=False))
        assert bytes((await client.frame()).data) == b"again at once"


async def test_a_write_to_a_client_that_has_gone_does_nothing(server: Server) -> None:
    async with RawClient(server.address, "/") as client:
        socket = await server.socket()
        client.cut()

        def write_until_it_shows() -> bool:
            socket.write(frame(b"x" * 1_000, binary=False))
            return server.ended == 1

        await eventually(write_until_it_shows)
        socket.write(frame(b"and after that", binary=False))
        assert socket.waiting_bytes == 0


async def test_a_close_carries_its_code_and_reason(server: Server) -> None:
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        (await server.socket()).close(4408, "slow consumer")
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4408, "slow consumer")
    await eventually(lambda: server.ended == 1)


async def test_of_a_reason_that_is_too_long_the_beginning_is_told(server: Server) -> None:
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        (await server.socket()).close(4410, "x" + "é" * 100)
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.reason == "x" + "é" * 61


async def test_an_abort_ends_the_connection_without_a_close_frame(server: Server) -> None:
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        (await server.socket()).abort()
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
    assert caught.value.rcvd is None


async def test_nothing_is_compressed_whatever_the_client_offers(server: Server) -> None:
    async with connect(f"ws://{server.address}/", proxy=None, compression="deflate") as client:
        assert client.protocol.extensions == []


async def test_another_version_of_the_protocol_is_refused(server: Server) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "8",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = await AsyncHTTPClient().fetch(
        f"http://{server.address}/", headers=headers, raise_error=False
    )
    assert answer.code == 426


# ---- messages over the limit --------------------------------------------------------------------


async def refusal(client: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None, "the close frame did not reach the client"
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_a_message_at_the_limit_is_taken(server: Server) -> None:
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        await client.send("x" * LIMIT_BYTES)
        await eventually(lambda: server.heard == ["x" * LIMIT_BYTES])


@pytest.mark.parametrize("size", [LIMIT_BYTES + 1, 70_000, 3_000_000])
async def test_a_message_over_the_limit_is_refused_so_that_the_client_hears_it(
    server: Server, size: int
) -> None:
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        sending = asyncio.ensure_future(client.send("x" * size))
        assert await refusal(client) == (1009, f"a message has at most {LIMIT_BYTES} bytes")
        await asyncio.wait([sending])
        sending.exception()
    await eventually(lambda: server.ended == 1)
    assert server.heard == []


async def test_a_client_that_listens_only_when_it_has_sent_all_of_it_hears_it_too(
    server: Server,
) -> None:
    async with RawClient(server.address, "/") as client:
        await client.text("x" * 10_000_000)
        found = await client.frame()
        assert (found.opcode, bytes(found.data)[:2]) == (Opcode.CLOSE, b"\x03\xf1")  # 1009
        await client.answer()
        await eventually(lambda: server.ended == 1)


async def test_a_message_in_fragments_counts_as_a_whole(server: Server) -> None:
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        sending = asyncio.ensure_future(client.send(["x" * 400] * 4))
        assert await refusal(client) == (1009, f"a message has at most {LIMIT_BYTES} bytes")
        await asyncio.wait([sending])
        sending.exception()


async def test_what_follows_a_refused_message_is_not_heard(server: Server) -> None:
    async with RawClient(server.address, "/") as client:
        await client.text("x" * (LIMIT_BYTES + 1))
        await client.text("hello")
        found = await client.frame()
        assert found.opcode is Opcode.CLOSE
        await client.answer()
        await eventually(lambda: server.ended == 1)
    assert server.heard == []


# ---- frame by frame -----------------------------------------------------------------------------


async def test_a_message_that_comes_byte_by_byte_is_heard_when_it_is_whole(server: Server) -> None:
    async with RawClient(server.address, "/") as client:
        await server.socket()
        for byte in client_text(b"slowly"):
            assert server.heard == []
            await client.say(bytes((byte,)))
            await rounds(3)
        await eventually(lambda: server.heard == ["slowly"])


async def test_many_frames_that_come_at_once_are_heard_in_order_and_others_have_their_turn(
    server: Server,
) -> None:
    async with RawClient(server.address, "/") as many, RawClient(server.address, "/") as other:
        await eventually(lambda: len(server.sockets) == 2)
        await many.say(b"".join(client_text(b"%d" % number) for number in range(3_000)))
        await other.text("other")
        await eventually(lambda: len(server.heard) == 3_001)
    assert server.heard.index("other") < 3_000
    assert [word for word in server.heard if word != "other"] == [str(n) for n in range(3_000)]


async def test_who_sends_too_fast_is_read_later_and_nothing_is_lost() -> None:
    async with running() as server:
        settings = LimitSettings(frames_burst=5, frames_per_second=50.0)
        server.pace = Pace(Limits(settings), asyncio.get_running_loop().time())
        async with RawClient(server.address, "/") as client:
            await server.socket()
            await client.say(b"".join(client_text(b"%d" % number) for number in range(10)))
            await eventually(lambda: server.over)
            assert len(server.heard) < 10
            await eventually(lambda: len(server.heard) == 10)
        assert server.heard == [str(number) for number in range(10)]
        assert set(server.over) == {"frames"}


async def test_what_a_client_said_before_it_left_is_heard_even_if_it_is_read_later() -> None:
    async with running() as server:
        settings = LimitSettings(frames_burst=2, frames_per_second=50.0)
        server.pace = Pace(Limits(settings), asyncio.get_running_loop().time())
        async with RawClient(server.address, "/") as client:
            await server.socket()
            await client.say(b"".join(client_text(b"%d" % number) for number in range(6)))
            await eventually(lambda: server.over)
        await eventually(lambda: server.ended == 1)
        assert server.heard == [str(number) for number in range(6)]


async def test_a_listener_that_fails_loses_its_connection_and_no_other(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawClient(server.address, "/") as bad, RawClient(server.address, "/") as good:
        await eventually(lambda: len(server.sockets) == 2)
        await bad.text("break")
        await eventually(lambda: server.ended == 1)
        await good.text("hello")
        await eventually(lambda: server.heard == ["hello"])
    assert "the listener is broken" in caplog.text
    caplog.clear()


async def test_a_handler_that_fails_cuts_the_connection(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.broken = True
    async with connect(f"ws://{server.address}/", proxy=None) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert "the handler is broken" in caplog.text
    caplog.clear()


# ---- what an open socket costs ------------------------------------------------------------------


async def test_an_open_socket_has_no_task_and_keeps_no_handler(server: Server) -> None:
    """Without help of the garbage collector: what it has to look for makes all others wait."""
    gc.collect()
    gc.disable()
    try:
        async with contextlib.AsyncExitStack() as stack:
            before = asyncio.all_tasks()
            for number in range(20):
                client = await stack.enter_async_context(RawClient(server.address, "/"))
                await client.text(str(number))
            await eventually(lambda: len(server.heard) == 20)
            await eventually(lambda: not server.handlers)
            await eventually(lambda: asyncio.all_tasks() == before)
    finally:
        gc.enable()
