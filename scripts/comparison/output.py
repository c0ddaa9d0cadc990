"""Writes the files of a run."""

from pathlib import Path

from scripts.comparison.document import Document, dump
from scripts.comparison.page import page
from scripts.comparison.pictures import draw
from scripts.comparison.plots import charts


def write(document: Document, out: Path) -> list[str]:
    """Write results.json, report.html and the pictures; return lines for the user.

    Args:
        out: the folder; made if it is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_bytes(dump(document))
    (out / "report.html").write_text(page(document), encoding="utf-8")
    return [*draw(charts(document), out), f"the report is {out / 'report.html'}"]
