"""`switchboard doctor`: looks at everything that may be wrong, and says what to do."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from node.checks import certificates, cluster, configuration, machine, store
from node.checks.finding import Finding, Level, Report, fail, report
from node.cli import logs
from node.cli.common import ConfigOption, JsonOption, RedisOption, print_json, run
from router.errors import InvalidSettings, ServerFailed, SwitchboardError
from router.keys import Keys
from router.settings import LogSettings, Settings, load
from router.store.address import resolve
from router.store.lease import Leases
from router.store.modes import make_connector, make_store

_SIGNS: Final = {
    Level.OK: ("ok  ", "green"),
    Level.WARN: ("warn", "yellow"),
    Level.FAIL: ("FAIL", "bold red"),
}


def doctor(
    config: ConfigOption = None, redis: RedisOption = None, as_json: JsonOption = False
) -> None:
    """Look at settings, store, machine and nodes, and say what to mend.

    The exit status is 0 when nothing fails, and 1 otherwise; warnings do not count.
    """
    logs.configure(LogSettings(), quiet=True)
    found = report(run(_look(config, redis)))
    if as_json:
        print_json(found)
    else:
        _print(found)
    raise typer.Exit(0 if found.ok else 1)


async def _look(config: Path | None, redis: str | None) -> list[Finding]:
    try:
        settings = load(config, {"redis": {"url": redis}})
    except InvalidSettings as exc:
        # Nothing else can be looked at: nobody knows where.
        return [fail("settings", problem, "see config.toml") for problem in exc.problems]
    file = config or Path("config.toml")
    found = list(configuration.everything(settings, file if file.exists() else None, os.environ))
    found += certificates.everything(configuration.named_files(settings))
    found += [finding async for finding in _look_at_store(settings)]
    # Last, since the registry knows whether it is a node of ours that has the port.
    taken_by = next((f.check.removeprefix("node ") for f in found if _is_here(f, settings)), "")
    found += machine.everything(settings.node.host, settings.node.port, settings.limits, taken_by)
    return found


def _is_here(finding: Finding, settings: Settings) -> bool:
    at = f" at {settings.node.host}:{settings.node.port}"
    return finding.check.startswith("node ") and finding.says.endswith(at)


async def _look_at_store(settings: Settings) -> AsyncIterator[Finding]:
    try:
        way = make_store(make_connector(resolve(settings), settings.redis), "doctor")
        await way.open()
    except ServerFailed as exc:
        yield fail("store", str(exc), "start it, or name another store")
        return
    except SwitchboardError as exc:
        yield fail("store", str(exc), "see redis.url, and whether the store is running")
        return
    keys = Keys(settings.registry.prefix)
    try:
        async for finding in store.everything(way, keys, settings.redis):
            yield finding
        known = Leases(way, keys, settings.lease)
        async for finding in cluster.everything(way, keys, known, settings):
            yield finding
    except SwitchboardError as exc:
        yield _refused(exc, settings)
    finally:
        await way.close()


def _refused(error: SwitchboardError, settings: Settings) -> Finding:
    if "WRONGTYPE" in str(error):
        says = f"another program keeps its own under '{settings.registry.prefix}:'"
        return fail("registry.prefix", says, "choose another registry.prefix")
    return fail("store", str(error), "see the other findings about the store")


def _print(found: Report) -> None:
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = 10_000  # in a file or pipe nothing is folded
    for line in _lines(found):
        console.print(line, soft_wrap=False)


def _lines(found: Report) -> Iterator[Text]:
    for finding in found.findings:
        sign, style = _SIGNS[finding.level]
        yield Text.assemble(
            (f"{sign}  ", style),
            (f"{logs.visible(finding.check)}: ", "bold"),
            logs.visible(finding.says),
        )
        if finding.mend:
            yield Text.assemble("      ", ("-> ", style), logs.visible(finding.mend))
    levels = [finding.level for finding in found.findings]
    bad, some = levels.count(Level.FAIL), levels.count(Level.WARN)
    told = "nothing fails" if found.ok else f"{bad} of {len(levels)} checks fail"
    yield Text(f"{told}; {some} warnings" if some != 1 else f"{told}; 1 warning", style="bold")


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command("doctor", epilog="Example: switchboard doctor --config config.toml")(doctor)
