"""Brings the repeats of a run together: medians, spreads, ratios, aims. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from scripts.benchmark.options import HEADLINE_OUTSTANDING, METERED, ONE_BY_ONE, UNMETERED, Options
from scripts.measuring.cell import Cell
from scripts.measuring.modes import Mode, Regime
from scripts.measuring.stats import Spread, ratios

Figure = Callable[[Cell], float]

CHANNEL = "channel"
METRICS_AIM = 1.05
"""What CPU of the nodes with metrics may be, to that without."""
AIMS = {
    "full": {1: 0.4, 4: 0.35, 16: 0.35},
    "rate": {1: 1.1, 4: 0.85, 16: 0.8},
}
FIGURES: dict[str, Figure] = {
    name.rpartition(".")[2]: attrgetter(name)
    for name in (
        "flow.per_second",
        "flow.p50_ms",
        "flow.p95_ms",
        "flow.p99_ms",
        "cost.cpu_nodes",
        "cost.cpu_store",
        "cost.cpu_sender",
        "cost.cpu_clients",
        "cost.store_commands",
        "cost.store_bytes_in",
        "cost.store_bytes_out",
    )
}


def cpu_total(cell: Cell) -> float:
    """Return the CPU of nodes and store, seconds per 10,000 messages."""
    return cell.cost.cpu_nodes + cell.cost.cpu_store


@dataclass(frozen=True, slots=True)
class Row:
    """The repeats of one cell.

    Args:
        figures: name -> spread; `cpu_total` is nodes and store together.
        ratio: `cpu_total` to that of `channel`, repeat by repeat; None without it.
        ratio_one_by_one: the same to `one-by-one`.
        aim: what `ratio` should not exceed; None where nothing is promised.
    """

    mode: Mode
    nodes: int
    regime: Regime
    figures: dict[str, Spread]
    ratio: Spread | None
    ratio_one_by_one: Spread | None
    aim: float | None

    @property
    def met(self) -> bool | None:
        """Say whether the median keeps the aim; None where there is none or no yardstick."""
        if self.aim is None or self.ratio is None:
            return None
        return self.ratio.median <= self.aim


def rows(options: Options, cells: Sequence[Cell]) -> list[Row]:
    """Return one row for each mode, number of nodes and regime that has cells."""
    return [
        _row(cells, mode, nodes, regime)
        for regime in options.regimes()
        for nodes in options.nodes
        for mode in options.modes
        if _pick(cells, mode.name, nodes, regime)
    ]


def metrics_cost(options: Options, cells: Sequence[Cell]) -> list[tuple[int, Regime, Spread]]:
    """Return what metrics cost: (nodes, regime, CPU of nodes with them to without, by repeat)."""
    found: list[tuple[int, Regime, Spread]] = []
    for regime in options.regimes():
        for nodes in options.nodes:
            pair = [_pick(cells, name, nodes, regime) for name in (METERED, UNMETERED)]
            if all(pair) and len(pair[0]) == len(pair[1]):
                on, off = ([cell.cost.cpu_nodes for cell in each] for each in pair)
                found.append((nodes, regime, Spread.of(ratios(on, off))))
    return found


def _row(cells: Sequence[Cell], mode: Mode, nodes: int, regime: Regime) -> Row:
    mine = _pick(cells, mode.name, nodes, regime)
    figures = {name: _spread(mine, figure) for name, figure in FIGURES.items()}
    figures["cpu_total"] = _spread(mine, cpu_total)
    promised = mode.cluster == "routed" and regime.outstanding in (0, HEADLINE_OUTSTANDING)
    return Row(
        mode,
        nodes,
        regime,
        figures,
        ratio=_ratio(mine, _pick(cells, CHANNEL, nodes, regime)),
        ratio_one_by_one=_ratio(mine, _pick(cells, ONE_BY_ONE, nodes, regime)),
        aim=AIMS[regime.name].get(nodes) if promised else None,
    )


def _pick(cells: Sequence[Cell], mode: str, nodes: int, regime: Regime) -> list[Cell]:
    return [
        cell for cell in cells if (cell.mode.name, cell.nodes, cell.regime) == (mode, nodes, regime)
    ]


def _spread(cells: list[Cell], figure: Figure) -> Spread:
    return Spread.of([figure(cell) for cell in cells])


def _ratio(mine: list[Cell], yardstick: list[Cell]) -> Spread | None:
    if len(mine) != len(yardstick):
        return None
    tops = [cpu_total(cell) for cell in mine]
    return Spread.of(ratios(tops, [cpu_total(cell) for cell in yardstick]))
