"""What has come over a connection and was not taken yet, and who is told when there is enough.

Nobody waits here: whoever reads is called when as much has come as was wanted, so a connection on
which nothing happens has no task and no future.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError

LINGER_S: Final = 5.0
"""For how long a peer that takes nothing may keep a closing connection, and what waits for it."""
READ_AHEAD_BYTES: Final = 65_536


def _nobody() -> None:
    """Nobody reads."""


class Inlet:
    """The reading half of a stream; `Stream` says which kinds there are.

    Args:
        first: bytes that were read before this stream took over.
        max_frame_bytes: longest read that will be asked for; reading pauses when that and a little
            more has come and nobody took it.
    """

    __slots__ = ("_buffer", "_closed", "_linger", "_more", "_pause_at", "_paused", "_wanted")

    def __init__(self, first: bytes, max_frame_bytes: int) -> None:
        self._buffer = bytearray(first)
        self._pause_at = max_frame_bytes + READ_AHEAD_BYTES
        self._paused = False
        self._wanted = 0
        self._more: Callable[[], None] = _nobody
        self._closed = False
        self._linger: asyncio.TimerHandle | None = None

    @property
    def io_loop(self) -> IOLoop:
        """Return Tornado's face of the event loop."""
        return IOLoop.current()

    def tell(self, more: Callable[[], None]) -> None:
        """Call `more` when there is as much as was asked for in vain, and when there never will be.

        Args:
            more: never waits; it asks again, or it is not called any more.
        """
        self._more = more

    def leave(self) -> None:
        """Call nobody any more; what still comes is held back."""
        self._more = _nobody
        self._wanted = 0

    def has(self, count: int) -> bool:
        """Say whether so many bytes can be taken; if not, whoever reads is told when they can.

        Raises:
            StreamClosedError: the connection ended before.
        """
        if len(self._buffer) >= count:
            return True
        if self._closed:
            raise StreamClosedError
        self._wanted = count
        if self._paused:
            self._paused = False
            self._resume()
        return False

    def take(self, count: int) -> bytes:
        """Return so many bytes; ask `has` before."""
        buffer = self._buffer
        data = bytes(buffer[:count])
        del buffer[:count]
        return data

    def _arrived(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if self._wanted:
            if len(buffer) >= self._wanted:
                self._wanted = 0
                self._more()
        elif len(buffer) > self._pause_at and not self._paused:
            self._paused = True
            self._pause()

    def _lost(self) -> None:
        """The connection has ended."""
        self._closed = True
        if self._linger is not None:
            self._linger.cancel()
        if self._wanted:
            self._wanted = 0
            self._more()

    def linger(self, then: Callable[[], None]) -> None:
        """Write what waits and the end behind it; read until the peer ends, or five seconds long.

        A close while the peer still sends is a reset, and that takes back what it has not read.

        Args:
            then: called at the end of it; at once when the connection has ended.
        """
        if self.closed():
            then()
            return

        def over() -> None:
            timer.cancel()
            self.leave()
            then()

        def more() -> None:
            self._buffer.clear()
            try:
                self.has(1)
            except StreamClosedError:
                over()

        timer = asyncio.get_running_loop().call_later(LINGER_S, over)
        self.tell(more)
        self._end_writing()
        more()

    def closed(self) -> bool:
        """Say whether the connection has ended, or is about to."""
        return self._closed

    def _end_writing(self) -> None:
        """Let the end of this side follow what waits to be written."""
        raise NotImplementedError

    def _pause(self) -> None:
        """Let no more come; the counterpart is `_resume`."""
        raise NotImplementedError

    def _resume(self) -> None:
        raise NotImplementedError
