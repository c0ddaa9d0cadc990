"""The cost model: what a message costs in each mode with N nodes, fitted to measured cells. Pure.

CPU seconds of nodes and store per 10,000 messages, as a function of the number of nodes N, of the
users U and of the messages per second R:

    alpha + beta * f(N) + 10,000 / R * (per_node * N + per_user * U)

- Where a message goes to every node (broadcast, fanout), f(N) = N: each of them is woken, parses
  and compares it.
- Where it goes to one node (routed, channel), f(N) = N / B * (1 - (1 - 1/N)^B): how many different
  nodes B messages reach that travel together, for each of them. Nodes share no work, but fewer
  messages share a wake-up, until each has one of its own and f(N) = 1. B is what is under way
  together: the bound at full load, 2 at a fixed rate.

The last term is the background (heartbeats, pings), measured by itself while nothing is sent. alpha
and beta are fitted to the medians of the cells by least squares of the relative distance, neither
below zero: no mode gets cheaper by waking more nodes. Crossings leave the background out: it is the
same heartbeats in each mode, and what it differs by is noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from scripts.comparison.document import Background, Cell, Crossing, Fit, Model
from scripts.comparison.options import MODES, ROUTED, ROUTED_DELIVERED
from scripts.comparison.summary import REGIMES, cpu_total, pick
from scripts.measuring.cell import PER, Idle

MAX_NODES = 1000
FORMULA = (
    "CPU seconds of nodes and store per 10,000 messages = alpha + beta * f(nodes) "
    "+ 10000 / per_second * (per_node * nodes + per_user * users); f(N) = N where every node gets "
    "every message (broadcast, fanout), f(N) = N / B * (1 - (1 - 1/N)^B) where one node gets it "
    "(routed, channel), B the messages that travel together"
)
TOGETHER_AT_RATE = 2
Shape = Literal["directed", "spread"]
_SPREAD = frozenset({"broadcast", "fanout"})


def shape_of(mode: str) -> Shape:
    """Return how a mode grows with the number of nodes."""
    return "spread" if mode in _SPREAD else "directed"


def growth(shape: Shape, nodes: float, together: int) -> float:
    """Return f(N) of the model.

    Args:
        together: messages that travel together, B.
    """
    if shape == "spread":
        return nodes
    return nodes / together * (1 - (1 - 1 / nodes) ** together)


def line(points: Sequence[tuple[float, float]], relative: bool = True) -> tuple[float, float]:
    """Return (a, b) of the line a + b * x nearest to the points, neither below zero.

    Args:
        points: at least one; y above zero.
        relative: weigh distances by 1 / y, so that small values count as much as large ones.
    """
    weights = [1 / (y * y) if relative else 1.0 for _, y in points]
    sums = [
        sum(w * value for w, value in zip(weights, values, strict=True))
        for values in (
            [1.0] * len(points),
            [x for x, _ in points],
            [y for _, y in points],
            [x * x for x, _ in points],
            [x * y for x, y in points],
        )
    ]
    one, x1, y1, xx, xy = sums
    determinant = one * xx - x1 * x1
    if len(points) > 1 and determinant > 0:
        a, b = (y1 * xx - x1 * xy) / determinant, (one * xy - x1 * y1) / determinant
        if a >= 0 and b >= 0:
            return a, b
        if a < 0:
            return 0.0, max(xy / xx, 0.0)
    return y1 / one, 0.0


def background_of(idle: Sequence[Idle], users: int) -> list[Background]:
    """Return each mode's background, from clusters of different size with the same users."""
    found: list[Background] = []
    for mode in dict.fromkeys(one.cluster for one in idle):
        points = [
            (float(one.nodes), one.cpu_nodes + one.cpu_store) for one in idle if one.cluster == mode
        ]
        constant, per_node = line([(x, max(y, 1e-9)) for x, y in points], relative=False)
        found.append(Background(mode, per_node, constant / users))
    return found


