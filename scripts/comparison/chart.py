"""Line charts as SVG, by hand: a few lines and points need no plotting library. Pure.

Colours are CSS classes, so that the page decides on light and dark; `<title>` elements tell the
figures also where no script runs.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 620, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 26, 40, 46
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A measured point, with the lowest and highest of its repeats."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour.

    Args:
        name: told in the legend.
        colour: CSS class of the colour.
        points: measured, drawn as dots with their spread.
        curve: (x, y) of a line; empty to join the points.
    """

    name: str
    colour: str
    points: Sequence[Point]
    curve: Sequence[tuple[float, float]] = ()

    @property
    def line(self) -> Sequence[tuple[float, float]]:
        """Return the corners of the line."""
        return self.curve or [(point.x, point.y) for point in self.points]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Args:
        name: of its file.
        title: what it shows.
        x_label, y_label: with unit.
        series: at least one, with at least one point or corner.
        logarithmic: both axes.
        note: said below the title.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    logarithmic: bool = False
    note: str = ""


class Scale:
    """Values of one axis to places on the picture.

    Args:
        low, high: the values at its ends.
        start, end: the places of its ends.
        logarithmic: equal distances for equal ratios.
    """

    def __init__(
        self, low: float, high: float, start: float, end: float, *, logarithmic: bool
    ) -> None:
        self._bend: Callable[[float], float] = math.log10 if logarithmic else float
        self.low, self.high = low, high
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return the place of a value."""
        bend = self._bend
        span = bend(self.high) - bend(self.low)
        share = (bend(value) - bend(self.low)) / span if span else 0.5
        return self._start + share * (self._end - self._start)


def nice_step(span: float, ticks: int = _TICKS) -> float:
    """Return the distance of ticks, 1, 2 or 5 times a power of ten."""
    raw = span / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


def ticks_of(low: float, high: float, *, logarithmic: bool) -> list[float]:
    """Return where an axis is labelled."""
    if logarithmic:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        return [10.0**power for power in range(first, last + 1)]
    step = nice_step(high - low)
    count = math.floor((high - low) / step + 1e-9)
    return [low + step * number for number in range(count + 1)]


def svg(chart: Chart, style: str = "") -> str:
    """Return the chart as an SVG element.

    Args:
        style: CSS to put into it, for a file of its own; "" inside a page that has it.
    """
    x, y = _scales(chart)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'class="chart" aria-label="{escape(chart.title)}">',
        f"{_words(chart)}<style>{style}</style>" if style else "",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{_LEFT}" y="18">{escape(chart.title)}</text>',
        f'<text class="note" x="{_LEFT}" y="33">{escape(chart.note)}</text>',
        *_axes(chart, x, y),
        *(_series(series, chart, x, y) for series in chart.series),
        *_legend(chart.series),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def _words(chart: Chart) -> str:
    """Return what is read out instead of the picture; in a page the figure says it."""
    what = f"{chart.y_label} against {chart.x_label}; {chart.note}"
    return f"<title>{escape(chart.title)}</title><desc>{escape(what)}</desc>"


def _scales(chart: Chart) -> tuple[Scale, Scale]:
    xs = [x for series in chart.series for x, _ in series.line]
    xs += [point.x for series in chart.series for point in series.points]
    ys = [y for series in chart.series for _, y in series.line]
    ys += [value for series in chart.series for p in series.points for value in (p.low, p.high)]
    log = chart.logarithmic
    if log:
        ys = [value for value in ys if value > 0]
        low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
        if low == high:
            high = low * 10
        x_low = min(xs)
    else:
        low, x_low = 0.0, 0.0
        top = max(*ys, 1e-9)
        step = nice_step(top)
        high = step * math.ceil(top / step - 1e-9)
    return (
        Scale(x_low, max(*xs, x_low + 1), _LEFT, WIDTH - _RIGHT, logarithmic=log),
        Scale(low, high, HEIGHT - _BOTTOM, _TOP, logarithmic=log),
    )


def _axes(chart: Chart, x: Scale, y: Scale) -> Iterable[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for value in ticks_of(y.low, y.high, logarithmic=chart.logarithmic):
        at = y.place(value)
        yield f'<path class="grid" d="M{_LEFT} {at:.1f}H{right}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">'
        yield f"{number(value)}</text>"
    for value in _x_ticks(chart, x):
        at = x.place(value)
        yield f'<path class="grid" d="M{at:.1f} {_TOP}V{bottom}"/>'
        yield f'<text class="tick" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">'
        yield f"{number(value)}</text>"
    middle = (_LEFT + right) / 2
    yield f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
    yield f"{escape(chart.x_label)}</text>"
    yield f'<text class="label" transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" '
    yield f'text-anchor="middle">{escape(chart.y_label)}</text>'


def _x_ticks(chart: Chart, x: Scale) -> list[float]:
    """Return the measured places, where there are few: they mean more than round numbers."""
    if chart.logarithmic:
        return ticks_of(x.low, x.high, logarithmic=True)
    measured = sorted({point.x for series in chart.series for point in series.points})
    return measured if len(measured) <= 12 else ticks_of(x.low, x.high, logarithmic=False)


def _series(series: Series, chart: Chart, x: Scale, y: Scale) -> str:
    def place(corner: tuple[float, float]) -> str:
        return f"{x.place(corner[0]):.1f} {y.place(max(corner[1], y.low)):.1f}"

    line = "L".join(place(corner) for corner in series.line)
    kind = "curve" if series.curve else "line"
    parts = [
        f'<g class="series {series.colour}" data-series="{escape(series.name)}">',
        f'<path class="{kind}" d="M{line}"/>',
    ]
    for point in series.points:
        at, level = x.place(point.x), y.place(max(point.y, y.low))
        low, high = (y.place(max(value, y.low)) for value in (point.low, point.high))
        told = (
            f"{series.name}, {chart.x_label} {number(point.x)}: {number(point.y)} "
            f"({number(point.low)} - {number(point.high)})"
        )
        parts += [
            f'<path class="spread" d="M{at:.1f} {low:.1f}V{high:.1f}"/>',
            f'<circle class="dot" cx="{at:.1f}" cy="{level:.1f}" r="4" tabindex="0" '
            f'data-told="{escape(told)}"><title>{escape(told)}</title></circle>',
        ]
    return "\n".join([*parts, "</g>"])


def _legend(series: Sequence[Series]) -> Iterable[str]:
    across = _LEFT + 10.0
    for one in series:
        yield (
            f'<g class="legend {one.colour}" data-series="{escape(one.name)}">'
            f'<path class="line" d="M{across} {_TOP + 10}h16"/>'
            f'<text class="tick" x="{across + 20}" y="{_TOP + 14}">{escape(one.name)}</text></g>'
        )
        across += 36 + 6.4 * len(one.name)


def number(value: float) -> str:
    """Return a number as short as it can be told."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
