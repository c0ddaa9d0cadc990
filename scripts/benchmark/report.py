"""The tables and the JSON document of a run."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmark.options import Options
from scripts.benchmark.summary import METRICS_AIM, Row, metrics_cost, rows
from scripts.measuring.machine import machine, versions
from scripts.measuring.meter import cpu_source
from scripts.measuring.modes import Regime
from scripts.measuring.run import Results
from scripts.measuring.stats import Spread

NOTES = (
    "CPU: {source}; sender and clients are apart and in no other figure.",
    "Outstanding: from the call of send until it has its answer and the client has the message.",
    "bare: prebuilt frames, one stream write each, no Redis; the nodes make the load themselves,"
    " and at full load write their share of what is outstanding once a loop turn.",
    "channel: a Pub/Sub channel per user; redis-py and write_message on uvloop in the node; the"
    " sender joins the PUBLISHes that wait into one pipeline. Stores and confirms nothing.",
    "one-by-one: the same nodes, but each send is a PUBLISH of its own on a pooled connection.",
    "accepted, written, delivered: the product at that confirm level; 'accepted' waits for the"
    " push, 'written' for the receipt of the socket write, 'delivered' for the client's pong.",
    "Redis per message: INFO stats less the idle background below, which CPU still contains;"
    " commands inside a script count too. The store is {store}, append-only file on, over TCP.",
)


def document(options: Options, results: Results) -> dict[str, Any]:
    """Return the whole run as JSON types."""
    return {
        "machine": machine(),
        "versions": versions(results.store_version),
        "settings": {
            **asdict(options),
            "modes": [mode.name for mode in options.modes],
            "cpu_source": cpu_source(),
        },
        "cells": [cell.dump() for cell in results.cells],
        "idle": [asdict(idle) for idle in results.idle],
        "summary": [_row_document(row) for row in rows(options, results.cells)],
        "metrics_cost": [
            {"nodes": nodes, "regime": regime.label, "ratio": asdict(ratio)}
            for nodes, regime, ratio in metrics_cost(options, results.cells)
        ],
        "scrapes": results.scrapes,
        "faults": results.faults(),
        "yardstick_faults": results.yardstick_faults(),
    }


def show(console: Console, options: Options, results: Results) -> None:
    """Print the tables."""
    every = rows(options, results.cells)
    for regime in options.regimes():
        mine = [row for row in every if row.regime == regime]
        if mine:
            console.print(_cost_table(options, mine))
            console.print(_flow_table(options, mine))
    if any(row.met is not None for row in every):
        console.print(_aim_table(options, every))
    if costs := metrics_cost(options, results.cells):
        console.print(_metrics_table(options, costs))
    console.print(_idle_table(results))
    for note in NOTES:
        console.print(
            note.format(source=cpu_source(), store=results.store_version),
            style="dim",
            highlight=False,
        )
    for fault in results.yardstick_faults():
        console.print(f"yardstick: {fault}", style="yellow", highlight=False)
    for fault in results.faults():
        console.print(f"FAULT: {fault}", style="bold red", highlight=False)


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "mode": row.mode.name,
        "nodes": row.nodes,
        "regime": row.regime.name,
        "outstanding": row.regime.outstanding,
        "figures": {name: asdict(spread) for name, spread in row.figures.items()},
        "ratio_to_channel": asdict(row.ratio) if row.ratio else None,
        "ratio_to_one_by_one": asdict(row.ratio_one_by_one) if row.ratio_one_by_one else None,
        "aim": row.aim,
        "met": row.met,
    }


def _cost_table(options: Options, mine: Sequence[Row]) -> Table:
    label = mine[0].regime.label
    table = _table(
        f"{label}, {options.size_bytes} B: CPU in microseconds per delivered message, "
        f"{_median_of(options)}",
        "mode",
        "nodes",
        "node CPU",
        "Redis CPU",
        "nodes + Redis",
        "ratio to channel",
        "sender CPU",
        "client CPU",
    )
    for row in mine:
        table.add_row(
            row.mode.name,
            str(row.nodes),
            *(
                _spread(row.figures[name], 100, 1)  # CPU s per 10,000 = 100 us per message
                for name in ("cpu_nodes", "cpu_store", "cpu_total")
            ),
            _ratio(row.ratio),
            f"{row.figures['cpu_sender'].median * 100:.1f}",
            f"{row.figures['cpu_clients'].median * 100:.1f}",
            end_section=row is mine[-1] or row.mode == options.modes[-1],
        )
    return table


def _flow_table(options: Options, mine: Sequence[Row]) -> Table:
    table = _table(
        f"{mine[0].regime.label}: speed, and Redis per message, {_median_of(options)}",
        "mode",
        "nodes",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "commands",
        "bytes in",
        "bytes out",
    )
    for row in mine:
        figures = row.figures
        table.add_row(
            row.mode.name,
            str(row.nodes),
            _spread(figures["per_second"], 1, 0),
            _spread(figures["p50_ms"], 1, 2),
            _spread(figures["p99_ms"], 1, 2),
            _spread(figures["store_commands"], 1, 2),
            f"{figures['store_bytes_in'].median:.0f}",
            f"{figures['store_bytes_out'].median:.0f}",
            end_section=row is mine[-1] or row.mode == options.modes[-1],
        )
    return table


def _aim_table(options: Options, every: Sequence[Row]) -> Table:
    table = _table(
        f"CPU of nodes + Redis per message as a ratio, {_median_of(options)}",
        "mode",
        "load",
        "nodes",
        "to channel",
        "aim",
        "",
        "to one-by-one",
    )
    verdicts = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
    for row in every:
        if row.aim is not None and row.ratio is not None:
            table.add_row(
                row.mode.name,
                row.regime.label,
                str(row.nodes),
                _ratio(row.ratio),
                f"<= {row.aim:g}",
                verdicts[row.met],
                _ratio(row.ratio_one_by_one),
            )
    return table


def _metrics_table(options: Options, costs: Sequence[tuple[int, Regime, Spread]]) -> Table:
    table = _table(
        f"CPU of the nodes with metrics, scraped once a second, to without, {_median_of(options)}",
        "load",
        "nodes",
        "ratio",
        "aim",
        "",
    )
    for nodes, regime, ratio in costs:
        met = ratio.median <= METRICS_AIM
        verdict = "[green]met[/]" if met else "[red]missed[/]"
        table.add_row(
            regime.label, str(nodes), _spread(ratio, 1, 3), f"<= {METRICS_AIM:g}", verdict
        )
    return table


def _idle_table(results: Results) -> Table:
    table = _table(
        "idle background of a whole cluster",
        "cluster",
        "nodes",
        "node CPU ms/s",
        "Redis CPU ms/s",
        "commands/s",
        "bytes in/s",
        "bytes out/s",
    )
    for idle in results.idle:
        table.add_row(
            idle.cluster,
            str(idle.nodes),
            f"{idle.cpu_nodes * 1000:.2f}",
            f"{idle.cpu_store * 1000:.2f}",
            f"{idle.commands:.1f}",
            f"{abs(idle.bytes_in):.0f}",
            f"{abs(idle.bytes_out):.0f}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _median_of(options: Options) -> str:
    return f"median of {options.repeats} (lowest - highest)"


def _ratio(ratio: Spread | None) -> str:
    return _spread(ratio, 1, 2) if ratio else ""


def _spread(spread: Spread, scale: float, digits: int) -> str:
    low, middle, high = (
        f"{value * scale:.{digits}f}" for value in (spread.low, spread.median, spread.high)
    )
    return f"{middle} ({low} - {high})"
