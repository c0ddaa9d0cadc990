import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tornado.iostream import IOStream, StreamClosedError

from node.streams import TransportStream, adopt
from tests.support.waiting import eventually, rounds

MAX_FRAME_BYTES = 1_000


class Pair:
    """A stream, and the other end of its connection."""

    def __init__(self, stream: TransportStream, peer: socket.socket) -> None:
        self.stream = stream
        self.peer = peer

    async def reads(self, count: int) -> bytes:
        """Take so many bytes, when they have come."""
        return await read(self.stream, count)

    async def says(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.peer, data)

    async def hears(self, count: int) -> bytes:
        heard = bytearray()
        while len(heard) < count:
            try:
                got = await asyncio.get_running_loop().sock_recv(self.peer, count - len(heard))
            except ConnectionResetError:
                break
            if not got:
                break
            heard += got
        return bytes(heard)


async def read(stream: TransportStream, count: int) -> bytes:
    told = asyncio.Event()
    stream.tell(told.set)
    while not stream.has(count):
        await told.wait()
        told.clear()
    return stream.take(count)


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for end in (ours, theirs):
        end.setblocking(False)
    return ours, theirs


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, theirs = connected()
    stream = await adopt(IOStream(ours), MAX_FRAME_BYTES)
    assert isinstance(stream, TransportStream)
    yield Pair(stream, theirs)
    theirs.close()
    stream.abort()
    await rounds()


async def test_exactly_what_is_asked_for_is_taken(pair: Pair) -> None:
    await pair.says(b"abcdef")
    assert await pair.reads(2) == b"ab"
    assert await pair.reads(3) == b"cde"
    assert await pair.reads(1) == b"f"


async def test_whoever_reads_is_told_once_when_all_has_come(pair: Pair) -> None:
    told: list[str] = []
    pair.stream.tell(lambda: told.append("more"))
    assert not pair.stream.has(4)
    await pair.says(b"ab")
    await rounds(5)
    assert told == []
    await pair.says(b"cdef")
    await eventually(lambda: told)
    await pair.says(b"g")
    await eventually(lambda: len(pair.stream._buffer) == 7)
    assert (pair.stream.take(7), told) == (b"abcdefg", ["more"])


async def test_whoever_does_not_wait_is_not_told(pair: Pair) -> None:
    told: list[str] = []
    pair.stream.tell(lambda: told.append("more"))
    await pair.says(b"ab")
    await eventually(lambda: len(pair.stream._buffer) == 2)
    pair.peer.close()
    await eventually(pair.stream.closed)
    assert told == []


async def test_whoever_has_left_is_not_told_of_the_end(pair: Pair) -> None:
    told: list[str] = []
    pair.stream.tell(lambda: told.append("more"))
    assert not pair.stream.has(2)
    pair.stream.leave()
    pair.peer.close()
    await eventually(pair.stream.closed)
    assert told == []


async def test_what_came_before_the_stream_was_taken_over_is_read_first() -> None:
    ours, theirs = connected()
    theirs.sendall(b"first ")
    before = IOStream(ours)
    assert await before.read_bytes(1) == b"f"  # the rest lies in Tornado's buffer
    theirs.sendall(b"second")
    stream = await adopt(before, MAX_FRAME_BYTES)
    assert isinstance(stream, TransportStream)
    assert await read(stream, 11) == b"irst second"
    theirs.close()
    stream.abort()
    await rounds()


async def test_a_read_ends_with_the_connection(pair: Pair) -> None:
    reading = asyncio.create_task(pair.reads(4))
    await pair.says(b"ab")
    pair.peer.close()
    with pytest.raises(StreamClosedError):
        await reading
    assert pair.stream.closed()


async def test_what_came_before_the_end_can_still_be_read(pair: Pair) -> None:
    await pair.says(b"abcd")
    pair.peer.close()
    await eventually(pair.stream.closed)
    assert await pair.reads(4) == b"abcd"
    with pytest.raises(StreamClosedError):
        pair.stream.has(1)


async def test_a_peer_that_is_not_listened_to_is_held_back_and_nothing_is_lost(pair: Pair) -> None:
    data = bytes(range(256)) * 40_000
    saying = asyncio.create_task(pair.says(data))
    await eventually(lambda: pair.stream._paused)
    assert not saying.done()
    assert len(pair.stream._buffer) < 1_000_000
    heard = bytearray()
    while len(heard) < len(data):
        heard += await pair.reads(min(MAX_FRAME_BYTES, len(data) - len(heard)))
    assert heard == data
    await saying


async def test_what_is_written_arrives_in_order(pair: Pair) -> None:
    await pair.stream.write(b"one ")
    pair.stream.send(b"two")
    assert await pair.hears(7) == b"one two"
    assert pair.stream.waiting_bytes == 0


async def test_a_write_is_done_when_more_would_be_welcome(pair: Pair) -> None:
    block = b"x" * 100_000
    while (last := pair.stream.write(block)).done():
        pass
    waiting = pair.stream.waiting_bytes
    assert waiting > 0
    draining = asyncio.create_task(pair.hears(10_000_000))
    await last
    assert pair.stream.waiting_bytes < waiting
    draining.cancel()


async def test_a_close_lets_what_waits_arrive(pair: Pair) -> None:
    data = b"x" * 5_000_000
    pair.stream.send(data)
    assert pair.stream.waiting_bytes > 0
    pair.stream.close()
    assert pair.stream.closed()
    assert await pair.hears(len(data) + 1) == data


async def test_to_linger_lets_what_was_written_arrive_at_a_peer_that_still_sends(
    pair: Pair,
) -> None:
    saying = asyncio.create_task(pair.says(b"x" * 10_000_000))
    await pair.reads(1)
    pair.stream.send(b"enough")
    over: list[bool] = []
    pair.stream.linger(lambda: over.append(pair.stream.closed()))
    await saying
    assert await pair.hears(100) == b"enough"  # and then the end
    assert over == []
    pair.peer.close()
    await eventually(lambda: over)
    assert over == [True]


async def test_to_linger_with_a_peer_that_goes_on_has_an_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.inlet.LINGER_S", 0.05)
    over: list[bool] = []
    pair.stream.linger(lambda: over.append(pair.stream.closed()))
    await eventually(lambda: over)
    assert over == [False]


async def test_there_is_no_lingering_on_a_connection_that_has_ended(pair: Pair) -> None:
    pair.stream.abort()
    over: list[bool] = []
    pair.stream.linger(lambda: over.append(True))
    assert over == [True]


async def test_an_abort_throws_away_what_waits(pair: Pair) -> None:
    pair.stream.send(b"x" * 5_000_000)
    pair.stream.abort()
    assert pair.stream.waiting_bytes == 0
    with pytest.raises(StreamClosedError):
        pair.stream.write(b"more")
    pair.stream.send(b"more")
    assert len(await pair.hears(5_000_000)) < 5_000_000


async def test_writers_are_told_when_the_connection_ends(pair: Pair) -> None:
    while (last := pair.stream.write(b"x" * 100_000)).done():
        pass
    pair.peer.close()
    await last
    assert pair.stream.closed()
