"""The tables on stdout."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from scripts.comparison.aims import aims
from scripts.comparison.document import Document
from scripts.comparison.model import MAX_NODES
from scripts.comparison.summary import Row, cpu_all, rows, wrongs
from scripts.comparison.words import LOADS, load_of, verdicts
from scripts.measuring.stats import Spread

_TEXT = frozenset({"mode", "load", "than", "f(N)", "of", "verdict"})


def tables(document: Document) -> list[Table]:
    """Return a table for each part that was measured; what a run must show has one of its own."""
    every = rows(document.cells)
    found = [
        _cells(mine, regime, document)
        for regime in LOADS
        if (mine := [row for row in every if row.regime == regime])
    ]
    parts: tuple[tuple[Sequence[object], Callable[[Document], Table]], ...] = (
        (document.multicast, _multicast),
        (document.logins, _logins),
        (document.faults, _faults),
        (document.sticky, _sticky),
        (document.model.fits, _fits),
        (document.model.crossings, _crossings),
    )
    return [*found, *(table(document) for rows_of, table in parts if rows_of)]


def aims_table(document: Document) -> list[Table]:
    """Return the table of the aims; none where the run measured nothing that they are about."""
    found = aims(document)
    if all(aim.seen is None for aim in found):
        return []
    table = _table(
        "limits set before there was anything to measure; seen: median (lowest - highest) of the "
        "repeats, and the median counts",
        *("figure", "at most", "seen", "verdict", "of"),
    )
    for aim in found:
        seen = "" if aim.seen is None else _spread(aim.seen, 0 if aim.most > 2 else 2)
        verdict = f"[red]{aim.verdict}[/]" if aim.verdict == "missed" else aim.verdict
        table.add_row(aim.figure, f"{aim.most:g}", seen, verdict, aim.where)
    return [table]


def plain(cell: object) -> str:
    """Return the text of a cell without rich's marks."""
    return str(cell).removeprefix("[red]").removesuffix("[/]")


def show(console: Console, document: Document) -> None:
    """Print what a run found."""
    for table in (*tables(document), *aims_table(document)):
        console.print(table)
    for sentence in verdicts(document):
        console.print(f"- {sentence}", highlight=False)
    for wrong in wrongs(document):
        console.print(f"FAULT: {wrong}", style="bold red", highlight=False)


def _cells(mine: Sequence[Row], regime: str, document: Document) -> Table:
    settings, load = document.settings, load_of(document, regime)
    table = _table(
        f"{load}, {settings.get('size_bytes')} B, {settings.get('users')} users: CPU seconds per "
        "10,000 messages; median (lowest - highest)",
        "mode",
        "nodes",
        "CPU nodes + store",
        "ratio to routed",
        "with sender",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "cmds",
        "bytes out",
        "wasted",
        "wrong",
    )
    for number, row in enumerate(mine):
        last = number + 1 == len(mine) or mine[number + 1].nodes != row.nodes
        table.add_row(
            row.mode,
            str(row.nodes),
            _spread(row.total, 2),
            _spread(row.ratio, 2) if row.ratio else "",
            f"{row.spread(cpu_all).median:.2f}",
            _number(row.middle("per_second"), 0),
            _number(row.middle("p50_ms"), 2),
            _number(row.middle("p99_ms"), 2),
            _number(row.middle("store_commands"), 2),
            _number(row.middle("store_bytes_out"), 0),
            _number(row.middle("wasted"), 2),
            str(sum(row.faults)),
            end_section=last,
        )
    return table


def _multicast(document: Document) -> Table:
    cells = document.multicast
    table = _table(
        f"one message to {cells[0].users} users, {cells[0].nodes} nodes: CPU ms per message",
        *("mode", "nodes CPU", "store CPU", "sender CPU"),
        *("envelopes", "commands", "bytes out", "p99 ms"),
    )
    names = (
        *("cpu_nodes_ms", "cpu_store_ms", "cpu_sender_ms", "envelopes"),
        *("store_commands", "store_bytes_out", "p99_ms"),
    )
    for mode in dict.fromkeys(cell.mode for cell in cells):
        mine = [cell for cell in cells if cell.mode == mode]
        values = [[value for c in mine if (value := getattr(c, n)) is not None] for n in names]
        shown = [_number(Spread.of(v).median if v else None, 2) for v in values]
        table.add_row(mode, *shown)
    return table


