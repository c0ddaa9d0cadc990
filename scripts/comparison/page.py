"""report.html: one file that needs nothing else, neither network nor fonts. Pure but for its parts.

The tables are those of the terminal, as HTML; so there is one place that says what they hold.
"""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from rich.table import Table

from scripts.comparison.chart import svg
from scripts.comparison.document import Document, dump
from scripts.comparison.origin import origin
from scripts.comparison.plots import charts
from scripts.comparison.table import aims_table, plain, tables
from scripts.comparison.words import verdicts

_WEB = Path(__file__).parent / "web"
METHOD = (
    "Real node processes, real WebSocket clients in a process of their own, one sender process, "
    "everything on one machine over loopback. All modes run the same node program and the same "
    "clients with the same payloads; only delivery.mode differs. The modes take turns within each "
    "repeat, and ratios are taken repeat by repeat. CPU is each process's own accounting; the "
    "clients' is not counted. Every message carries a number and is checked by recipient and "
    "content. Wasted: messages that a node received without holding their user, by the nodes' own "
    "counters. What the store counts are commands, those inside its scripts included. Every store "
    "writes its append-only file, which costs routed alone: Pub/Sub stores nothing. With fanout "
    "the broker's CPU counts as the store's; commands and bytes are those of Redis alone."
)


def page(document: Document) -> str:
    """Return the report of a run."""
    script, style = (_read(name) for name in ("report.js", "report.css"))
    settings = document.settings
    return Template(_read("report.html")).substitute(
        style=style,
        script=script,
        script_hash=_hash(script),
        style_hash=_hash(style),
        origin=escape(origin(document)),
        aims="\n".join(_table(table) for table in aims_table(document)),
        method=escape(METHOD),
        verdicts=_items(verdicts(document)),
        left_out=_items(dict(settings.get("left_out", {})).values()),
        charts="\n".join(f"<figure>{svg(chart)}</figure>" for chart in charts(document)),
        tables="\n".join(_table(table) for table in tables(document)),
        formula=escape(document.model.formula),
        data=base64.b64encode(dump(document)).decode(),
    )


def picture_style() -> str:
    """Return the CSS of a chart in a file of its own: light or dark, as its reader likes it."""
    return _read("chart.css") + _read("picture.css")


def _read(name: str) -> str:
    text = (_WEB / name).read_text(encoding="utf-8")
    return text.replace("/* chart.css */", _read("chart.css")) if name == "report.css" else text


def _hash(text: str) -> str:
    """Return what the page's own policy calls this script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _items(sentences: Iterable[object]) -> str:
    return "\n".join(f"<li>{escape(str(sentence))}</li>" for sentence in sentences)


def _table(table: Table) -> str:
    kinds = ["text" if column.justify == "left" else "number" for column in table.columns]
    head = "".join(
        f"<th class='{kind}'>{escape(str(column.header))}</th>"
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    columns = [[plain(cell) for cell in column.cells] for column in table.columns]
    ends = [row.end_section for row in table.rows]
    body = "\n".join(
        f"<tr class='{'last' if end else ''}'>"
        + "".join(_cell(kind, cell) for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for end, row in zip(ends, zip(*columns, strict=True), strict=True)
    )
    title = str(table.title)
    return (
        f"<h3>{escape(title[0].upper() + title[1:])}</h3><div class='wide'><table><thead><tr>"
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(kind: str, text: str) -> str:
    bad = " bad" if text == "missed" else ""
    return f"<td class='{kind}{bad}'>{escape(text)}</td>"
