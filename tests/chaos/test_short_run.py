"""The chaos runner as users run it, small: some seconds of everything, and the ledger balances."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = [sys.executable, "-m", "scripts.faults"]
AUDIT = [sys.executable, "-m", "scripts.faults.audit"]
SMALL = ["--seconds", "10", "--nodes", "3", "--users", "30", "--rate", "40", "--quick"]
pytestmark = pytest.mark.timeout(180)


def run(*command: str, limit_s: float = 170) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False
    )


@dataclass(frozen=True, slots=True)
class Short:
    """A short run that has ended."""

    figures: dict[str, Any]
    ledger: Path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Short:
    ledger = tmp_path_factory.mktemp("chaos")
    ended = run(*RUN, *SMALL, "--seed", "1", "--out", str(ledger), "--json")
    assert ended.returncode == 0, ended.stderr
    return Short(json.loads(ended.stdout), ledger)


def test_some_seconds_of_everything_break_no_promise(short: Short) -> None:
    figures = short.figures
    assert (figures["findings"], figures["misdelivered"], figures["lost"]) == ([], 0, 0)
    assert figures["sent"] == sum(figures["outcomes"].values()) == 400
    assert len(figures["faults"]) >= 4
    assert figures["received"] > figures["sent"] / 3


def test_the_ledger_that_was_kept_can_be_balanced_again(short: Short) -> None:
    again = run(*AUDIT, str(short.ledger), "--json")
    assert json.loads(again.stdout) == short.figures


def test_the_audit_prints_a_table(short: Short) -> None:
    table = run(*AUDIT, str(short.ledger)).stdout
    for row in ("sent", "outcome delivered", "repeats filtered", "misdelivered", "longest gap s"):
        assert row in table


def test_a_ledger_with_a_lost_receipt_does_not_balance(short: Short, tmp_path: Path) -> None:
    calls = _entries(short.ledger / "sends.jsonl")
    plain = {call["n"] for call in calls if call["what"] == "sent" and not call.get("durable")}
    delivered = next(
        call["n"] for call in calls if call.get("outcome") == "delivered" and call["n"] in plain
    )
    for file in short.ledger.glob("*.json*"):
        kept = [
            line
            for line in file.read_text().splitlines(keepends=True)
            if f'"n":{delivered},"to"' not in line
        ]
        (tmp_path / file.name).write_text("".join(kept))
    ended = run(*AUDIT, str(tmp_path))
    assert ended.returncode == 1
    assert "BROKEN: false delivered" in ended.stderr
    assert f"message {delivered}: 'delivered', but no client had read it" in ended.stderr
    assert "the seed is 1" in ended.stderr


def _entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--faults", "fire"], "'fire' is not one of kill"),
        (["--nodes", "1"], "--nodes"),
        (["--store", "ring"], "'ring' is not one of single, cluster, sentinel"),
        (["--store", "cluster", "--hosts"], "cannot be with --store cluster"),
        (["--store", "sentinel", "--faults", "slot-move"], "'slot-move' is not one of kill"),
        (["--out", str(ROOT)], "is not empty"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], words: str) -> None:
    ended = run(*RUN, *arguments)
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())


def test_the_help_has_an_example() -> None:
    said = " ".join(run(*RUN, "--help").stdout.split())
    assert "scripts/chaos --seconds 120 --seed 1" in said
