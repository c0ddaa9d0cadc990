"""`scripts/compare`: reads the options, runs, prints, writes."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from router.errors import ServerFailed
from scripts.comparison import document
from scripts.comparison.broker import left_out
from scripts.comparison.figures import NoPlace, insert
from scripts.comparison.options import DEFAULT_WORDS, STICKY, WORDS, Options, modes_of
from scripts.comparison.output import write
from scripts.comparison.session import Session
from scripts.comparison.summary import wrongs
from scripts.comparison.table import show
from scripts.measuring.children import ChildFailed
from scripts.measuring.command import (
    EXIT_FAULTY,
    EXIT_INTERRUPTED,
    parse_nodes,
    progress_bar,
    table_console,
)
from scripts.measuring.plan import MIN_SIZE_BYTES

HELP = (
    "Measures routed delivery beside the other delivery modes, on the same node program, with the "
    "same clients and payloads: CPU of nodes, store and sender per message, latency, load on the "
    "store, and messages handed to nodes that do not hold their user; then one message to many, "
    "logins, and with --faults what is lost when things break. Loopback only; every process is "
    "private and ends with the run."
)
EXAMPLE = (
    "Example: scripts/compare --nodes 1,4,16 --faults --out /tmp/comparison\n\n"
    "Exit status: 0 done; 1 routed lost, doubled or misdelivered a message, or a process failed; "
    "2 usage; 130 interrupted, what was measured is written."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def parse_modes(text: str) -> tuple[str, ...]:
    """Return the words of --modes.

    Raises:
        typer.BadParameter: there is no such mode.
    """
    words = tuple(dict.fromkeys(text.split(",")))
    for word in words:
        if word not in WORDS:
            raise typer.BadParameter(f"'{word}' is not one of {', '.join(WORDS)}")
    return words


_DEFAULT_MODES = ",".join(DEFAULT_WORDS)
Modes = Annotated[
    str, typer.Option(help="Modes, and 'sticky': users placed by IP hash, without a bus.")
]
Nodes = Annotated[str, typer.Option(help="Numbers of nodes.")]
Users = Annotated[int, typer.Option(min=8, max=10_000)]
Messages = Annotated[int, typer.Option(min=1, max=1_000_000, help="Per cell at full load.")]
Rate = Annotated[float, typer.Option(min=1, max=10_000, help="Messages per second.")]
Seconds = Annotated[float, typer.Option(min=0.5, max=600, help="Length of a cell at a fixed rate.")]
Size = Annotated[
    int, typer.Option(min=MIN_SIZE_BYTES, max=60_000, help="Bytes of data in a message.")
]
Repeats = Annotated[int, typer.Option(min=1, max=100)]
WithFaults = Annotated[
    bool, typer.Option("--faults", help="Also kill and stop nodes, and restart the store.")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Everything in a minute; its figures mean little.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder for results.json, report.html and pictures.")
]
Render = Annotated[
    Path | None, typer.Option(help="Measure nothing; make the report of this results.json.")
]
Into = Annotated[
    Path | None, typer.Option(help="Put the figures of --render into this Markdown file.")
]


@app.command(help=HELP, epilog=EXAMPLE)
def compare(
    modes: Modes = _DEFAULT_MODES,
    nodes: Nodes = "1,2,4,8,16",
    users: Users = 400,
    messages: Messages = 20_000,
    rate: Rate = 500.0,
    seconds: Seconds = 3.0,
    size: Size = 100,
    repeats: Repeats = 3,
    faults: WithFaults = False,
    quick: Quick = False,
    json: Json = False,
    out: Out = None,
    render: Render = None,
    into: Into = None,
) -> None:
    """Read the options, run, print, write."""
    if render is not None:
        raise typer.Exit(_render(render, json, out, into))
    if into is not None:
        raise typer.BadParameter("--into needs --render: look at the figures first")
    words, errors = parse_modes(modes), Console(stderr=True)
    missing = left_out(words)
    for why in missing.values():
        errors.print(why, markup=False, highlight=False)
    kept = tuple(word for word in words if word not in missing)
    if not kept:
        raise typer.BadParameter("nothing is left to measure")
    cells = (parse_nodes(nodes), repeats, messages, rate, seconds, users, size, modes_of(kept))
    options = Options(*cells, sticky=STICKY in kept, faults=faults, words=kept)
    if quick:
        options = options.quicker()
    raise typer.Exit(_run(options, missing, json, out))


def _run(
    options: Options,
    missing: dict[str, str],
    json: bool,
    out: Path | None,
) -> int:
    errors = Console(stderr=True)
    minutes = options.estimate_seconds() / 60
    errors.print(f"{options.steps()} steps, about {minutes:.1f} minutes", highlight=False)
    status = 0
    with progress_bar(errors, options.steps()) as step:
        session = Session(options, missing, step)
        try:
            asyncio.run(session.run())
        except (ChildFailed, ServerFailed) as exc:
            errors.print(str(exc), markup=False, highlight=False)
            status = EXIT_FAULTY
        except (KeyboardInterrupt, asyncio.CancelledError):
            errors.print("interrupted; every process of the run has been ended")
            status = EXIT_INTERRUPTED
    found = session.document()
    _tell(found, json, out)
    for fault in session.results.yardstick_faults():
        errors.print(f"other mode: {fault}", markup=False, highlight=False)
    faults = session.results.faults() + wrongs(found)
    for fault in dict.fromkeys(faults):
        errors.print(f"FAULT: {fault}", markup=False, highlight=False)
    return status or (EXIT_FAULTY if faults else 0)


def _render(file: Path, json: bool, out: Path | None, into: Path | None) -> int:
    try:
        found = document.load(file.read_bytes())
    except (OSError, msgspec.MsgspecError) as exc:
        raise typer.BadParameter(f"{file}: {exc}") from None
    if into is None:
        _tell(found, json, out or file.parent)
        return 0
    try:
        _say(insert(found, into, out or into.parent / "figures"))
    except (OSError, NoPlace) as exc:
        raise typer.BadParameter(str(exc)) from None
    return 0


def _tell(found: document.Document, json: bool, out: Path | None) -> None:
    if json:
        typer.echo(document.dump(found), nl=False)
    else:
        show(table_console(), found)
    if out is not None:
        _say(write(found, out))


def _say(lines: list[str]) -> None:
    for line in lines:
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app(prog_name="scripts/compare")
