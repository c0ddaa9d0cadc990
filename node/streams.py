"""What Tornado's WebSocket protocol needs of a stream, over an asyncio transport.

Tornado's IOStream asks the kernel twice for each event: it stops watching the socket before it
hands data over and watches it again afterwards, and finds out by a failed read that there is no
more. A pong costs 25 microseconds that way, and every proof of receipt is one. A transport watches
all the time and hands over what has come; Tornado's own frame parser reads from it as before.
"""

import asyncio
import contextlib
import socket
from typing import Any, Final, cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from node.inlet import LINGER_S, READ_AHEAD_BYTES, Inlet

_DETACH_BYTES: Final = 1024 * 1024


class TransportStream(Inlet, asyncio.Protocol):
    """The part of IOStream's interface that a WebSocket uses; see `Inlet` for the arguments."""

    __slots__ = ("_full", "_transport", "_writers")

    def __init__(self, first: bytes, max_frame_bytes: int) -> None:
        super().__init__(first, max_frame_bytes)
        self._writers: tuple[asyncio.Future[None], ...] = ()
        self._full = False
        self._transport: asyncio.Transport

    # ---- asyncio's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._arrived(data)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._full = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._full = False
        writers, self._writers = self._writers, ()
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.resume_writing()
        self._lost()

    # ---- Tornado's side ---------------------------------------------------------------------

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Write `data`; the future is done when little enough waits that more would be welcome.

        Raises:
            StreamClosedError: the connection has ended.
        """
        if self._closed:
            raise StreamClosedError
        self._transport.write(data)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._full:
            self._writers = (*self._writers, future)
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

    def close(self) -> None:
        """Write what waits, then end the connection; without mercy after five seconds."""
        if not self._closed:
            self._closed = True
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(LINGER_S, self._transport.abort)
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._closed = True
        self._transport.abort()

    def set_nodelay(self, value: bool) -> None:
        """Do nothing: asyncio sets TCP_NODELAY on every transport."""

    def _end_writing(self) -> None:
        self._transport.write_eof()

    def _pause(self) -> None:
        self._transport.pause_reading()

    def _resume(self) -> None:
        self._transport.resume_reading()


class SecureStream(Inlet):
    """The same interface over Tornado's own TLS stream, which no asyncio transport can take over.

    Args:
        stream: open, its handshake done.
        max_frame_bytes: see `Inlet`.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: SSLIOStream, max_frame_bytes: int) -> None:
        super().__init__(b"", max_frame_bytes)
        self._stream: Any = stream
        self._resume()

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Write `data`; the future is done when the operating system has taken it.

        Raises:
            StreamClosedError: the connection has ended.
        """
        if self._closed:
            raise StreamClosedError
        return cast("asyncio.Future[None]", self._stream.write(data))

    def send(self, data: bytes) -> None:
        """Write `data`; on a closed stream do nothing."""
        if not self._closed:
            with contextlib.suppress(StreamClosedError):
                self._stream.write(data)  # Tornado looks at what becomes of it

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes the operating system has not taken yet."""
        # Not part of IOStream's interface, but of how it has kept them since Tornado 5.
        return 0 if self._closed else len(self._stream._write_buffer)  # noqa: SLF001

    def closed(self) -> bool:
        """Say whether the connection has ended, or is about to."""
        return self._closed or self._stream.closed()

    def close(self) -> None:
        """Write what waits, then end the connection; without mercy after five seconds."""
        if self.closed():
            return
        waits = self._stream.write(b"")
        self._closed = True
        loop = asyncio.get_running_loop()
        self._linger = loop.call_later(LINGER_S, self._stream.close)
        waits.add_done_callback(self._written)

    def _written(self, _: object) -> None:
        assert self._linger is not None
        self._linger.cancel()
        self._stream.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._closed = True
        self._stream.close()

    def set_nodelay(self, value: bool) -> None:
        """See `IOStream.set_nodelay`."""
        self._stream.set_nodelay(value)

    def _end_writing(self) -> None:
        with contextlib.suppress(StreamClosedError):
            self._stream.write(b"").add_done_callback(self._shut)

    def _shut(self, written: "asyncio.Future[None]") -> None:
        # Of the connection under TLS: the TLS socket's own shutdown ends reading, too.
        if not written.cancelled() and written.exception() is None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._stream.socket, socket.SHUT_WR)

    def _pause(self) -> None:
        """Do nothing: what is not asked for does not come."""

    def _resume(self) -> None:
        """Ask for more."""
        try:
            coming = self._stream.read_bytes(READ_AHEAD_BYTES, partial=True)
        except (StreamClosedError, OSError):
            # Not within a call of whoever reads.
            asyncio.get_running_loop().call_soon(self._lost)
        else:
            coming.add_done_callback(self._came)

    def _came(self, coming: "asyncio.Future[bytes]") -> None:
        try:
            data = coming.result()
        except StreamClosedError:
            self._lost()
            return
        self._arrived(data)
        if not self._paused:
            self._resume()


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
        return SecureStream(stream, max_frame_bytes)
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
