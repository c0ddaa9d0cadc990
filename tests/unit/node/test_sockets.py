import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from node.sockets import Socket, SocketHandler, frame, ping_frame
from tests.support.clients import RawClient, parse_frames
from tests.support.serving import serving
from tests.support.waiting import eventually

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
        self.heard: list[str | bytes] = []
        self.ended = 0

    async def socket(self) -> Socket:
        await eventually(lambda: self.sockets)
        return self.sockets[-1]


class Handler(SocketHandler):
    def initialize(self, server: Server) -> None:
        self.server = server

    def opened(self, socket: Socket) -> None:
        self.server.sockets.append(socket)

    def on_message(self, message: str | bytes) -> None:
        self.server.heard.append(message)

    def on_close(self) -> None:
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
