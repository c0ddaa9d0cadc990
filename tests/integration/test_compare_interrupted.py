"""Ctrl-C during `scripts/compare`: nothing is left running, what was measured is written."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.comparison.document import load
from tests.support.processes import is_gone, wait_until

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "scripts.comparison", "--nodes", "2", "--modes", "routed"]


def children_of(pid: int) -> list[int]:
    shown = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [line.split() for line in shown.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_and_keeps_what_it_has(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--users", "20", "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        # The store, two nodes, the sender and the clients.
        wait_until(lambda: len(children_of(run.pid)) >= 5, "the cluster runs")
        started = children_of(run.pid)
        run.send_signal(number)
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert "every process of the run has been ended" in errors
    assert [pid for pid in started if not is_gone(pid)] == []
    assert load((tmp_path / "results.json").read_bytes()).settings["nodes"] == [2]
    assert (tmp_path / "report.html").exists()
