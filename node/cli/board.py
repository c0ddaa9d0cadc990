"""The picture that `switchboard watch` shows; what it shows is handed in, and nothing is asked."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from node.cli.logs import visible
from node.figures import ClusterFigures, NodeFigures
from router.model import OnlineUser

_REMEMBERED: Final = 120
_WIDE: Final = 110  # from here on a node has room for its address, process and loop
_USERS: Final = 14
_CHROME: Final = 9  # rows of headings and frames
_BARS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = " .:-=+*#%@"
_STATES: Final = {"live": "green", "draining": "yellow", "lost": "bold red"}
_GOOD: Final = frozenset({"acked", "delivered", "written", "accepted", "queued", "duplicate"})


@dataclass(slots=True)
class Board:
    """What is shown.

    Args:
        store: its address, without its password.
        figures: the cluster; None before the first look.
        users: those who came last, the latest first.
        of_first: among so many, when there are more than were looked at; None when all were.
        trouble: why the figures are old; "" while they are not.
        totals: messages a second, over the last looks.
    """

    store: str
    figures: ClusterFigures | None = None
    users: Sequence[OnlineUser] = ()
    of_first: int | None = None
    trouble: str = ""
    totals: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def take(self, figures: ClusterFigures) -> None:
        """Show these figures from now on."""
        self.figures, self.trouble = figures, ""
        self.totals.append(sum(rate or 0.0 for rate in figures.per_second.values()))

    def draw(self, width: int, height: int | None, *, unicode: bool = True) -> RenderableType:
        """Return the picture.

        Args:
            width: columns there are.
            height: rows there are; None for as many as it takes.
            unicode: whether block characters can be shown.
        """
        if self.figures is None:
            return Group(self._title(), Text(self.trouble or "looking ...", style="yellow"))
        figures = self.figures
        room = len(figures.nodes) if height is None else max(1, height - _CHROME - 6)
        shown = figures.nodes[:room]
        left = None if height is None else max(3, height - _CHROME - len(shown))
        parts: list[RenderableType] = [self._title(), _totals(figures, wide=width >= _WIDE)]
        if self.trouble:
            parts.append(Text(visible(self.trouble), style="bold red"))
        parts.append(_nodes(shown, len(figures.nodes) - len(shown), wide=width >= _WIDE))
        below = Table.grid(expand=True)
        below.add_column(ratio=9)
        below.add_column(ratio=11)
        bars = sparkline(self.totals, max(8, width * 9 // 20 - 4), unicode=unicode)
        below.add_row(_outcomes(figures, bars, left), self._latest(left))
        return Group(*parts, below)

    def _title(self) -> RenderableType:
        title = Table.grid(expand=True)
        title.add_column()
        title.add_column(justify="right")
        title.add_row(
            Text.assemble((" switchboard", "bold cyan"), (f"  {visible(self.store)}", "dim")),
            Text(f"{_clock(self.figures.at)} " if self.figures is not None else "", style="dim"),
        )
        return title

    def _latest(self, rows: int | None) -> Panel:
        most = _USERS if rows is None else rows
        title = "latest users"
        if self.of_first is not None:
            title += f" of the first {self.of_first:,}"
        table = _plain_table()
        table.add_column("user", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("nodes", no_wrap=True, overflow="ellipsis", max_width=16)
        table.add_column("since", justify="right", no_wrap=True)
        for user in self.users[: max(1, most - 1)]:
            table.add_row(
                Text(visible(user.user)),
                Text(visible(" ".join(user.nodes)), style="dim"),
                _clock(user.since),
            )
        if not self.users:
            table.add_row(Text("nobody is online", style="dim"), "", "")
        return _panel(table, title)


def sparkline(values: Sequence[float], width: int, *, unicode: bool) -> str:
    """Return the last values as a row of bars, the highest of them as the highest bar."""
    bars = _BARS if unicode else _PLAIN_BARS
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return (bars[1] * len(shown)).rjust(width)
    steps = len(bars) - 1
    heights = (min(steps, max(1, round(value / top * steps))) for value in shown)
    return "".join(bars[each] for each in heights).rjust(width)


def size(count: float | None) -> str:
    """Return bytes for people: `812 kB`, `64 MB`."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _totals(figures: ClusterFigures, *, wide: bool) -> Text:
    live = sum(node.state == "live" for node in figures.nodes)
    parts: list[tuple[str, str]] = [(f" {live}", "bold"), (" live", "")]
    for state in ("draining", "lost"):
        if number := sum(node.state == state for node in figures.nodes):
            parts += [(f"  {number}", _STATES[state]), (f" {state}", "")]
    latency = figures.latency_ms
    told = [("sessions", f"{figures.sessions:,}"), ("users", f"{figures.users:,}")]
    told += [("p50", _ms(latency.p50)), ("p99", _ms(latency.p99))]
    if wide:
        told += [("rescues", f"{figures.rescues:,}"), ("fences", f"{figures.fences:,}")]
    for label, value in told:
        parts += [("  ", ""), (f"{label} ", "dim"), (value, "bold")]
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _nodes(nodes: Sequence[NodeFigures], more: int, *, wide: bool) -> Panel:
    table = _plain_table()
    table.add_column("node", ratio=1, no_wrap=True, overflow="ellipsis", min_width=6)
    if wide:
        table.add_column("address", no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column("pid", justify="right")
    table.add_column("state", no_wrap=True)
    right = ["sessions", "inbox", "in/s", "out/s", "beat", "cpu", "memory"]
    for heading in [*right, "lag"] if wide else right:
        table.add_column(heading, justify="right", no_wrap=True)
    for node in nodes:
        extra = (Text(visible(node.address), style="dim"), f"{node.pid or ''}") if wide else ()
        lag = (_ms(node.lag_ms),) if wide else ()
        table.add_row(
            *(Text(visible(node.name), style="bold"), *extra),
            Text(visible(node.state), style=_STATES.get(node.state, "red")),
            *(f"{node.sessions:,}", Text(f"{node.inbox:,}", style=_full(node.inbox))),
            *(f"{node.received_per_second:,.1f}", f"{node.delivered_per_second:,.1f}"),
            "" if node.heartbeat_age_s is None else f"{node.heartbeat_age_s:.1f} s",
            "" if node.cpu_percent is None else f"{node.cpu_percent:.0f} %",
            *(size(node.rss_bytes), *lag),
        )
    if not nodes:
        table.add_row(Text("no node is running", style="dim"))
    return _panel(table, f"nodes, and {more} more" if more else "nodes")


def _outcomes(figures: ClusterFigures, bars: str, rows: int | None) -> Panel:
    table = _plain_table()
    table.add_column("messages a second", ratio=1)
    table.add_column("", justify="right")
    rates = figures.per_second
    ordered = [name for name in rates if rates[name]] + [n for n in rates if not rates[n]]
    if rows is not None:
        ordered = ordered[: max(1, rows - 2)]
    for name in (name for name in rates if name in ordered):
        rate = rates[name]
        style = "dim" if not rate else "green" if name in _GOOD else "yellow"
        shown = "-" if rate is None else f"{rate:,.1f}"
        table.add_row(Text(name, style=style), Text(shown, style=style))
    total = sum(rate or 0.0 for rate in rates.values())
    inside = Group(table, Text(bars, style="cyan", no_wrap=True))
    return _panel(inside, f"outcomes, {total:,.1f} in all")


def _plain_table() -> Table:
    return Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")


def _panel(inside: RenderableType, title: str) -> Panel:
    return Panel(inside, title=title, title_align="left", box=box.ROUNDED, border_style="dim")


def _full(waiting: int) -> str:
    return "yellow" if waiting >= 100 else ""


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def _clock(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%H:%M:%S}"
    except (OverflowError, ValueError, OSError):  # another hand wrote into the registry
        return "?"
