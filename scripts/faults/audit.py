"""Program: balances the ledger of a run against what is promised.

`python -m scripts.faults.audit LEDGER`; exit status 0 when every promise was kept, 1 when not.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from scripts.faults import checks, rest_checks
from scripts.faults.account import account
from scripts.faults.balance import balance
from scripts.faults.book import Book
from scripts.faults.checks import Finding
from scripts.faults.ledger import Unreadable
from scripts.faults.logs import Line, read_logs
from scripts.measuring.command import table_console

EXIT_BROKEN = 1
EXIT_UNREADABLE = 2
_SHOWN = 5  # findings of one kind that are printed

Check = Callable[[Book], Iterator[Any]]
CHECKS: dict[str, Check] = {
    "misdelivered": checks.misdelivered,
    "lost": checks.lost,
    "no outcome": checks.no_outcome,
    "false delivered": checks.false_delivered,
    "false offline": checks.false_absent,
    "received after a no": checks.false_negative,
    "unexplained": checks.unexplained,
    "false resumed": checks.false_resumed,
    "doubled": checks.doubled,
    "offsets fell": checks.offsets_fell,
    "registry": rest_checks.registry,
    "remains": rest_checks.remains,
    "over its limit": rest_checks.over_cap,
    "died": rest_checks.died,
}
LOG = "log"


def audit(book: Book, lines: Sequence[Line]) -> list[Finding]:
    """Return every promise that a run has broken."""
    findings = []
    for kind, check in CHECKS.items():
        for found in check(book):
            text, n = found if isinstance(found, tuple) else (found, None)
            findings.append(Finding(kind, text, n))
    findings += [Finding(LOG, text) for text in rest_checks.bad_lines(lines)]
    return findings


def worst_account(book: Book, findings: Sequence[Finding], lines: Sequence[Line]) -> list[str]:
    """Return the shortest account there is of a message that a finding speaks of."""
    first = next((finding for finding in findings if finding.n is not None), None)
    if first is None:
        return []
    same = [f for f in findings if f.kind == first.kind and f.n is not None][: 4 * _SHOWN]
    told = [
        (f"message {found.n}: {found.text}", account(book, found.n, lines))
        for found in same
        if found.n in book.messages
    ]
    head, steps = min(told, key=lambda one: len(one[1]), default=("", []))
    return [head, *steps]


def show(console: Console, figures: dict[str, Any]) -> None:
    """Print the figures as a table."""
    table = Table("what", "", title=f"The ledger of seed {figures['seed']}", title_justify="left")
    table.columns[1].justify = "right"
    for key, value in figures.items():
        if key in ("seed", "broken_promises"):
            continue
        if isinstance(value, dict):
            table.add_section()
            for word, number in value.items():
                table.add_row(f"  {key.removesuffix('s')} {word}", f"{number:,}")
            table.add_section()
        else:
            table.add_row(key.replace("_", " "), "-" if value is None else f"{value:,}")
    console.print(table)


def main(
    ledger: Annotated[Path, typer.Argument(help="The folder of a ledger.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Balance the ledger of a run of scripts/chaos against what is promised."""
    errors = Console(stderr=True)
    try:
        book = Book.read(ledger)
    except Unreadable as exc:
        errors.print(str(exc), markup=False, highlight=False)
        raise typer.Exit(EXIT_UNREADABLE) from None
    lines = list(read_logs(ledger, book.run.wall_ns))
    findings = audit(book, lines)
    figures = balance(book, findings)
    told = worst_account(book, findings, lines)
    if json:
        texts = [f"{finding.kind}: {finding.text}" for finding in findings]
        document = {**figures, "findings": texts, "account": told}
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        show(table_console(), figures)
    for kind in dict.fromkeys(finding.kind for finding in findings):
        same = [finding for finding in findings if finding.kind == kind]
        for finding in same[:_SHOWN]:
            which = f" (message {finding.n})" if finding.n is not None else ""
            _say(errors, f"BROKEN: {kind}: {finding.text}{which}")
        if len(same) > _SHOWN:
            _say(errors, f"BROKEN: {kind}: ... and {len(same) - _SHOWN} more")
    for line in told:
        _say(errors, line)
    if findings:
        _say(errors, f"{len(findings)} broken promises; the seed is {book.run.seed}")
        raise typer.Exit(EXIT_BROKEN)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
