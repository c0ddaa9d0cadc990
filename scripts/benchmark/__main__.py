"""`scripts/bench`: reads the options, runs, prints."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from router.errors import ServerFailed
from scripts.benchmark.cluster import start_cluster
from scripts.benchmark.options import METERED, MODES, STANDARD, Options
from scripts.benchmark.report import document, show
from scripts.benchmark.scale.command import app as scale_app
from scripts.benchmark.scraping import Scraper
from scripts.measuring.children import ChildFailed
from scripts.measuring.cluster import Cluster
from scripts.measuring.command import (
    EXIT_FAULTY,
    EXIT_INTERRUPTED,
    TABLE_COLUMNS,
    parse_nodes,
    progress_bar,
    table_console,
    workshop,
)
from scripts.measuring.modes import Mode
from scripts.measuring.plan import MIN_SIZE_BYTES
from scripts.measuring.run import Results, Runner

ROUTED = "routed"
HELP = (
    "Measures what a routed message costs, beside two yardsticks, in one run: CPU of nodes and of "
    "Redis per message, latency, and the load on Redis, for the product at each confirm level, for "
    "a bare loop that writes frames, and for a node with a Redis Pub/Sub channel per user. "
    "Loopback only; every process is private and ends with the run."
)
EXAMPLE = (
    "Example: scripts/bench --nodes 1,4 --repeats 3 --out /tmp/bench\n\n"
    "A registry of a million users: scripts/bench --scale; see scripts/bench --scale --help\n\n"
    "What metrics cost: scripts/bench --nodes 1 --repeats 15 --modes unmetered,metered\n\n"
    "Exit status: 0 done; 1 the product lost, doubled or misdelivered a message, or a process "
    "failed; 2 usage."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def parse_modes(text: str) -> tuple[Mode, ...]:
    """Return the modes named in `text`; `routed` means all three confirm levels.

    Raises:
        typer.BadParameter: there is no such mode.
    """
    named: list[Mode] = []
    for word in text.split(","):
        some = [
            mode
            for mode in MODES.values()
            if word == mode.name or (word == ROUTED and mode.cluster == ROUTED)
        ]
        if not some:
            raise typer.BadParameter(f"'{word}' is not one of {', '.join(MODES)} or routed")
        named += some
    return tuple(dict.fromkeys(named))


@app.command(help=HELP, epilog=EXAMPLE)
def bench(
    nodes: Annotated[str, typer.Option(help="Numbers of nodes.")] = "1,4,16",
    repeats: Annotated[int, typer.Option(min=1, max=100)] = 5,
    messages: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Per cell at full load.")
    ] = 20_000,
    rate: Annotated[float, typer.Option(min=1, max=10_000, help="Messages per second.")] = 500.0,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600, help="Length of a cell at a fixed rate.")
    ] = 10.0,
    users: Annotated[int, typer.Option(min=1, max=10_000)] = 400,
    size: Annotated[
        int, typer.Option(min=MIN_SIZE_BYTES, max=60_000, help="Bytes of data in a message.")
    ] = 100,
    modes: Annotated[str, typer.Option(help="Rows, by name; routed: all three.")] = ",".join(
        mode.name for mode in STANDARD
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke of some seconds; its figures mean little.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for results.json, table.txt.")] = None,
) -> None:
    """Read the options, run, print."""
    options = Options(
        parse_nodes(nodes), repeats, messages, rate, seconds, users, size, parse_modes(modes), quick
    )
    if quick:
        options = options.quicker()
    raise typer.Exit(_run(options, json, out))


def _run(options: Options, json: bool, out: Path | None) -> int:
    errors = Console(stderr=True)
    cells = len(list(options.cells()))
    minutes = options.estimate_seconds() / 60
    errors.print(f"{cells} cells, about {minutes:.1f} minutes", highlight=False)
    try:
        results = asyncio.run(_measure(options, errors, cells))
    except (ChildFailed, ServerFailed) as exc:
        errors.print(str(exc), markup=False, highlight=False)
        return EXIT_FAULTY
    except (KeyboardInterrupt, asyncio.CancelledError):
        errors.print("interrupted; every process of the run has been ended")
        return EXIT_INTERRUPTED
    _write(options, results, json, out)
    for fault in results.faults():
        errors.print(f"FAULT: {fault}", markup=False, highlight=False)
    return EXIT_FAULTY if results.faults() else 0


async def _measure(options: Options, errors: Console, cells: int) -> Results:
    with progress_bar(errors, cells) as step:
        async with workshop("bench") as (directory, children, stores):

            async def start(kind: str, nodes: int) -> Cluster:
                made = await start_cluster(children, stores, kind, nodes, options.users, directory)
                if kind == METERED:
                    scraper.watch(made.ports)
                return made

            runner = Runner(options, children, stores, start, step)
            async with Scraper() as scraper:
                await runner.run()
            runner.results.scrapes = scraper.answered
    return runner.results


def _write(options: Options, results: Results, json: bool, out: Path | None) -> None:
    found = msgspec.json.format(msgspec.json.encode(document(options, results)))
    console = table_console()
    if json:
        typer.echo(found)
    else:
        show(console, options, results)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_bytes(found + b"\n")
        with (out / "table.txt").open("w", encoding="utf-8") as file:
            show(Console(file=file, width=TABLE_COLUMNS), options, results)


if __name__ == "__main__":
    # Another bench, with options of its own.
    (scale_app if "--scale" in sys.argv[1:] else app)(prog_name="scripts/bench")
