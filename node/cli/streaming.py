"""Many messages from one command: sent as they are read, told of in their order."""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from node import views
from node.cli.common import say
from node.cli.lines import Line, Lines
from node.cli.text import as_data, count
from router.errors import InvalidRequest, SwitchboardError, TooLarge
from router.model import OUTCOMES, SendResult

_WINDOW: Final = 64
_BAD_LINE: Final = 2
Send = Callable[[msgspec.Raw], Awaitable[SendResult]]


def sentence(result: SendResult) -> str:
    """Return one line about a send; its first word is the outcome."""
    told = f"{result.outcome}: {result.user}, {count(result.sessions, 'session')}, id {result.id}"
    return f"{told} ({result.reason})" if result.reason else told


class Results:
    """Prints results as they come: lines for people, or the elements of one JSON document.

    Args:
        as_json: which of the two.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._before = ""

    def __enter__(self) -> Self:
        if self._as_json:
            self._write('{"results":[')
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._as_json:  # after an error, too: what was printed stays a document
            self._write("]}\n")

    def show(self, result: SendResult) -> None:
        """Print one result."""
        if self._as_json:
            self._write(self._before + msgspec.json.encode(views.sent(result)).decode() + "\n")
            self._before = ","
        else:
            self._write(sentence(result) + "\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


async def send_lines(lines: Lines, send: Send, results: Results) -> int:
    """Send each line as a message, some at a time; print the results in the order of the lines.

    A line that cannot be sent is told of on standard error, and the next ones are sent.

    Args:
        lines: where they come from; empty ones are left out.
        send: sends one message.
        results: prints.

    Returns:
        The highest exit status of all lines.

    Raises:
        SwitchboardError: the store went away, or the very first thing is wrong with all of them.
    """
    number, worst = 0, 0
    reading: asyncio.Task[Line | None] | None = asyncio.create_task(lines.next())
    pending: deque[tuple[int, asyncio.Task[SendResult]]] = deque()
    try:
        while reading or pending:
            wanted: list[asyncio.Task[SendResult] | asyncio.Task[Line | None]] = []
            if reading and len(pending) < _WINDOW:
                wanted.append(reading)
            if pending:
                wanted.append(pending[0][1])
            await asyncio.wait(wanted, return_when=asyncio.FIRST_COMPLETED)
            while pending and pending[0][1].done():
                worst = max(worst, _tell(*pending.popleft(), results))
            if reading and reading.done():
                line, number = reading.result(), number + 1
                reading = None if line is None else asyncio.create_task(lines.next())
                if line:
                    pending.append((number, asyncio.create_task(_send(line, send))))
    finally:
        await _end([*(task for _, task in pending), *([reading] if reading else [])])
    return worst


async def _send(line: Line, send: Send) -> SendResult:
    if isinstance(line, TooLarge):
        raise line
    return await send(as_data(line))


def _tell(number: int, task: asyncio.Task[SendResult], results: Results) -> int:
    """Print what became of a line; return its exit status."""
    try:
        result = task.result()
    except SwitchboardError as exc:
        if not isinstance(exc, (TooLarge, InvalidRequest)) or exc.field != "data":
            raise
        say(f"switchboard: line {number}: {exc}")
        return _BAD_LINE
    results.show(result)
    return OUTCOMES[result.outcome].exit_status


async def _end(tasks: list[asyncio.Task[SendResult] | asyncio.Task[Line | None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)