def background(model: Sequence[Background], mode: str, nodes: float, users: int) -> float:
    """Return CPU seconds per second of an idle cluster; 0 for a mode without measurement."""
    kind = MODES[mode].cluster if mode in MODES else mode
    return sum(one.per_node * nodes + one.per_user * users for one in model if one.mode == kind)


def message_cost(fit: Fit, nodes: float) -> float:
    """Return what the model says a message costs without the background, as `cost`."""
    return fit.alpha + fit.beta * growth(fit.shape, nodes, fit.together)


def cost(model: Model, fit: Fit, nodes: float, users: int, rate: float | None = None) -> float:
    """Return what the model says of `nodes` nodes, CPU seconds per 10,000 messages.

    Args:
        rate: messages per second; None for those the fit was made at.
    """
    idle = background(model.background, fit.mode, nodes, users)
    return message_cost(fit, nodes) + idle * PER / (rate or fit.per_second)


def fit_model(
    cells: Sequence[Cell], backgrounds: Sequence[Background], users: int, outstanding: int
) -> Model:
    """Return the model of a run; a mode measured with one number of nodes gets no fit.

    Args:
        backgrounds: see `background_of`.
        users: of the cells.
        outstanding: messages under way at full load.
    """
    together = {"full": outstanding, "rate": TOGETHER_AT_RATE}
    fits = [
        fit
        for regime in REGIMES
        for mode in dict.fromkeys(cell.mode for cell in cells)
        if (fit := _fit(_medians(cells, backgrounds, mode, regime, users), together[regime]))
    ]
    return Model(FORMULA, fits, list(backgrounds), _crossings(fits))


@dataclass(frozen=True, slots=True)
class _Medians:
    """The medians of one mode under one load.

    Args:
        points: (nodes, CPU without background, CPU).
        per_second: messages.
    """

    mode: str
    regime: Literal["full", "rate"]
    points: list[tuple[int, float, float]]
    per_second: float


def _medians(
    cells: Sequence[Cell],
    backgrounds: Sequence[Background],
    mode: str,
    regime: Literal["full", "rate"],
    users: int,
) -> _Medians:
    points: list[tuple[int, float, float]] = []
    speeds: list[float] = []
    for nodes in sorted({cell.nodes for cell in cells}):
        mine = pick(cells, mode, nodes, regime)
        if mine:
            total = median(map(cpu_total, mine))
            speeds.append(max(median(cell.per_second for cell in mine), 1e-9))
            idle = background(backgrounds, mode, nodes, users) * PER / speeds[-1]
            points.append((nodes, max(total - idle, 1e-9), total))
    return _Medians(mode, regime, points, median(speeds) if speeds else 0.0)


def _fit(medians: _Medians, together: int) -> Fit | None:
    """Return the constants of one mode under one load; None when there is too little."""
    if len(medians.points) < 2:
        return None
    shape = shape_of(medians.mode)
    places = [growth(shape, nodes, together) for nodes, _, _ in medians.points]
    alpha, beta = line([(x, y) for x, (_, y, _) in zip(places, medians.points, strict=True)])
    error = max(
        abs(alpha + beta * x - y) / total
        for x, (_, y, total) in zip(places, medians.points, strict=True)
    )
    speed = medians.per_second
    return Fit(medians.mode, medians.regime, shape, together, alpha, beta, speed, error)


def _crossings(fits: Sequence[Fit]) -> list[Crossing]:
    """Return where each other mode's curve meets that of routed, without the background."""
    return [
        Crossing(other.mode, other.regime, _from(routed, other))
        for routed in fits
        if routed.mode == ROUTED
        for other in fits
        if other.regime == routed.regime and other.mode not in {ROUTED, ROUTED_DELIVERED}
    ]


def _from(routed: Fit, other: Fit) -> int | None:
    """Return from how many nodes on routed costs less, up to the end of the model."""
    found: int | None = None
    for nodes in range(MAX_NODES, 0, -1):
        if message_cost(other, nodes) <= message_cost(routed, nodes):
            break
        found = nodes
    return found
