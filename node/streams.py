"""What Tornado's WebSocket protocol needs of a stream, over an asyncio transport.

Tornado's IOStream asks the kernel twice for each event: it stops watching the socket before it
hands data over and watches it again afterwards, and finds out by a failed read that there is no
more. A pong costs 25 microseconds that way, and every proof of receipt is one. A transport watches
all the time and hands over what has come; Tornado's own frame parser reads from it as before.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable
from typing import Any, Final, cast

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

# A peer that takes nothing must not keep a closing connection, and what waits for it, for ever.
_LINGER_S: Final = 5.0
_READ_AHEAD_BYTES: Final = 65_536
_DETACH_BYTES: Final = 1024 * 1024


class TransportStream(asyncio.Protocol):
    """The part of IOStream's interface that a WebSocket uses.

    Args:
        first: bytes that were read before this stream took over.
        max_frame_bytes: longest read that will be asked for; reading pauses when that and a little
            more has come and nobody took it.
    """

    def __init__(self, first: bytes, max_frame_bytes: int) -> None:
        self.io_loop = IOLoop.current()
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(first)
        self._pause_at = max_frame_bytes + _READ_AHEAD_BYTES
        self._paused_reading = False
        self._wanted = 0
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._full = False
        self._closed = False
        self._transport: asyncio.Transport
        self._linger: asyncio.TimerHandle | None = None

    # ---- asyncio's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        buffer = self._buffer
        buffer += data
        if self._reader is not None and len(buffer) >= self._wanted:
            if not self._reader.done():
                self._reader.set_result(None)
        elif len(buffer) > self._pause_at and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._full = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._full = False
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._closed = True
        if self._linger is not None:
            self._linger.cancel()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        self.resume_writing()

    # ---- Tornado's side ---------------------------------------------------------------------

    async def read_bytes(self, count: int, partial: bool = False) -> bytes:
        """Return exactly `count` bytes, or with `partial` at least one and at most `count`.

        Raises:
            StreamClosedError: the connection ended before.
        """
        buffer = self._buffer
        wanted = 1 if partial else count
        while len(buffer) < wanted:
            if self._closed:
                raise StreamClosedError
            if self._paused_reading:
                self._paused_reading = False
                self._transport.resume_reading()
            self._wanted = wanted
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = bytes(buffer[:count])
        del buffer[:count]
        return data

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Write `data`; the future is done when little enough waits that more would be welcome.

        Raises:
            StreamClosedError: the connection has ended.
        """
        if self._closed:
            raise StreamClosedError
        self._transport.write(data)
        future: asyncio.Future[None] = self._loop.create_future()
        if self._full:
            self._writers.append(future)
        else:
            future.set_result(None)
        return future

    def send(self, data: bytes) -> None:
        """Write `data`; on a closed stream do nothing."""
        if not self._closed:
            self._transport.write(data)

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes the operating system has not taken yet."""
        return 0 if self._closed else self._transport.get_write_buffer_size()

    def closed(self) -> bool:
        """Say whether the connection has ended, or is about to."""
        return self._closed

    def close(self) -> None:
        """Write what waits, then end the connection; without mercy after five seconds."""
        if not self._closed:
            self._closed = True
            self._linger = self._loop.call_later(_LINGER_S, self._transport.abort)
            self._transport.close()

    async def linger(self) -> None:
        """Write what waits and the end behind it; read until the peer ends, or five seconds long.

        A close while the peer still sends is a reset, and that takes back what it has not read.
        """
        if self._closed:
            return
        self._transport.write_eof()
        with contextlib.suppress(StreamClosedError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while True:
                    await self.read_bytes(_READ_AHEAD_BYTES, partial=True)

    def abort(self) -> None:
        """End the connection at once."""
        self._closed = True
        self._transport.abort()

    def set_nodelay(self, value: bool) -> None:
        """Do nothing: asyncio sets TCP_NODELAY on every transport."""


class SecureStream:
    """The same interface over Tornado's own TLS stream, which no asyncio transport can take over.

    Args:
        stream: open, its handshake done.
    """

    def __init__(self, stream: SSLIOStream) -> None:
        self.io_loop = stream.io_loop
        self._stream: Any = stream
        self._closing = False
        self._linger: asyncio.TimerHandle | None = None

    def read_bytes(self, count: int, partial: bool = False) -> "Awaitable[bytes]":
        """Return exactly `count` bytes, or with `partial` at least one and at most `count`.

        Raises:
            StreamClosedError: the connection ended before.
        """
        return cast("Awaitable[bytes]", self._stream.read_bytes(count, partial=partial))

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Write `data`; the future is done when the operating system has taken it.

        Raises:
            StreamClosedError: the connection has ended.
        """
        if self._closing:
            raise StreamClosedError
        return cast("asyncio.Future[None]", self._stream.write(data))

    def send(self, data: bytes) -> None:
        """Write `data`; on a closed stream do nothing."""
        if not self._closing:
            with contextlib.suppress(StreamClosedError):
                self._stream.write(data)  # Tornado looks at what becomes of it

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes the operating system has not taken yet."""
        # Not part of IOStream's interface, but of how it has kept them since Tornado 5.
        return 0 if self._closing else len(self._stream._write_buffer)  # noqa: SLF001

    def closed(self) -> bool:
        """Say whether the connection has ended, or is about to."""
        return self._closing or self._stream.closed()

    def close(self) -> None:
        """Write what waits, then end the connection; without mercy after five seconds."""
        if self.closed():
            return
        waits = self._stream.write(b"")
        self._closing = True
        loop = asyncio.get_running_loop()
        self._linger = loop.call_later(_LINGER_S, self._stream.close)
        waits.add_done_callback(self._written)

    def _written(self, _: object) -> None:
        assert self._linger is not None
        self._linger.cancel()
        self._stream.close()

    async def linger(self) -> None:
        """Write what waits and the end behind it; read until the peer ends, or five seconds long.

        See `TransportStream.linger`.
        """
        if self.closed():
            return
        with contextlib.suppress(StreamClosedError, TimeoutError, OSError):
            async with asyncio.timeout(_LINGER_S):
                await self._stream.write(b"")
                # Of the connection under TLS: the TLS socket's own shutdown ends reading, too.
                socket.socket.shutdown(self._stream.socket, socket.SHUT_WR)
                while True:
                    await self._stream.read_bytes(_READ_AHEAD_BYTES, partial=True)

    def abort(self) -> None:
        """End the connection at once."""
        self._closing = True
        self._stream.close()

    def set_nodelay(self, value: bool) -> None:
        """See `IOStream.set_nodelay`."""
        self._stream.set_nodelay(value)


Stream = TransportStream | SecureStream


async def adopt(stream: IOStream, max_frame_bytes: int) -> Stream:
    """Take a connection over from Tornado's stream.

    Args:
        stream: detached from its HTTP connection.
        max_frame_bytes: see `TransportStream`.

    Raises:
        StreamClosedError: the connection has ended.
    """
    if isinstance(stream, SSLIOStream):
        stream.set_nodelay(True)
        return SecureStream(stream)
    ahead = cast("asyncio.Future[bytes]", stream.read_bytes(_DETACH_BYTES, partial=True))
    first = ahead.result() if ahead.done() else b""
    connection: socket.socket = stream.socket.dup()
    stream.close()  # its own descriptor only: the connection lives on in the copy
    connection.setblocking(False)
    loop: Any = asyncio.get_running_loop()
    _, protocol = await loop.connect_accepted_socket(
        lambda: TransportStream(first, max_frame_bytes), connection
    )
    assert isinstance(protocol, TransportStream)
    return protocol
