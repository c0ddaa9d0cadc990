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


def test_a_book_knows_what_was_promised_and_when_everybody_was_reached() -> None:
    good = Outcome.DELIVERED
    book = Book(
        {
            1: ("a", good),
            2: ("a", None),
            3: ("a", Outcome.UNKNOWN),
            4: ("b", good),
            5: ("b", Outcome.QUEUED),
            6: ("b", good),
        },
        {1: 9.0, 3: 14.0, 4: 9.5, 6: 16.0},
    )
    assert book.missing() == [5]
    assert book.back_at() == 16.0
    book.said[7] = ("b", None)
    assert book.back_at() == float("inf")
