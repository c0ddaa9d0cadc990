"""`scripts/chaos`: reads the options, runs, and has the ledger balanced by a program of its own."""

import asyncio
import importlib.util
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from router.errors import ServerFailed
from scripts.faults.hosts import NoHosts, missing
from scripts.faults.options import (
    ALL,
    CLIENTS,
    CLUSTER_FAULTS,
    FAULTS,
    LINK_FAULTS,
    MIN_NODES,
    NONE,
    PAGES,
    PLAIN,
    SDK,
    SINGLE,
    SLOT_MOVE,
    STORES,
    Options,
    parse_faults,
)
from scripts.faults.run import Progress, run
from scripts.measuring.browser import find_browser
from scripts.measuring.children import ROOT, ChildFailed, python
from scripts.measuring.command import (
    EXIT_FAULTY,
    EXIT_INTERRUPTED,
    MAX_NODES,
    progress_bar,
    workshop,
)
from scripts.measuring.peer import describe
from scripts.measuring.store_servers import ServersFailed

HELP = (
    "Breaks a running cluster in seeded random ways while messages are sent through it: nodes are "
    "killed, paused and drained, the store is restarted and hung, connections are cut, delayed and "
    "swallowed, clients vanish, move and come back in storms. Every send and every receipt goes "
    "into a ledger, which a separate program then balances against what is promised. Everything "
    "is private to the run and ends with it."
)
EXAMPLE = (
    "Example: scripts/chaos --seconds 120 --seed 1 --nodes 4 --users 200 --rate 300 --faults all"
    "\n\n"
    "Exit status: 0 the ledger balances; 1 it does not, or something could not be mended; 2 usage; "
    "130 interrupted. A ledger kept with --out can be balanced again: "
    "python -m scripts.faults.audit LEDGER"
)
KINDS = (
    f"Kinds of faults: {', '.join(FAULTS)}; {ALL} or {NONE}. With --hosts "
    f"{', '.join(LINK_FAULTS)} take the place of cut and slow. With a store of several "
    f"servers there are {', '.join(CLUSTER_FAULTS)}; {SLOT_MOVE} only on a Redis Cluster."
)

_FAILURES = (ChildFailed, NoHosts, ServerFailed, ServersFailed, TimeoutError, ExceptionGroup)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Seconds = Annotated[float, typer.Option(min=3, max=86_400, help="How long to send and to break.")]
Seed = Annotated[int, typer.Option(help="Of all that is drawn: the same seed, the same plan.")]
Nodes = Annotated[int, typer.Option(min=MIN_NODES, max=MAX_NODES)]
Users = Annotated[int, typer.Option(min=1, max=10_000)]
Rate = Annotated[float, typer.Option(min=1, max=10_000, help="Messages per second.")]
Faults = Annotated[str, typer.Option(help=KINDS)]
ClientKind = Annotated[
    str, typer.Option(help="plain: WebSockets of our own; sdk: the client SDK, router.client.")
]
PageCount = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=16,
        help="With --clients sdk: pages in Chromium that are clients too, each with a user of its "
        f"own. {PAGES} where there is a Chromium.",
    ),
]
OnHosts = Annotated[
    bool,
    typer.Option(
        "--hosts",
        help="Every process on a host of its own: a network namespace with a link that can be "
        "broken. Needs Linux and root.",
    ),
]
StoreKind = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(STORES)}: one server, a Redis Cluster of three masters with a replica "
        "each, or a master with a replica and three Sentinels."
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Short leases: more happens in less time.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Out = Annotated[Path | None, typer.Option(help="Folder that keeps the ledger; empty or new.")]


@app.command(help=HELP, epilog=EXAMPLE)
def chaos(
    seconds: Seconds = 120.0,
    seed: Seed = 1,
    nodes: Nodes = 4,
    users: Users = 200,
    rate: Rate = 300.0,
    faults: Faults = ALL,
    clients: ClientKind = PLAIN,
    pages: PageCount = None,
    hosts: OnHosts = False,
    store: StoreKind = SINGLE,
    quick: Quick = False,
    json: Json = False,
    out: Out = None,
) -> None:
    """Read the options, run, have the ledger balanced."""
    if store not in STORES:
        known = ", ".join(STORES)
        raise typer.BadParameter(f"'{store}' is not one of {known}", param_hint="--store")
    if hosts and store != SINGLE:
        raise typer.BadParameter(f"cannot be with --store {store}", param_hint="--hosts")
    try:
        kinds = parse_faults(faults, hosts=hosts, store=store)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--faults") from None
    if out is not None and out.exists() and any(out.iterdir()):
        raise typer.BadParameter(f"{out} is not empty", param_hint="--out")
    if clients not in CLIENTS:
        known = ", ".join(CLIENTS)
        raise typer.BadParameter(f"'{clients}' is not one of {known}", param_hint="--clients")
    if hosts and (reason := missing()):
        raise typer.BadParameter(reason, param_hint="--hosts")
    pages = _pages(0 if hosts and pages is None else pages, clients)
    if hosts and pages:
        raise typer.BadParameter("cannot be with --hosts", param_hint="--pages")
    options = Options(
        seed, seconds, nodes, users, rate, kinds, clients, pages, quick, hosts=hosts, store=store
    )
    if out is not None:
        raise typer.Exit(_play(options, out, json))
    with tempfile.TemporaryDirectory(prefix="switchboard-chaos-") as folder:
        raise typer.Exit(_play(options, Path(folder), json))


def _pages(wanted: int | None, clients: str) -> int:
    """Return how many pages there are, where nobody said, or said what cannot be."""
    if clients != SDK:
        if wanted:
            raise typer.BadParameter(f"needs --clients {SDK}", param_hint="--pages")
        return 0
    missing = _missing_for_pages() if wanted != 0 else ""
    if not missing:
        return PAGES if wanted is None else wanted
    if wanted:
        raise typer.BadParameter(missing, param_hint="--pages")
    Console(stderr=True).print(f"no pages among the clients: {missing}", soft_wrap=True)
    return 0


def _missing_for_pages() -> str:
    if find_browser() is None:
        return "they need Chromium; install it (Debian: apt install chromium)"
    if importlib.util.find_spec("playwright") is None:
        return "they need playwright; pip install -r requirements-pages.txt"
    return ""


def _play(options: Options, folder: Path, json: bool) -> int:
    errors = Console(stderr=True)
    try:
        with progress_bar(errors, int(options.seconds)) as step:
            asyncio.run(_run(options, folder.absolute(), step))
    except _FAILURES as exc:
        errors.print(f"seed {options.seed}: {describe(exc)}", markup=False, highlight=False)
        return EXIT_FAULTY
    except (KeyboardInterrupt, asyncio.CancelledError):
        errors.print("interrupted; every process of the run has been ended")
        return EXIT_INTERRUPTED
    command = python("scripts.faults.audit", str(folder.absolute()), *(["--json"] if json else []))
    return subprocess.run(command, cwd=ROOT, check=False).returncode


async def _run(options: Options, folder: Path, step: Progress) -> None:
    async with workshop("chaos") as (_, _, stores):
        await run(options, folder, stores, step)


if __name__ == "__main__":
    app(prog_name="scripts/chaos")
