"""`scripts/bench`: reads the options, runs, prints."""

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from router.errors import ServerFailed
from scripts.benchmark.options import MODES, Options
from scripts.benchmark.report import document, show
from scripts.benchmark.run import Results, Runner
from scripts.measuring.children import ChildFailed, Children
from scripts.measuring.modes import Mode
from scripts.measuring.plan import MIN_SIZE_BYTES
from scripts.measuring.store import Stores

EXIT_FAULTY = 1
EXIT_INTERRUPTED = 130
TABLE_COLUMNS = 150
MAX_NODES = 64
ROUTED = "routed"
HELP = (
    "Measures what a routed message costs, beside two yardsticks, in one run: CPU of nodes and of "
    "Redis per message, latency, and the load on Redis, for the product at each confirm level, for "
    "a bare loop that writes frames, and for a node with a Redis Pub/Sub channel per user. "
    "Loopback only; every process is private and ends with the run."
)
EXAMPLE = (
    "Example: scripts/bench --nodes 1,4 --repeats 3 --out /tmp/bench\n\n"
    "Exit status: 0 done; 1 the product lost, doubled or misdelivered a message, or a process "
    "failed; 2 usage."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def parse_nodes(text: str) -> tuple[int, ...]:
    """Return `1,4,16` as numbers.

    Raises:
        typer.BadParameter: one is not a number of nodes.
    """
    try:
        nodes = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a list like 1,4,16") from None
    if not all(0 < number <= MAX_NODES for number in nodes):
        raise typer.BadParameter(f"each number of nodes is 1 to {MAX_NODES}")
    return nodes


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
    modes: Annotated[str, typer.Option(help="Rows, by name; routed: all three.")] = ",".join(MODES),
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
    """Run everything in a folder of its own, which goes when the processes have gone."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        tempfile.TemporaryDirectory(prefix="switchboard-bench-") as name,
        Progress(*columns, console=errors, refresh_per_second=1) as progress,
    ):
        bar = progress.add_task("starting", total=cells)

        def step(description: str, advance: int) -> None:
            progress.update(bar, description=description, advance=advance)

        with Stores(Path(name)) as stores:
            async with Children(Path(name)) as children:
                runner = Runner(options, children, stores, Path(name), step)
                await runner.run()
    return runner.results


def _write(options: Options, results: Results, json: bool, out: Path | None) -> None:
    found = msgspec.json.format(msgspec.json.encode(document(options, results)))
    console = Console(width=None if Console().is_terminal else TABLE_COLUMNS)
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
    app(prog_name="scripts/bench")
