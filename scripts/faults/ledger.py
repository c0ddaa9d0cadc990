"""The ledger of a run on disk: a folder with one file of lines for each process that writes."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from scripts.faults.entries import AnyEntry, Entry, Run

RUN_FILE = "run.json"
LOGS = "logs"
_FLUSH_SECONDS = 0.5
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEntry)


class Unreadable(Exception):
    """The folder is not a ledger, or a line of it is not an entry."""


class Pen:
    """Writes one file of a ledger: entries collect and leave every half second.

    Args:
        file: new, or gone on with.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab")
        self._waiting: list[Entry] = []
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write_forever(), name="ledger")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self.flush()
        self._file.close()

    def note(self, entry: Entry) -> None:
        """Write an entry soon; nothing after `end`."""
        if not self._ended:
            self._waiting.append(entry)

    def end(self) -> None:
        """Write what has collected, and nothing that comes later."""
        self._ended = True
        self.flush()

    def flush(self) -> None:
        """Write what has collected."""
        waiting, self._waiting = self._waiting, []
        self._file.write(b"".join(_encoder.encode(entry) + b"\n" for entry in waiting))
        self._file.flush()

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self.flush()


def now() -> int:
    """Return the time as the ledger keeps it."""
    return time.monotonic_ns()


def write_run(folder: Path, run: Run) -> None:
    """Begin a ledger."""
    (folder / LOGS).mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_bytes(msgspec.json.format(_encoder.encode(run)) + b"\n")


def read_run(folder: Path) -> Run:
    """Return what was run.

    Raises:
        Unreadable: this is no ledger.
    """
    try:
        return msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=Run)
    except (OSError, msgspec.MsgspecError) as exc:
        raise Unreadable(f"{folder} is not the ledger of a run: {exc}") from exc


def read_entries(folder: Path) -> Iterator[AnyEntry]:
    """Yield every entry, file by file, each in the order in which it was written.

    Raises:
        Unreadable: a line is not an entry.
    """
    for file in sorted(folder.glob("*.jsonl")):
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield _decoder.decode(line)
                except msgspec.MsgspecError as exc:
                    raise Unreadable(f"{file}, line {number}: {exc}") from exc
