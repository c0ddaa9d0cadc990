import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from websockets.asyncio.client import connect

from node.connections import BoundedServer
from node.listener import Listener
from node.pace import Limits
from node.sockets import Socket, SocketHandler
from router.counts import Counts
from router.settings import LimitSettings
from tests.support.waiting import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LARGE = b"x" * 20_000_000


class Plain(RequestHandler):
    def get(self) -> None:
        self.write("hello")

    post = get


class Large(RequestHandler):
    def get(self) -> None:
        self.write(LARGE)


class Echo(SocketHandler):
    def opened(self, socket: Socket) -> Listener:
        return Listener()


class Place:
    """A server with the limits of a test."""

    def __init__(self, by_address: Callable[[str], bool], **limits: float) -> None:
        self.counts = Counts()
        self.limits = Limits(LimitSettings.model_validate(limits))
        app = Application(
            [("/", Plain), ("/large", Large), ("/ws", Echo)], log_function=lambda handler: None
        )
        self.server = BoundedServer(
            app,
            limits=self.limits,
            counts=self.counts,
            max_body_bytes=1_000_000,
            by_address=by_address,
        )
        sockets = bind_sockets(0, "127.0.0.1")
        self.port: int = sockets[0].getsockname()[1]
        self.server.add_sockets(sockets)
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, sends: bytes = b"") -> "Peer":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1_000)
        self._writers.append(writer)
        writer.write(sends)
        return Peer(reader, writer)

    async def close(self) -> None:
        self.server.stop()
        for writer in self._writers:
            writer.transport.abort()
        await self.server.close_all_connections()


class Peer:
    """One connection to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def is_answered(self, sends: bytes = b"") -> None:
        self.writer.write(sends)
        async with asyncio.timeout(10):
            while (line := await self.reader.readline()) != b"\r\n":
                if not line:
                    raise ConnectionError("there was no answer")
            assert await self.reader.readexactly(5) == b"hello"

    async def is_closed(self, trickle: bytes = b"") -> None:
        """Wait for the end; meanwhile go on with a byte now and then."""
        async with asyncio.timeout(10):
            ended = asyncio.ensure_future(self.reader.read())
            while not ended.done():
                self.writer.write(trickle)
                await asyncio.wait([ended], timeout=0.02)
            with contextlib.suppress(ConnectionError):
                assert await ended == b""


def nobody(_: str) -> bool:
    return False


def everybody(_: str) -> bool:
    return True


@contextlib.asynccontextmanager
async def place(
    by_address: Callable[[str], bool] = nobody, **limits: float
) -> AsyncIterator[Place]:
    found = Place(by_address, **limits)
    try:
        yield found
    finally:
        await found.close()
        await eventually(lambda: not (found.server._waiting or found.server._busy))
        assert not found.server._of_network


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["silent", "a byte now and then"])
async def test_a_connection_that_brings_no_whole_header_is_closed(trickle: bytes) -> None:
    async with place(header_s=0.2) as found:
        slow = await found.open(b"GET / HTTP/1.1\r\nX-Slow: ")
        await slow.is_closed(trickle)
        assert found.counts.limits == {"header_s": 1}


async def test_a_body_that_trickles_is_cut_off() -> None:
    async with place(header_s=60, body_s=0.2) as found:
        slow = await found.open(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 99999\r\n\r\n")
        await slow.is_closed(b"x")
        assert found.counts.limits == {"body_s": 1}


async def test_between_requests_a_connection_may_be_silent_for_longer() -> None:
    async with place(header_s=0.2, idle_s=0.6) as found:
        silent, used = await found.open(), await found.open()
        await used.is_answered(REQUEST)
        await silent.is_closed()
        await used.is_answered(REQUEST)
        await used.is_closed()
        assert found.counts.limits == {"header_s": 1}


async def test_a_header_over_the_limit_ends_the_connection_without_an_answer() -> None:
    async with place(header_bytes=2_000) as found:
        await (await found.open()).is_answered(REQUEST[:-2] + b"X: " + b"x" * 1_500 + b"\r\n\r\n")
        for _ in range(2):
            large = await found.open(REQUEST[:-2] + b"X: " + b"x" * 2_000)
            await large.is_closed()
        assert found.counts.limits == {"header_bytes": 2}


async def test_for_a_connection_too_many_the_one_that_has_waited_longest_is_closed() -> None:
    async with place(http_connections=3) as found:
        first, second, third = [await found.open() for _ in range(3)]
        await eventually(lambda: len(found.server._waiting) == 3)
        await first.is_answered(REQUEST)  # so it waits since later than the others
        fourth = await found.open()
        await fourth.is_answered(REQUEST)
        await second.is_closed()
        await third.is_answered(REQUEST)
        await first.is_answered(REQUEST)
        assert found.counts.limits == {"http_connections": 1}


async def test_half_open_connections_keep_nobody_out_and_are_bounded() -> None:
    async with place(http_connections=20) as found:
        for _ in range(200):
            await found.open(b"GET / HTT")
        for _ in range(20):
            await (await found.open()).is_answered(REQUEST)
        assert len(found.server._connections) <= 21
        assert found.counts.limits["http_connections"] >= 180


async def test_those_who_do_not_take_their_answers_are_closed_only_after_a_while() -> None:
    async with place(http_connections=2, idle_s=0.3) as found:
        for _ in range(2):
            await found.open(REQUEST.replace(b"/ ", b"/large "))
        await eventually(lambda: len(found.server._busy) == 2)
        refused = await found.open()
        await refused.is_closed()

        async def is_answered_now() -> bool:
            try:
                await (await found.open()).is_answered(REQUEST)
            except ConnectionError:
                return False
            return True

        await eventually(is_answered_now)


async def test_websockets_are_not_counted() -> None:
    async with place(http_connections=2, header_s=0.2) as found:
        async with contextlib.AsyncExitStack() as stack:
            sockets = [
                await stack.enter_async_context(
                    connect(f"ws://127.0.0.1:{found.port}/ws", proxy=None)
                )
                for _ in range(10)
            ]
            silent = await found.open()
            await silent.is_closed()
            for socket in sockets:
                await (await socket.ping())
        assert found.counts.limits == {"header_s": 1}


async def test_an_address_has_so_many_connections() -> None:
    async with place(everybody, address_sessions=2) as found:
        peers = [await found.open() for _ in range(2)]
        for peer in peers:
            await peer.is_answered(REQUEST)
        await (await found.open()).is_closed()
        peers[0].writer.transport.abort()
        await eventually(lambda: len(found.server._connections) == 1)
        await (await found.open()).is_answered(REQUEST)
        assert found.counts.limits == {"address_sessions": 1}


async def test_limits_that_change_hold_for_connections_to_come() -> None:
    async with place(header_s=60) as found:
        found.limits.now = LimitSettings(header_s=0.1)
        await (await found.open()).is_closed()
