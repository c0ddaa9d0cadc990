import msgspec
import pytest

from scripts.comparison.aims import Aim, aims
from scripts.comparison.document import Cell, Document, Fault
from scripts.measuring.stats import Spread
from tests.support.comparison import RECORDED

ORDER = ("0.4", "1", "1.4", "1", "1.25", "200", "1", "0", "0")
STREAM = Fault(
    mode="routed-durable",
    fault="node killed",
    nodes=4,
    messages=100,
    arrived=98,
    lost_silently=0,
    told=2,
    unsure=0,
    late=0,
    twice=0,
    slowest_ms=1.0,
    outcomes={},
)


def cell(mode: str, nodes: int, regime: str, repeat: int = 0, **figures: float) -> Cell:
    nothing = dict.fromkeys(("cpu_nodes", "cpu_store", "cpu_sender"), 0.0)
    return msgspec.structs.replace(
        RECORDED.cells[0],
        mode=mode,
        nodes=nodes,
        regime=regime,
        repeat=repeat,
        **{**nothing, **figures},
    )


def document(*cells: Cell, faults: tuple[Fault, ...] = (), **settings: object) -> Document:
    return msgspec.structs.replace(
        RECORDED,
        cells=list(cells),
        faults=list(faults),
        settings={"rate": 500.0, "outstanding": 128, **settings},
    )


def test_the_aims_are_those_that_were_set_at_the_beginning() -> None:
    assert tuple(f"{aim.most:g}" for aim in aims(RECORDED)) == ORDER


def test_an_empty_run_has_measured_none() -> None:
    assert {aim.verdict for aim in aims(document())} == {"not measured"}


@pytest.mark.parametrize(("broadcast", "verdict"), [(5.0, "reached"), (4.9, "missed")])
def test_ratios_are_those_of_nodes_and_store_repeat_by_repeat(
    broadcast: float, verdict: str
) -> None:
    found = aims(
        document(
            *(cell("routed", 16, "rate", n, cpu_nodes=1.5, cpu_store=0.5) for n in range(3)),
            *(cell("broadcast", 16, "rate", n, cpu_nodes=broadcast) for n in range(2)),
            cell("broadcast", 16, "rate", 2, cpu_nodes=50.0),
        )
    )
    assert found[0].seen == Spread(2 / broadcast, 2 / 50, 2 / broadcast)
    assert found[0].verdict == verdict
    assert found[1].verdict == "not measured"


def test_growth_is_against_the_median_with_one_node() -> None:
    ones = [cell("routed", 1, "rate", n, cpu_nodes=cpu) for n, cpu in enumerate((1.0, 2.0, 9.0))]
    found = aims(document(*ones, cell("routed", 16, "rate", cpu_nodes=2.6)))
    assert found[2].seen == Spread(1.3, 1.3, 1.3)


def test_the_worst_of_all_sizes_and_loads_counts_against_channel_with_its_sender() -> None:
    cells = [
        cell("routed", 1, "full", cpu_nodes=1.0, cpu_sender=1.0),
        cell("channel", 1, "full", cpu_nodes=1.0, cpu_sender=1.0),
        cell("routed", 4, "rate", cpu_nodes=1.0, cpu_sender=2.0),
        cell("channel", 4, "rate", cpu_nodes=1.0, cpu_sender=1.0),
    ]
    found = aims(document(*cells))[4]
    assert found.seen == Spread(1.5, 1.5, 1.5)
    assert (found.where, found.verdict) == ("4 nodes, 500/s", "missed")


def test_another_load_or_size_stands_for_nothing() -> None:
    cells = (cell("routed", 16, "full", store_commands=0.5),)
    assert aims(document(*cells))[6].verdict == "reached"
    assert aims(document(*cells, outstanding=64))[6].verdict == "not measured"
    bigger = msgspec.structs.replace(cells[0], size_bytes=200)
    assert aims(document(bigger))[6].verdict == "not measured"


@pytest.mark.parametrize(("lost", "verdict"), [(0, "reached"), (1, "missed")])
def test_one_durable_message_lost_in_silence_is_too_many(lost: int, verdict: str) -> None:
    streams = (STREAM, msgspec.structs.replace(STREAM, lost_silently=lost))
    others = (msgspec.structs.replace(STREAM, mode="routed", lost_silently=9),)
    assert aims(document(faults=streams + others))[7].verdict == verdict


def test_without_durable_messages_nothing_is_known_of_them() -> None:
    others = (msgspec.structs.replace(STREAM, mode="routed"),)
    assert aims(document(faults=others))[7].verdict == "not measured"


def test_the_median_decides() -> None:
    assert Aim("f", 1.0, Spread(1.0, 0.5, 9.0)).verdict == "reached"
