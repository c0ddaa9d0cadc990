"""The parts of the scale bench with stores of several servers, small."""

from pathlib import Path

import pytest

from router.model import Outcome
from scripts.benchmark.scale import clusters, failover
from scripts.benchmark.scale.failover import Book
from scripts.benchmark.scale.options import Options
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.children import Children
from scripts.measuring.store import Stores


async def test_a_cluster_is_compared_with_a_single_server(tmp_path: Path) -> None:
    with Stores(tmp_path) as stores:
        async with Children(tmp_path) as children:
            options = Options(repeats=1, sends=400)
            stage = Stage(options, tmp_path, children, stores, lambda *_: None)
            found = await clusters.measure(stage)
    assert [row.aim for row in found] == [1.5, 1.5]
    assert all(row.value.median > 0 for row in found)


async def test_a_master_is_killed_and_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "_NODE_TIMEOUT_MS", 1_000)
    monkeypatch.setattr(failover, "RATE", 60)
    with Stores(tmp_path) as stores:
        async with Children(tmp_path) as children:
            options = Options(quick=True)
            stage = Stage(options, tmp_path, children, stores, lambda *_: None)
            lost, back = await failover.measure(stage)
    assert (lost.value.median, lost.aim) == (0, 0)
    assert back.value.median > 0


def test_a_book_knows_what_was_promised_and_when_everybody_was_back() -> None:
    good = Outcome.DELIVERED
    book = Book(
        {
            1: ("a", 9.0, good),
            2: ("a", 11.0, None),
            3: ("a", 14.0, good),
            4: ("b", 9.5, good),
            5: ("b", 12.0, Outcome.UNKNOWN),
            6: ("b", 13.0, Outcome.QUEUED),
            7: ("b", 16.0, good),
        },
        {1, 3, 4, 7},
    )
    assert book.missing() == [6]
    assert book.back_at(10.0) == 16.0
    book.said[8] = ("b", 17.0, None)
    assert book.back_at(10.0) == float("inf")
