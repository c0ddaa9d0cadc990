"""Standard input, line by line, without stopping the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import BinaryIO, Final

from router.errors import InvalidRequest, TooLarge

_AHEAD: Final = 64
_STANDARD_INPUT: Final = 0
Line = bytes | TooLarge


def read_line(source: BinaryIO, limit_bytes: int) -> Line | None:
    """Return the next line without its end; None at the end of the input.

    Args:
        source: where to read.
        limit_bytes: longest line to keep; a longer one is read to its end and thrown away, and
            the error is returned in its place.
    """
    line = source.readline(limit_bytes + 2)
    if not line:
        return None
    kept = line.rstrip(b"\r\n")
    size = len(kept)
    while size > limit_bytes and line and not line.endswith(b"\n"):
        line = source.readline(limit_bytes + 2)
        size += len(line.rstrip(b"\r\n"))
    return kept if size <= limit_bytes else TooLarge("data", size, limit_bytes)


class Lines:
    """The lines of a stream, read a little ahead.

    The thread that reads is a daemon: one that waits for a terminal cannot be called back, and
    Ctrl-C must not wait for it.

    Args:
        open_source: opens the stream; called in that thread.
        limit_bytes: see `read_line`.
    """

    def __init__(self, open_source: Callable[[], BinaryIO], limit_bytes: int) -> None:
        self._open_source = open_source
        self._limit_bytes = limit_bytes
        self._ahead: asyncio.Queue[Line | OSError | None] = asyncio.Queue(_AHEAD)
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._pump, name="standard input", daemon=True).start()

    async def next(self) -> Line | None:
        """Return the next line, None at the end of the input; see `read_line`.

        Raises:
            InvalidRequest: the stream cannot be read.
        """
        item = await self._ahead.get()
        if isinstance(item, OSError):
            raise InvalidRequest("standard input", str(item)) from item
        return item

    def _pump(self) -> None:
        try:
            with self._open_source() as source:
                while (line := read_line(source, self._limit_bytes)) is not None:
                    if not self._hand_over(line):
                        return
            self._hand_over(None)
        except OSError as exc:
            self._hand_over(exc)

    def _hand_over(self, item: Line | OSError | None) -> bool:
        """Wait until there is room; return whether anybody still listens."""
        putting = self._ahead.put(item)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except (RuntimeError, CancelledError):  # the command has ended
            putting.close()
            return False
        return True


def standard_input() -> BinaryIO:
    """Open standard input apart from `sys.stdin`, whose lock the interpreter takes at its end."""
    return open(_STANDARD_INPUT, "rb", closefd=False)
