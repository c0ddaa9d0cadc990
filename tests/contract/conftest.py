"""Rules of every contract suite."""

import pytest

from router.store import connect, link
from tests.support.logs import Logs


@pytest.fixture(autouse=True)
def no_errors(logs: Logs) -> None:
    """Fail a test in which an error is logged."""


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back to a store sooner than one must with thousands of clients."""
    monkeypatch.setattr(link, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(link, "_LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(connect, "_EVERY_S", 0.0)
