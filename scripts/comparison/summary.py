"""Brings the repeats of the cells together: medians, spreads, ratios to routed. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from scripts.comparison.document import Cell, Document, Multicast
from scripts.comparison.options import ROUTED
from scripts.measuring.stats import Spread, ratios

Figure = Callable[[Cell], float]

REGIMES: tuple[Literal["full", "rate"], ...] = ("full", "rate")


def cpu_total(cell: Cell) -> float:
    """Return the CPU of nodes and store, seconds per 10,000 messages."""
    return cell.cpu_nodes + cell.cpu_store


def cpu_all(cell: Cell) -> float:
    """Return the CPU of nodes, store and sender, seconds per 10,000 messages."""
    return cpu_total(cell) + cell.cpu_sender


@dataclass(frozen=True, slots=True)
class Row:
    """The repeats of one cell.

    Args:
        total: CPU of nodes and store, seconds per 10,000 messages.
        ratio: that of this mode to routed's, repeat by repeat; None for routed, or without it.
        ratio_all: the same with the sender's CPU.
        faults: messages lost, doubled and misdelivered in all repeats.
    """

    mode: str
    nodes: int
    regime: str
    cells: tuple[Cell, ...]
    total: Spread
    ratio: Spread | None
    ratio_all: Spread | None
    faults: tuple[int, int, int]

    def spread(self, figure: Figure) -> Spread:
        """Return the spread of a figure."""
        return Spread.of([figure(cell) for cell in self.cells])

    def middle(self, name: str) -> float | None:
        """Return the median of a field; None where nothing arrived."""
        values = [value for cell in self.cells if (value := getattr(cell, name)) is not None]
        return median(values) if values else None


def rows(cells: Sequence[Cell]) -> list[Row]:
    """Return one row for each regime, number of nodes and mode that has cells."""
    modes = list(dict.fromkeys(cell.mode for cell in cells))
    return [
        _row(cells, mode, nodes, regime)
        for regime in REGIMES
        for nodes in sorted({cell.nodes for cell in cells})
        for mode in modes
        if pick(cells, mode, nodes, regime)
    ]


def pick(cells: Sequence[Cell], mode: str, nodes: int, regime: str) -> list[Cell]:
    """Return the repeats of one cell, in order."""
    return sorted(
        (cell for cell in cells if (cell.mode, cell.nodes, cell.regime) == (mode, nodes, regime)),
        key=lambda cell: cell.repeat,
    )


def _row(cells: Sequence[Cell], mode: str, nodes: int, regime: str) -> Row:
    mine, routed = (pick(cells, name, nodes, regime) for name in (mode, ROUTED))
    return Row(
        mode,
        nodes,
        regime,
        tuple(mine),
        total=Spread.of([cpu_total(cell) for cell in mine]),
        ratio=_ratio(mine, routed, cpu_total),
        ratio_all=_ratio(mine, routed, cpu_all),
        faults=(
            sum(cell.lost for cell in mine),
            sum(cell.doubled for cell in mine),
            sum(cell.misdelivered for cell in mine),
        ),
    )


def _ratio(mine: list[Cell], routed: list[Cell], figure: Figure) -> Spread | None:
    """Return the ratios of the repeats that both have: a run may have been interrupted."""
    if not mine or mine[0].mode == ROUTED:
        return None
    bottoms = {cell.repeat: figure(cell) for cell in routed}
    both = [cell for cell in mine if cell.repeat in bottoms]
    if not both:
        return None
    return Spread.of(ratios([figure(cell) for cell in both], [bottoms[c.repeat] for c in both]))


def wrongs(document: Document) -> list[str]:
    """Return what routed did wrong where nothing was broken, one line each."""
    found: list[str] = []
    checked: list[tuple[Cell | Multicast, str]] = [(cell, cell.regime) for cell in document.cells]
    checked += [(cell, "multicast") for cell in document.multicast]
    for cell, what in checked:
        counts = {"lost": cell.lost, "doubled": cell.doubled, "misdelivered": cell.misdelivered}
        told = [f"{count} {what}" for what, count in counts.items() if count]
        if told and cell.mode.startswith(ROUTED):
            found.append(
                f"{cell.mode}, {cell.nodes} nodes, {what}, repeat {cell.repeat + 1}: "
                f"{', '.join(told)}"
            )
    return found
