"""`scripts/bench --scale`: reads the options, runs, prints."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import typer
import uvloop
from rich.console import Console

from router.errors import ServerFailed
from scripts.benchmark.scale.options import STANDARD, Options
from scripts.benchmark.scale.probes import named
from scripts.benchmark.scale.rows import Faulty
from scripts.benchmark.scale.run import Results, Runner
from scripts.benchmark.scale.stage import Probe
from scripts.benchmark.scale.table import document, show
from scripts.comparison.pictures import draw
from scripts.measuring.children import ChildFailed
from scripts.measuring.command import (
    EXIT_FAULTY,
    EXIT_INTERRUPTED,
    TABLE_COLUMNS,
    progress_bar,
    table_console,
    workshop,
)
from scripts.measuring.store_servers import ServersFailed

HELP = (
    "Measures what a large registry costs, each figure beside its aim: memory per user, "
    "registrations, sends, refreshes and heartbeats, listings, a rescue, all without sockets; then "
    "what a message costs on a Redis Cluster, what is lost when one of its masters is killed, and "
    "what many WebSockets cost a node. Loopback only; every process is private and ends with the "
    "run."
)
EXAMPLE = (
    "Example: scripts/bench --scale --quick\n\n"
    "One part: scripts/bench --scale --only registry\n\n"
    "On another store: scripts/bench --scale --server /usr/bin/redis-server\n\n"
    "Exit status: 0 done, whether or not the aims are met; 1 a process failed, or an answer was "
    "not the right one; 2 usage."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP, epilog=EXAMPLE)
def bench(
    _scale: Annotated[bool, typer.Option("--scale", help="This bench.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats: some minutes.")] = False,
    users: Annotated[int, typer.Option(min=1, max=20_000_000)] = STANDARD.users,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600, help="Of refreshes at their real pace.")
    ] = STANDARD.seconds,
    repeats: Annotated[int, typer.Option(min=1, max=100)] = STANDARD.repeats,
    only: Annotated[str, typer.Option(help="Parts, by name; none: all of them.")] = "",
    server: Annotated[str, typer.Option(help="Program of the store; none: the embedded one.")] = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json, table.txt and plots.")
    ] = None,
) -> None:
    """Read the options, run, print."""
    # stdout belongs to the table, and that an endpoint is dead is no news here.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    options = Options(users=users, seconds=seconds, repeats=repeats, server=server)
    try:
        probes = named(only)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--only") from exc
    raise typer.Exit(_run(options.quicker() if quick else options, probes, json, out))


def _run(options: Options, probes: Sequence[Probe], json: bool, out: Path | None) -> int:
    errors = Console(stderr=True)
    try:
        results = uvloop.run(_measure(options, probes, errors))
    except (ChildFailed, ServerFailed, ServersFailed, Faulty) as exc:
        errors.print(str(exc), markup=False, highlight=False)
        return EXIT_FAULTY
    except (KeyboardInterrupt, asyncio.CancelledError):
        errors.print("interrupted; every process of the run has been ended")
        return EXIT_INTERRUPTED
    _write(options, results, json, out)
    return 0


async def _measure(options: Options, probes: Sequence[Probe], errors: Console) -> Results:
    total = sum(int(probe.seconds) for probe in probes)
    with progress_bar(errors, total) as step:
        async with workshop("bench") as (directory, children, stores):
            return await Runner(options, probes, directory, children, stores, step).run()


def _write(options: Options, results: Results, json: bool, out: Path | None) -> None:
    found = msgspec.json.format(msgspec.json.encode(document(options, results)))
    if json:
        typer.echo(found)
    else:
        show(table_console(), options, results)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_bytes(found + b"\n")
        with (out / "table.txt").open("w", encoding="utf-8") as file:
            show(Console(file=file, width=TABLE_COLUMNS), options, results)
        for line in draw(results.charts, out):
            Console(stderr=True).print(line, highlight=False)
