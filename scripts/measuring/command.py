"""What the commands share: reading lists, the folder and the signals of a run, the exit status."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scripts.measuring.children import Children
from scripts.measuring.run import Progress as Tell
from scripts.measuring.store import Stores

EXIT_FAULTY = 1
EXIT_INTERRUPTED = 130
TABLE_COLUMNS = 160
MAX_NODES = 64


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


def table_console() -> Console:
    """Return a console for tables, wide enough also where no terminal says how wide it is."""
    return Console(width=None if Console().is_terminal else TABLE_COLUMNS)


@contextmanager
def progress_bar(console: Console, total: int) -> Iterator[Tell]:
    """Show a bar with the time left; yields what tells it of each step."""
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        bar = progress.add_task("starting", total=total)

        def step(description: str, advance: int) -> None:
            progress.update(bar, description=description, advance=advance)

        yield step


@asynccontextmanager
async def workshop(name: str) -> AsyncIterator[tuple[Path, Children, Stores]]:
    """Yield a folder of its own, and owners of processes and servers, which all end with it.

    SIGTERM cancels the task that called; Ctrl-C does so anyway.

    Args:
        name: begins the folder's.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix=f"switchboard-{name}-") as folder:
        directory = Path(folder)
        with Stores(directory) as stores:
            async with Children(directory) as children:
                yield directory, children, stores
