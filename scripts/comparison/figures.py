"""Puts the figures of a run into a Markdown page, between its markers: none is typed by hand.

<!-- compare:figures -->   everything: date, machine, tables, charts
<!-- compare:aims -->      what it must show, alone
<!-- /compare -->          ends either
"""

import re
from collections.abc import Sequence
from os.path import relpath
from pathlib import Path

from rich.table import Table

from scripts.comparison.chart import Chart
from scripts.comparison.document import Document
from scripts.comparison.origin import origin
from scripts.comparison.pictures import draw
from scripts.comparison.plots import charts
from scripts.comparison.table import aims_table, plain, tables
from scripts.comparison.words import verdicts

_PLACE = re.compile(r"(<!-- compare:(figures|aims) -->\n).*?(<!-- /compare -->)", re.DOTALL)
_TEXT = "left"


class NoPlace(Exception):
    """The page has no markers."""


def insert(document: Document, page: Path, pictures: Path) -> list[str]:
    """Write the figures between the markers of a page, and the charts beside it; return lines.

    Args:
        document: the run.
        page: a Markdown file.
        pictures: the folder for the charts; made if it is not there.

    Raises:
        NoPlace: the page has no marker.
    """
    text = page.read_text(encoding="utf-8")
    if not _PLACE.search(text):
        raise NoPlace(f"{page}: has no <!-- compare:figures --> ... <!-- /compare -->")
    shown = charts(document)
    pictures.mkdir(parents=True, exist_ok=True)
    said = draw(shown, pictures)
    folder = Path(relpath(pictures, page.parent)).as_posix()
    parts = {"figures": markdown(document, folder, shown), "aims": aims_markdown(document)}
    page.write_text(
        _PLACE.sub(lambda place: f"{place[1]}\n{parts[place[2]]}\n{place[3]}", text),
        encoding="utf-8",
    )
    return [*said, f"the figures are in {page}"]


def markdown(document: Document, folder: str, shown: Sequence[Chart]) -> str:
    """Return everything a page says of a run.

    Args:
        folder: where the charts are, as seen from the page.
        shown: the charts.
    """
    parts = [aims_markdown(document).rstrip(), "### What the figures say"]
    parts.append("\n".join(f"- {sentence}" for sentence in verdicts(document)))
    parts.append("### Charts")
    parts += [f"![{chart.title}]({folder}/{chart.name}.svg)" for chart in shown]
    parts.append("### Tables")
    parts += [_table(table) for table in tables(document)]
    return "\n\n".join(parts) + "\n"


def aims_markdown(document: Document) -> str:
    """Return the table of what the run must show, with its origin."""
    found = "\n\n".join(_table(table) for table in aims_table(document))
    return (
        f"{origin(document)}\n\n{found or 'This run measured nothing that the aims are about.'}\n"
    )


def _table(table: Table) -> str:
    lines = [
        [str(column.header) for column in table.columns],
        ["---" if column.justify == _TEXT else "---:" for column in table.columns],
        *zip(*([plain(cell) for cell in column.cells] for column in table.columns), strict=True),
    ]
    rows = "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in line)} |" for line in lines)
    title = str(table.title)
    return f"**{title[0].upper()}{title[1:]}**\n\n{rows}"
