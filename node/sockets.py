"""The only file that knows how Tornado keeps a WebSocket: write frames, bytes waiting, close.

`write_message` makes a task for each call and its buffer has no bound. Here frames are built once,
those for one socket in one batch leave in one write, and what waits can be seen.

Tornado also keeps the request, its handler and a dozen suspended calls while a WebSocket is open.
Here all of that ends with the handshake: its frame parser is run when bytes have come, and between
two frames nothing waits.
Source: RFC 6455 section 5.2; tornado/websocket.py of 6.6.
"""

import asyncio
import functools
import struct
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, cast

from tornado.iostream import StreamClosedError
from tornado.websocket import (
    WebSocketHandler,
    WebSocketProtocol,
    WebSocketProtocol13,
    _WebSocketParams,
)

from node.disconnects import POLICY, TOO_LARGE
from node.listener import Listener
from node.pace import Pace
from node.streams import Stream, adopt

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_PING: Final = 0x89
_TEXT_OPCODE: Final = 0x1
_REASON_BYTES: Final = 123
_HEADER_BYTES: Final = 2
# As Tornado counts: after so much the others have their turn.
_TURN_BYTES: Final = 256 * 1024
_FRAME_COST_BYTES: Final = 1024


def frame(payload: bytes, *, binary: bool) -> bytes:
    """Return one unfragmented, unmasked data frame, as servers send them."""
    return _header(_BINARY if binary else _TEXT, len(payload)) + payload


def ping_frame(payload: bytes) -> bytes:
    """Return a ping frame; `payload` has at most 125 bytes and comes back in the pong."""
    return _header(_PING, len(payload)) + payload


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


class Socket:
    """One open WebSocket.

    Args:
        protocol: Tornado's half of it.
        stream: its connection.
    """

    __slots__ = ("_protocol", "_stream", "write")

    def __init__(self, protocol: WebSocketProtocol, stream: Stream) -> None:
        self._protocol = protocol
        self._stream = stream
        # Writes whole frames; never waits, and on a closed socket does nothing.
        self.write: Callable[[bytes], None] = stream.send

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes the operating system has not taken yet."""
        return self._stream.waiting_bytes

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; Tornado ends the connection after 5 s without an answer.

        Of a longer `reason` the first 123 bytes are told: a control frame holds no more.
        """
        self._protocol.close(code, reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore"))

    def abort(self) -> None:
        """End the connection at once."""
        self._stream.abort()


_NOBODY: Final = Listener()


@types.coroutine
def _until_told() -> Generator[None, None, None]:
    """Leave the parser where it is, until whoever runs it goes on."""
    yield


class _Protocol(WebSocketProtocol13):
    """Tornado's protocol, without a task, at a pace, and with refusals that the client hears.

    Tornado closes the connection right after its close frame. With unread bytes waiting, that is a
    reset, which takes the close frame away from the client again.
    """

    handler: Any  # our handler until the WebSocket is open, its listener from then on
    stream: Any
    _frame: Coroutine[Any, Any, None] | None = None  # the one of which a part has come
    _begun_at = 0
    _refused = False
    _over = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if code == TOO_LARGE.code and not self.client_terminated:
            self._refused = True
            reason = f"a message has at most {self.params.max_message_size} bytes"
            self.handler.over("message_bytes")
        super().close(code, reason)

    def _abort(self) -> None:
        if self._refused and not self._over:
            self.client_terminated = True  # ends Tornado's loop; ours has a deadline
            return
        super()._abort()

    def _handle_message(self, opcode: int, data: bytes) -> "asyncio.Future[None] | None":
        """Do as Tornado does, but tell a client whose text is not UTF-8 why it has to go."""
        if opcode != _TEXT_OPCODE or self.client_terminated:
            return super()._handle_message(opcode, data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.handler.over("utf8")
            self.close(POLICY.code, "a text frame is not UTF-8")
            self._refused = self.client_terminated = True
            return None
        return self._run_callback(self.handler.on_message, text)

    async def _receive_frame_loop(self) -> None:
        """Change the stream under the protocol and tell the handler, whose work is done then."""
        handler: SocketHandler = self.handler
        try:
            self.stream = stream = await adopt(self.stream, self.params.max_message_size)
        except StreamClosedError:
            self._abort()
            return
        try:
            self.handler = handler.opened(Socket(self, stream))
        except BaseException:
            self._abort()
            raise
        handler.part()
        stream.tell(self._read)
        self._read()

    async def _read_bytes(self, n: int) -> bytes:
        stream: Stream = self.stream
        while not stream.has(n):
            await _until_told()
        self._wire_bytes_in += n
        return stream.take(n)

    def _read(self) -> None:
        """Take the frames that have come; called when there is more, or never will be."""
        left_bytes = _TURN_BYTES
        try:
            while not self.client_terminated:
                length_bytes = self._read_frame()
                if not length_bytes or self._waits(length_bytes):
                    return
                left_bytes -= length_bytes + _FRAME_COST_BYTES
                if left_bytes <= 0:
                    asyncio.get_running_loop().call_soon(self._read)
                    return
        except (StreamClosedError, ValueError):  # the latter of words that are none
            self._abort()
        except Exception:  # noqa: BLE001 - whatever it is: nobody else would hear of it
            self.handler.log_exception(*sys.exc_info())
            self._abort()
        self._end()

    def _read_frame(self) -> int:
        """Have Tornado take a frame; return its length, or 0 when the rest has still to come.

        Raises:
            StreamClosedError: it never will.
        """
        frame = self._frame
        if frame is None:
            if not self.stream.has(_HEADER_BYTES):  # nothing waits between two frames
                return 0
            self._begun_at = self._wire_bytes_in
            frame = self._frame = self._receive_frame()
        try:
            frame.send(None)
        except StopIteration:
            self._frame = None
            return self._wire_bytes_in - self._begun_at
        return 0

    def _waits(self, length_bytes: int) -> bool:
        """Say whether nothing more is read for now, since the client has sent too fast.

        What it sends meanwhile waits in the buffers of the system, up to the client's own.
        """
        pace: Pace | None = self.handler.pace
        if pace is None or not pace.took(length_bytes):
            return False
        loop = asyncio.get_running_loop()
        wait_s, limit = pace.wait_s(loop.time())
        if wait_s:
            self.handler.over(limit)
            loop.call_later(wait_s, self._read)
        return bool(wait_s)

    def _end(self) -> None:
        self.stream.leave()
        listener: Listener = self.handler
        self.handler = _NOBODY  # it knows the socket, and that knows us
        listener.on_ws_connection_close(self.close_code, self.close_reason)
        if self._refused:
            self.stream.linger(self._cut)

    def _cut(self) -> None:
        self._over = True
        self._abort()


@functools.cache
def _parameters(max_message_bytes: int) -> _WebSocketParams:
    return _WebSocketParams(max_message_size=max_message_bytes)


class SocketHandler(WebSocketHandler):
    """The handshake of a WebSocket whose protocol is ours; it is gone when that is done."""

    def opened(self, socket: Socket) -> Listener:
        """Return who is told what the connection brings; it is ready for frames.

        When this raises, the connection is cut.
        """
        raise NotImplementedError

    def part(self) -> None:
        """Let go of what would keep this object."""
        self.ws_connection = None
        self.ui = cast(Any, None)

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """See `WebSocketHandler.get_websocket_protocol`; compression stays off.

        A ping between the fragments of a compressed message makes Tornado drop the connection.
        """
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        return _Protocol(cast(Any, self), False, _parameters(self.max_message_size))
