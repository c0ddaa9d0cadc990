"""`scripts/compare --faults`, with a real RabbitMQ: real kills take their time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = ("routed", "fanout", "routed-delivered")
KINDS = ("node stopped", "store restarted", "node killed")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_breaks_is_told_by_routed_and_silent_elsewhere() -> None:
    command = [sys.executable, "-m", "scripts.comparison", "--quick", "--faults", "--json"]
    ended = subprocess.run(
        [*command, "--modes", "routed,fanout"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    rows = {(row["fault"], row["mode"]): row for row in json.loads(ended.stdout)["faults"]}
    assert set(rows) == {(kind, mode) for kind in KINDS for mode in ROWS}
    for kind in KINDS:
        assert rows[kind, "routed-delivered"]["lost_silently"] == 0
    assert rows["node killed", "fanout"]["lost_silently"] > 0
    assert rows["node killed", "routed-delivered"]["arrived"] > 0
    for row in rows.values():
        parts = row["arrived"] + row["lost_silently"] + row["told"]
        assert parts == row["messages"], row
