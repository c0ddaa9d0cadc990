"""The only file that knows how Tornado keeps a WebSocket: write frames, bytes waiting, close.

`write_message` makes a task for each call and its buffer has no bound. Here frames are built once,
those for one socket in one batch leave in one write, and what waits can be seen.
Source: RFC 6455 section 5.2; tornado/websocket.py of 6.6.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Final, cast

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from node.disconnects import POLICY, TOO_LARGE
from node.pace import Pace
from node.streams import Stream, adopt

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_PING: Final = 0x89
_TEXT_OPCODE: Final = 0x1
_REASON_BYTES: Final = 123


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
        handler: Tornado's handler, open.
        stream: its connection.
    """

    __slots__ = ("_handler", "_stream", "write")

    def __init__(self, handler: WebSocketHandler, stream: Stream) -> None:
        self._handler = handler
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
        self._handler.close(code, reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore"))

    def abort(self) -> None:
        """End the connection at once."""
        self._stream.abort()


class _Protocol(WebSocketProtocol13):
    """Tornado's protocol, with a bound on how fast is read, and refusals that the client hears.

    Tornado closes the connection right after its close frame. With unread bytes waiting, that is a
    reset, which takes the close frame away from the client again.
    """

    _refused = False
    _over = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if code == TOO_LARGE.code and not self.client_terminated:
            self._refused = True
            reason = f"a message has at most {self.params.max_message_size} bytes"
            cast(SocketHandler, self.handler).over("message_bytes")
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
            cast(SocketHandler, self.handler).over("utf8")
            self.close(POLICY.code, "a text frame is not UTF-8")
            self._refused = self.client_terminated = True
            return None
        return self._run_callback(self.handler.on_message, text)

    async def _receive_frame(self) -> None:
        """Read a frame, and wait then for as long as its client has sent too fast.

        What it sends meanwhile waits in the buffers of the system, up to the client's own.
        """
        before = self._wire_bytes_in
        await super()._receive_frame()
        handler = cast(SocketHandler, self.handler)
        pace = handler.pace
        if pace is not None and pace.took(self._wire_bytes_in - before):
            wait_s, limit = pace.wait_s(asyncio.get_running_loop().time())
            if wait_s:
                handler.over(limit)
            await asyncio.sleep(wait_s)

    async def _receive_frame_loop(self) -> None:
        """Change the stream under the protocol and tell the handler; then read as Tornado does."""
        try:
            stream = await adopt(self.stream, self.params.max_message_size)
        except StreamClosedError:
            self._abort()
            return
        self.stream = cast(Any, stream)
        handler = cast(Any, self.handler)
        handler.opened(Socket(handler, stream))
        await super()._receive_frame_loop()
        if self._refused:
            await stream.linger()
            self._over = True
            self._abort()


class SocketHandler(WebSocketHandler):
    """A WebSocket handler whose protocol is ours."""

    pace: Pace | None = None
    """How fast frames are read; None for as fast as they come. It may be set in `opened`."""

    def opened(self, socket: Socket) -> None:
        """The connection is ready for frames; the counterpart of `on_close`."""
        raise NotImplementedError

    def over(self, limit: str) -> None:
        """Note that the client ran into a limit of its connection: a word, for counting."""

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """See `WebSocketHandler.get_websocket_protocol`; compression stays off.

        A ping between the fragments of a compressed message makes Tornado drop the connection.
        """
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        params = cast(Any, super().get_websocket_protocol()).params
        return _Protocol(cast(Any, self), False, params)
