import msgspec
import pytest

from scripts.comparison.document import Cell
from scripts.comparison.summary import cpu_all, cpu_total, rows, wrongs
from scripts.measuring.stats import Spread
from tests.support.comparison import RECORDED

LIKE = RECORDED.cells[0]


def cell(mode: str, repeat: int, cpu: float, sender: float = 0.0, lost: int = 0) -> Cell:
    return msgspec.structs.replace(
        LIKE,
        mode=mode,
        nodes=4,
        regime="rate",
        repeat=repeat,
        cpu_nodes=cpu,
        cpu_store=0.0,
        cpu_sender=sender,
        lost=lost,
    )


def test_ratios_are_taken_repeat_by_repeat() -> None:
    cells = [
        *(cell("routed", repeat, cpu) for repeat, cpu in enumerate((3.0, 7.0, 1.0))),
        *(cell("broadcast", repeat, cpu) for repeat, cpu in enumerate((6.0, 14.0, 3.0))),
    ]
    routed, broadcast = rows(cells)
    assert routed.ratio is None
    assert broadcast.ratio == Spread(2.0, 2.0, 3.0)


def test_a_repeat_that_only_one_mode_has_is_left_out_of_the_ratio() -> None:
    cells = [cell("routed", 0, 2.0), cell("channel", 0, 1.0), cell("channel", 1, 9.0)]
    assert rows(cells)[1].ratio == Spread(0.5, 0.5, 0.5)


def test_without_routed_there_is_no_ratio() -> None:
    (row,) = rows([cell("channel", 0, 1.0)])
    assert row.ratio is None


def test_the_sender_counts_in_one_ratio_only() -> None:
    cells = [cell("routed", 0, 1.0, sender=3.0), cell("channel", 0, 2.0, sender=0.0)]
    row = rows(cells)[1]
    assert row.ratio is not None
    assert row.ratio_all is not None
    assert (row.ratio.median, row.ratio_all.median) == (2.0, 0.5)


def test_totals_are_sums_of_their_parts() -> None:
    one = cell("routed", 0, 1.5, sender=0.25)
    assert (cpu_total(one), cpu_all(one)) == (1.5, 1.75)


@pytest.mark.parametrize(
    ("mode", "count"), [("routed", 1), ("routed-delivered", 1), ("channel", 0)]
)
def test_only_what_routed_did_wrong_is_a_fault_of_the_run(mode: str, count: int) -> None:
    document = msgspec.structs.replace(RECORDED, cells=[cell(mode, 0, 1.0, lost=2)], multicast=[])
    found = wrongs(document)
    assert len(found) == count
    assert all("2 lost" in line for line in found)


def test_a_recorded_run_has_nothing_wrong() -> None:
    assert wrongs(RECORDED) == []


def test_rows_come_by_load_then_nodes_then_mode() -> None:
    keys = [(row.regime, row.nodes) for row in rows(RECORDED.cells)]
    assert keys == sorted(keys)
    assert {row.faults for row in rows(RECORDED.cells)} == {(0, 0, 0)}
