"""The table and the JSON document of a scale bench."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmark.scale.options import Options
from scripts.benchmark.scale.rows import Row
from scripts.benchmark.scale.run import Results
from scripts.measuring.machine import machine, versions
from scripts.measuring.meter import cpu_source

_VERDICTS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
NOTES = (
    "The store is {store}, append-only file on, over TCP. CPU: {source}.",
    "A value with a range is a median (lowest - highest).",
)


def document(options: Options, results: Results) -> dict[str, Any]:
    """Return the whole run as JSON types."""
    return {
        "machine": machine(),
        "versions": versions(results.store_version),
        "settings": {**asdict(options), "cpu_source": cpu_source()},
        "rows": [row.dump() for row in results.rows],
        "facts": results.facts,
        "charts": [asdict(chart) for chart in results.charts],
    }


def show(console: Console, options: Options, results: Results) -> None:
    """Print the figures that have an aim, then the others."""
    kind = "quick" if options.quick else "full"
    with_aim = [row for row in results.rows if row.aim is not None]
    others = [row for row in results.rows if row.aim is None]
    console.print(_table(f"scale, {options.users:,} users, {kind} run", with_aim, aims=True))
    if others:
        console.print(_table("what is behind them", others, aims=False))
    for row in results.rows:
        if row.note:
            console.print(f"{row.figure}: {row.note}", style="dim", highlight=False)
    for note in NOTES:
        text = note.format(store=results.store_version, source=cpu_source())
        console.print(text, style="dim", highlight=False)


def _table(title: str, rows: list[Row], *, aims: bool) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(("figure", "measured", "unit", "size", "aim", "")):
        if aims or number < 4:
            table.add_column(column, justify="right" if column == "measured" else "left")
    for row in rows:
        cells = [row.figure, row.shown(), row.unit, row.size]
        if aims:
            cells += [f"<= {row.aim:g} {row.unit}".rstrip(), _VERDICTS[row.met]]
        table.add_row(*cells)
    return table