def _logins(document: Document) -> Table:
    first = document.logins[0]
    table = _table(
        f"{first.users} users, {first.nodes} nodes: CPU microseconds of nodes and store per user",
        *("mode", "login", "commands", "logins/s", "logout", "store restart", "all reachable"),
    )
    for row in document.logins:
        after = row.restart_reachable_s
        table.add_row(
            row.mode,
            f"{row.login_us:.0f}",
            f"{row.login_commands:.1f}",
            f"{row.logins_per_second:.0f}",
            f"{row.logout_us:.0f}",
            f"{row.restart_us:.0f}",
            "never" if after is None else f"after {after:.1f} s",
        )
    return table


def _faults(document: Document) -> Table:
    table = _table(
        "messages of a steady stream while something breaks",
        *("fault", "mode", "sent", "arrived", "lost silently", "lost, told", "arrived, unsure"),
        *("late", "twice", "slowest s"),
    )
    order = {mode: number for number, mode in enumerate(document.settings.get("modes", ()))}
    kinds = list(dict.fromkeys(row.fault for row in document.faults))
    ordered = sorted(
        document.faults, key=lambda row: (kinds.index(row.fault), order.get(row.mode, 0))
    )
    for row in ordered:
        table.add_row(
            row.fault,
            row.mode,
            *(str(n) for n in (row.messages, row.arrived)),
            f"[red]{row.lost_silently}[/]" if row.lost_silently else "0",
            *(str(n) for n in (row.told, row.unsure, row.late, row.twice)),
            "" if row.slowest_ms is None else f"{row.slowest_ms / 1000:.2f}",
        )
    return table


def _sticky(document: Document) -> Table:
    table = _table(
        "users placed by a hash of their IP address, nodes without a bus",
        *("nodes", "users", "messages", "delivered", "cannot be delivered", "(N-1)/N"),
    )
    for row in document.sticky:
        table.add_row(
            *(str(n) for n in (row.nodes, row.users, row.messages, row.delivered)),
            f"{row.undelivered_share:.1%}",
            f"{row.expected_share:.1%}",
        )
    return table


def _fits(document: Document) -> Table:
    table = _table(
        "model: CPU seconds per 10,000 messages = alpha + beta x f(nodes) + background",
        *("mode", "load", "f(N)", "alpha", "beta", "largest distance from a median"),
    )
    for fit in document.model.fits:
        shape = "every node" if fit.shape == "spread" else f"one node, B = {fit.together}"
        figures = (f"{fit.alpha:.3f}", f"{fit.beta:.4f}", f"{fit.error:.0%}")
        table.add_row(fit.mode, LOADS[fit.regime], shape, *figures)
    return table


def _crossings(document: Document) -> Table:
    table = _table("model: routed costs less from so many nodes on", "than", "load", "nodes")
    for row in document.model.crossings:
        nodes = f"not up to {MAX_NODES}" if row.nodes is None else str(row.nodes)
        table.add_row(row.mode, LOADS[row.regime], nodes)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        text = number == 0 or column in _TEXT
        table.add_column(column, justify="left" if text else "right", no_wrap=True)
    return table


def _number(value: float | None, digits: int) -> str:
    # Plus zero: what is a hair below it after the background was taken off is nothing.
    return "" if value is None else f"{round(value, digits) + 0.0:,.{digits}f}"


def _spread(spread: Spread, digits: int) -> str:
    low, middle, high = (f"{v:.{digits}f}" for v in (spread.low, spread.median, spread.high))
    return middle if low == high else f"{middle} ({low}-{high})"
