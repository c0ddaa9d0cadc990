"""Which charts a run gives. Pure."""

from collections.abc import Callable, Iterator, Sequence

from scripts.comparison.chart import Chart, Point, Series
from scripts.comparison.document import Cell, Document, Fit
from scripts.comparison.model import MAX_NODES, cost
from scripts.comparison.summary import Row, cpu_total, rows
from scripts.comparison.words import load_of
from scripts.measuring.stats import Spread

NODES = "nodes"
_CPU = "CPU s per 10,000 messages"
_COLOURS = ("routed", "channel", "broadcast", "fanout", "routed-delivered")
_CURVE_POINTS = 40


def charts(document: Document) -> list[Chart]:
    """Return the charts that the document has figures for."""
    every = rows(document.cells)
    return [*_costs(document, every), *_others(document, every), *_models(document, every)]


def _costs(document: Document, every: Sequence[Row]) -> Iterator[Chart]:
    for regime in ("rate", "full"):
        mine = [row for row in every if row.regime == regime]
        title = f"CPU of nodes and store, {load_of(document, regime)}"
        note = "median; the bar is the lowest and the highest repeat"
        if mine:
            series = _series(mine, cpu_total)
            yield Chart(f"cpu-{regime}", title, NODES, _CPU, series, note=note)


def _others(document: Document, every: Sequence[Row]) -> Iterator[Chart]:
    """Yield what else grows or does not grow with the number of nodes."""
    load = {regime: load_of(document, regime) for regime in ("full", "rate")}
    plots: tuple[tuple[str, str, str, str, Callable[[Cell], float]], ...] = (
        ("wasted", "rate", "Nodes that received a message for nothing", "per message", _wasted),
        ("bytes", "rate", "Bytes out of the store", "bytes per message", _bytes_out),
        ("speed", "full", "Messages per second", "messages/s", _speed),
        ("delay", "rate", "Delay from send to receipt, 99 of 100", "ms", _p99),
    )
    for name, regime, title, unit, figure in plots:
        mine = [row for row in every if row.regime == regime]
        if mine:
            yield Chart(name, f"{title}, {load[regime]}", NODES, unit, _series(mine, figure))


def _models(document: Document, every: Sequence[Row]) -> Iterator[Chart]:
    for regime in ("rate", "full"):
        fits = [fit for fit in document.model.fits if fit.regime == regime]
        mine = [row for row in every if row.regime == regime]
        series = [
            Series(one.name, one.colour, one.points, _curve(document, fit))
            for fit in fits
            for one in _series([row for row in mine if row.mode == fit.mode], cpu_total)
        ]
        title = f"Model of CPU of nodes and store, {load_of(document, regime)}"
        note = "only the dots are measured; the curves are fitted to them; logarithmic axes"
        if series:
            yield Chart(f"model-{regime}", title, NODES, _CPU, series, True, note)


def _curve(document: Document, fit: Fit) -> list[tuple[float, float]]:
    users = int(document.settings.get("users", 0))
    steps = range(_CURVE_POINTS + 1)
    nodes = [float(MAX_NODES) ** (step / _CURVE_POINTS) for step in steps]
    return [(count, cost(document.model, fit, count, users)) for count in nodes]


def _series(mine: Sequence[Row], figure: Callable[[Cell], float]) -> list[Series]:
    return [
        Series(
            mode,
            f"mode-{mode if mode in _COLOURS else 'other'}",
            [_point(row.nodes, row.spread(figure)) for row in mine if row.mode == mode],
        )
        for mode in dict.fromkeys(row.mode for row in mine)
    ]


def _point(nodes: int, spread: Spread) -> Point:
    return Point(nodes, spread.median, spread.low, spread.high)


def _wasted(cell: Cell) -> float:
    return cell.wasted


def _bytes_out(cell: Cell) -> float:
    return cell.store_bytes_out


def _speed(cell: Cell) -> float:
    return cell.per_second


def _p99(cell: Cell) -> float:
    return cell.p99_ms or 0.0
