"""Reading what `switchboard doctor` has found."""

from collections.abc import Iterable

from node.checks.finding import Finding, Level


def level_of(findings: Iterable[Finding], check: str) -> Level:
    """Return the worst level of a check; every one that is not well says what to do."""
    found = [finding for finding in findings if finding.check == check]
    assert found, f"nothing was said of '{check}'"
    assert all(finding.mend or finding.level is Level.OK for finding in found)
    return max((finding.level for finding in found), key=list(Level).index)
