"""axe-core looks at a page: what a screen reader, a keyboard or weak eyes cannot use."""

from typing import Any, Final

from playwright.sync_api import Page

from tests.support.documents import ROOT

_SOURCE: Final = ROOT / "tests" / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.2 up to level AA, and what axe-core calls good practice.
_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN: Final = "(tags) => axe.run(document, { runOnly: tags, resultTypes: ['violations'] })"


def violations(page: Page) -> list[str]:
    """Return what is wrong with the page as it is now, a line for each element."""
    assert _SOURCE.is_file(), (
        "tests/node_modules is not there: run scripts/test, or npm install in tests"
    )
    # By the debugger, which no policy of the page concerns.
    if not page.evaluate("'axe' in globalThis"):
        page.evaluate(_SOURCE.read_text())
    found: dict[str, Any] = page.evaluate(_RUN, _TAGS)
    assert len(found["passes"]) > 5, "axe-core has looked at nothing"
    return [
        f"{rule['id']}: {rule['help']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
