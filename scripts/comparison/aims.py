"""What the comparison must show, and what a run has shown of it. Pure.

The aims are older than the figures: they were set when the project began, and stay as they are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from scripts.comparison.document import Cell, Document
from scripts.comparison.options import OUTSTANDING, ROUTED, ROUTED_DURABLE
from scripts.comparison.summary import REGIMES, Figure, cpu_all, cpu_total, pick
from scripts.measuring.stats import Spread, ratios

RATE = 500.0
SIZE_BYTES = 100
FEW, SOME, MANY = 1, 4, 16

Verdict = Literal["reached", "missed", "not measured"]


@dataclass(frozen=True, slots=True)
class Aim:
    """One figure.

    Args:
        figure: what is looked at.
        most: what it may be at most.
        seen: medians and ends of the repeats; None where the run did not measure it.
        where: what the figure is of, where it is the worst of several; else "".
    """

    figure: str
    most: float
    seen: Spread | None
    where: str = ""

    @property
    def verdict(self) -> Verdict:
        """Return what became of it: the median decides."""
        if self.seen is None:
            return "not measured"
        return "reached" if self.seen.median <= self.most else "missed"


def aims(document: Document) -> list[Aim]:
    """Return every aim, in the order of the issue that set them."""
    cells = _like_ours(document)
    against = f"CPU of nodes and store, {ROUTED} : broadcast"
    rate = f"{RATE:g}/s"
    full = f"full load, {OUTSTANDING} under way"
    return [
        Aim(f"{MANY} nodes, {rate}: {against}", 0.4, _ratio(cells, "broadcast", MANY, "rate")),
        Aim(f"{SOME} nodes, {rate}: {against}", 1.0, _ratio(cells, "broadcast", SOME, "rate")),
        Aim(
            f"{rate}: CPU of the nodes, {ROUTED} with {MANY} nodes : with {FEW}",
            1.4,
            _grown(cells, lambda cell: cell.cpu_nodes),
        ),
        Aim(f"{MANY} nodes, {full}: {against}", 1.0, _ratio(cells, "broadcast", MANY, "full")),
        _worst(
            f"full load and {rate}, any number of nodes: CPU of all processes, {ROUTED} : channel",
            1.25,
            (
                (_where(nodes, regime), _ratio(cells, "channel", nodes, regime, cpu_all))
                for regime in REGIMES
                for nodes in _sizes(cells)
            ),
        ),
        _worst(
            f"bytes out of the store per message of {SIZE_BYTES} B, {ROUTED}, any number of nodes",
            200,
            _each(cells, lambda cell: cell.store_bytes_out),
        ),
        Aim(
            f"{MANY} nodes, {full}: store commands per message, {ROUTED}",
            1.0,
            _spread(pick(cells, ROUTED, MANY, "full"), lambda cell: cell.store_commands),
        ),
        Aim(
            f"messages lost silently while things break, {ROUTED_DURABLE}",
            0,
            _silent(document),
        ),
        _worst(f"wasted deliveries, {ROUTED}", 0, _each(cells, lambda cell: cell.wasted)),
    ]


def _like_ours(document: Document) -> list[Cell]:
    """Return the cells that were measured as the aims say; none stands for another."""
    settings = document.settings
    return [
        cell
        for cell in document.cells
        if cell.size_bytes == SIZE_BYTES
        and settings.get("rate" if cell.regime == "rate" else "outstanding")
        == (RATE if cell.regime == "rate" else OUTSTANDING)
    ]


def _sizes(cells: Iterable[Cell]) -> list[int]:
    return sorted({cell.nodes for cell in cells})


def _where(nodes: int, regime: str) -> str:
    load = "full load" if regime == "full" else f"{RATE:g}/s"
    return f"{nodes} {'node' if nodes == 1 else 'nodes'}, {load}"


def _spread(cells: Sequence[Cell], figure: Figure) -> Spread | None:
    return Spread.of([figure(cell) for cell in cells]) if cells else None


def _ratio(
    cells: Sequence[Cell], other: str, nodes: int, regime: str, figure: Figure = cpu_total
) -> Spread | None:
    """Return routed : other, repeat by repeat."""
    tops = {cell.repeat: figure(cell) for cell in pick(cells, ROUTED, nodes, regime)}
    bottoms = {cell.repeat: figure(cell) for cell in pick(cells, other, nodes, regime)}
    both = sorted(tops.keys() & bottoms.keys())
    if not both:
        return None
    return Spread.of(ratios([tops[n] for n in both], [bottoms[n] for n in both]))


def _grown(cells: Sequence[Cell], figure: Figure) -> Spread | None:
    """Return the most by the fewest nodes; the two were not measured side by side."""
    few, many = (pick(cells, ROUTED, nodes, "rate") for nodes in (FEW, MANY))
    bottom = _spread(few, figure)
    return Spread.of([figure(cell) / bottom.median for cell in many]) if bottom and many else None


def _each(
    cells: Sequence[Cell], figure: Callable[[Cell], float]
) -> Iterable[tuple[str, Spread | None]]:
    for regime in REGIMES:
        for nodes in _sizes(cells):
            yield _where(nodes, regime), _spread(pick(cells, ROUTED, nodes, regime), figure)


def _worst(figure: str, most: float, each: Iterable[tuple[str, Spread | None]]) -> Aim:
    """Return the aim with the largest median of several."""
    seen = [(spread, where) for where, spread in each if spread is not None]
    if not seen:
        return Aim(figure, most, None)
    spread, where = max(seen, key=lambda one: one[0].median)
    return Aim(figure, most, spread, where)


def _silent(document: Document) -> Spread | None:
    lost = [row.lost_silently for row in document.faults if row.mode == ROUTED_DURABLE]
    return Spread(sum(lost), min(lost), max(lost)) if lost else None
