"""Hosts for tests, and runs on them."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from scripts.faults.audit import audit
from scripts.faults.balance import balance
from scripts.faults.book import Book
from scripts.faults.hosts import missing
from scripts.faults.ledger import LOGS
from scripts.faults.logs import read_logs
from scripts.faults.options import Options
from scripts.faults.run import run
from scripts.faults.steps import Step
from scripts.measuring.store import Stores

RATE = 50
Play = Callable[[float, Sequence[Step]], Awaitable[Book]]


@pytest.fixture(autouse=True)
def hosts_can_be_made() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return what runs a plan on three nodes with hosts of their own, and balances its ledger."""

    async def play_it(seconds: float, plan: Sequence[Step]) -> Book:
        options = Options(
            seconds=seconds, nodes=3, users=30, rate=RATE, faults=(), quick=True, hosts=True
        )
        with Stores(tmp_path / "stores") as stores:
            await run(options, tmp_path, stores, lambda *_: None, plan)
        book = Book.read(tmp_path)
        findings = audit(book, list(read_logs(tmp_path, book.run.wall_ns)))
        print(balance(book, findings))
        for log in (tmp_path / LOGS).glob("*.log") if findings else ():
            with contextlib.suppress(OSError):
                print(f"---- {log.name}\n{log.read_text()[-4_000:]}")
        assert findings == []
        return book

    return play_it


def packets(book: Book) -> list[int]:
    """Return how many packets each broken link has lost or held up, in the order of the plan."""
    words = [hurt.detail.split() for hurt in book.hurts if hurt.side]
    return [int(word[word.index("packets") - 1]) for word in words]
