"""What a check has found: how bad it is, in one sentence, and what to do. Pure."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # it works, and somebody should know
    FAIL = "fail"  # it does not work, or is not safe


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at.

    Args:
        check: what was looked at, as `store persistence`.
        level: how bad it is.
        says: what was found, one sentence without a full stop.
        mend: what to do; "" when there is nothing.
    """

    check: str
    level: Level
    says: str
    mend: str = ""


class Report(Struct, frozen=True):
    """Everything that was looked at.

    Args:
        ok: whether nothing fails.
        findings: in the order in which they were looked at.
    """

    ok: bool
    findings: list[Finding]


def ok(check: str, says: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Level.OK, says)


def warn(check: str, says: str, mend: str) -> Finding:
    """Return that somebody should know."""
    return Finding(check, Level.WARN, says, mend)


def fail(check: str, says: str, mend: str) -> Finding:
    """Return that it does not work, or is not safe."""
    return Finding(check, Level.FAIL, says, mend)


def report(findings: Iterable[Finding]) -> Report:
    """Return the findings as one report."""
    found = list(findings)
    return Report(not any(finding.level is Level.FAIL for finding in found), found)
