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
from scripts.comparison.plots import charts
from scripts.comparison.table import plain, tables
from scripts.comparison.words import verdicts

_WEB = Path(__file__).parent / "web"
METHOD = (
    "Real node processes, real WebSocket clients in a process of their own, one sender process, "
    "everything on one machine over loopback. All modes run the same node program and the same "
    "clients with the same payloads; only delivery.mode differs. The modes take turns within each "
    "repeat, and ratios are taken repeat by repeat. CPU is each process's own accounting; the "
    "clients' is not counted. Every message carries a number and is checked by recipient and "
    "content. Wasted: messages that a node received without holding their user, by the nodes' own "
    "counters. With fanout the broker's CPU counts as the store's; commands and bytes are those of "
    "Redis alone."
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
        began=escape(str(settings.get("began", ""))),
        machine=escape(", ".join(f"{k} {v}" for k, v in document.machine.items())),
        versions=escape(", ".join(f"{k} {v}" for k, v in document.versions.items())),
        method=escape(METHOD),
        verdicts=_items(verdicts(document)),
        left_out=_items(dict(settings.get("left_out", {})).values()),
        charts="\n".join(f"<figure>{svg(chart)}</figure>" for chart in charts(document)),
        tables="\n".join(_table(table) for table in tables(document)),
        formula=escape(document.model.formula),
        data=base64.b64encode(dump(document)).decode(),
    )


def picture_style() -> str:
    """Return the CSS of a chart in a file of its own: light, as on paper."""
    return _read("chart.css")


def _read(name: str) -> str:
    text = (_WEB / name).read_text(encoding="utf-8")
    return text.replace("/* chart.css */", picture_style()) if name == "report.css" else text


def _hash(text: str) -> str:
    """Return what the page's own policy calls this script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _items(sentences: Iterable[object]) -> str:
    return "\n".join(f"<li>{escape(str(sentence))}</li>" for sentence in sentences)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    columns = [[plain(cell) for cell in column.cells] for column in table.columns]
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in zip(*columns, strict=True)
    )
    return (
        f"<h3>{escape(str(table.title))}</h3><div class='wide'><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table></div>"
    )
