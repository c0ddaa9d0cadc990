"""What was logged in a test: an error that the test does not expect fails it."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.typing import EventDict

_ERRORS = ("error", "critical")


def is_of_uvloop(record: logging.LogRecord) -> bool:
    """Say whether this is how uvloop takes a connection that is given up during its TLS handshake.

    Known, and harmless: https://github.com/WordPress/openverse/issues/3115
    """
    error = record.exc_info[1] if record.exc_info else None
    return (
        record.getMessage().startswith("Fatal error on SSL protocol")
        and isinstance(error, RuntimeError)
        and "the handler is closed" in str(error)
    )


class Logs:
    """The entries of one test.

    Args:
        entries: filled while the test runs.
    """

    def __init__(self, entries: list[EventDict]) -> None:
        self._entries = entries
        self._expected: set[str] = set()

    def expect(self, event: str) -> None:
        """Allow this event to be logged as an error."""
        self._expected.add(event)

    def events(self, name: str) -> list[EventDict]:
        """Return the entries of one event so far."""
        return [entry for entry in self._entries if entry["event"] == name]

    def stray(self) -> list[EventDict]:
        """Return the errors that nobody expected."""
        return [
            entry
            for entry in self._entries
            if entry["log_level"] in _ERRORS and entry["event"] not in self._expected
        ]


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[Logs]:
    """What our code logs; at the end, no error may be there: not ours, Tornado's or asyncio's."""
    with structlog.testing.capture_logs() as entries:
        found = Logs(entries)
        yield found
    assert not found.stray(), found.stray()
    records = [r for when in ("setup", "call") for r in caplog.get_records(when)]
    assert not [
        record.getMessage()
        for record in records
        if record.levelno >= logging.ERROR and not is_of_uvloop(record)
    ]
