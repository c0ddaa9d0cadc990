"""What every command has in common: its options, its settings, how it answers."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.cli import logs
from router.aio import Router
from router.settings import Settings, load

Result = TypeVar("Result")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings; config.toml here if there is one."),
]
RedisOption = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="The store; overrides redis.url of the settings."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command.

    Args:
        settings: of the cluster, flags included.
        config: the file that was named, None for the usual one.
        as_json: whether the answer is one JSON document instead of text for people.
        read: reads the settings again; raises `InvalidSettings`.
    """

    settings: Settings
    config: Path | None
    as_json: bool
    read: Callable[[], Settings]


def begin(
    config: Path | None,
    redis: str | None,
    as_json: bool,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
    quiet: bool = True,
) -> Invocation:
    """Return the invocation for a command's common options; the first thing it does.

    Args:
        config: value of `--config`.
        redis: value of `--redis`.
        as_json: value of `--json`.
        flags: what its own flags say, section -> key -> value; None values are left out.
        quiet: False for programs that stay and log what happens.

    Raises:
        InvalidSettings: the settings cannot be used.
    """
    read = partial(load, config, {"redis": {"url": redis}, **(flags or {})})
    settings = read()
    logs.configure(settings.log, quiet=quiet)
    return Invocation(settings, config, as_json, read)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run asynchronous work to its end and return its result."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def open_router(invocation: Invocation) -> AsyncIterator[Router]:
    """Connect to the store that the settings name, for as long as the block runs.

    Raises:
        ServerFailed: it is the embedded one, and none is running.
        Unavailable, StoreRefused: it does not let us in.
    """
    async with Router.from_settings(invocation.settings) as router:
        yield router


def print_json(document: Any) -> None:
    """Print one JSON document and a line end on standard output."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output.

    Args:
        columns: the headings; one that begins with ">" stands over numbers, set to the right.
        rows: the cells; nothing in them is markup or steers the terminal.
    """
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(logs.visible(str(cell))) for cell in row))
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 10_000  # in a file or pipe nothing is cut or folded
    console.print(table)


def say(line: str) -> None:
    """Print one line on standard error: news, not the answer."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
