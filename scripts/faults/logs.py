"""The logs of a run's processes: what no process may ever write, and what is worth telling."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from scripts.faults.entries import Ns
from scripts.faults.ledger import LOGS

_NEVER = ("Traceback (most recent call last)", "never retrieved", "was never awaited")
_BAD_LEVELS = ("error", "critical")
_HEAD = ("timestamp", "level", "event")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log.

    Args:
        at: when, by CLOCK_MONOTONIC; 0 where the line does not say.
        process: the name of the log.
        level: `info`, `warning`, `error`; "" where the line does not say.
        text: the event with its fields.
        bad: no process may ever write such a line.
    """

    at: Ns
    process: str
    level: str
    text: str
    bad: bool


def read_logs(folder: Path, wall_ns: Ns) -> Iterator[Line]:
    """Yield every line of every log of a ledger.

    Args:
        folder: the ledger.
        wall_ns: what to take off the time of day for CLOCK_MONOTONIC.
    """
    for file in sorted((folder / LOGS).glob("*.log")):
        for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if text.strip():
                yield parse_line(file.stem, text, wall_ns)


def parse_line(process: str, text: str, wall_ns: Ns) -> Line:
    """Return a line of a log, whether it is JSON, or was cut off, or is something else."""
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
        at = _nanoseconds(fields["timestamp"]) - wall_ns
        level, event = fields["level"], fields["event"]
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
        return Line(0, process, "", text, any(words in text for words in _NEVER))
    rest = " ".join(f"{key}={value}" for key, value in fields.items() if key not in _HEAD)
    bad = level in _BAD_LEVELS or any(words in text for words in _NEVER)
    return Line(at, process, level, f"{event} {rest}".rstrip(), bad)


def _nanoseconds(timestamp: str) -> Ns:
    return round(datetime.fromisoformat(timestamp).timestamp() * 1e6) * 1_000
