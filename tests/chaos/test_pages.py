"""Pages in a real Chromium among the clients of the chaos runner."""

import json
import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.faults.options import Options
from scripts.faults.steps import make_plan
from tests.chaos.test_short_run import ROOT, RUN, run
from tests.support.processes import PROC, is_gone, wait_until

pytestmark = pytest.mark.timeout(180)
PAGES = ["--clients", "sdk", "--pages", "2"]
SMALL = ["--seconds", "10", "--nodes", "3", "--users", "10", "--rate", "40", "--quick"]


def opened(ledger: Path) -> Counter[str]:
    """Return how many connections each page had until now."""
    file = ledger / "pages.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return Counter(entry["user"] for entry in entries if entry["what"] == "opened")


def test_pages_get_every_durable_message_once_and_in_order_while_nodes_die_and_drain(
    tmp_path: Path,
) -> None:
    faults = ["--faults", "kill,drain", "--seed", "1"]
    ended = run(*RUN, *PAGES, *SMALL, *faults, "--out", str(tmp_path), "--json")
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout)
    assert figures["findings"] == []
    assert figures["pages"]["clients"] == 2
    assert figures["pages"]["received durable"] >= 5
    # The first two nodes have served the module, and were the first to be connected to.
    plan = make_plan(
        Options(seed=1, seconds=10, nodes=3, faults=("kill", "drain"), clients="sdk", quick=True)
    )
    assert {"n1", "n2"} <= {step.where for step in plan}
    assert all(connections >= 2 for connections in opened(tmp_path).values())


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    parents: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting += children
    return found


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short name: sockets go there, whose names have at most 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(not PROC.exists(), reason="only Linux tells who has started whom")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_browser_and_no_files(
    tmp_path: Path, temporary: Path, sign: signal.Signals
) -> None:
    arguments = [*PAGES, *SMALL, "--seconds", "100", "--faults", "none", "--out", str(tmp_path)]
    runner = subprocess.Popen(
        [*RUN, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(opened(tmp_path)) == 2 or runner.poll() is not None, "two pages", 90)
        assert runner.poll() is None
        processes = descendants(runner.pid)
        runner.send_signal(sign)
        assert runner.wait(60) == 130
    finally:
        runner.kill()
        runner.wait()
    assert len(processes) > 8
    wait_until(lambda: all(map(is_gone, processes)), "every process has ended")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pages", "2"], "needs --clients sdk"),
        (PAGES, "apt install chromium"),
    ],
)
def test_pages_that_cannot_be_are_refused_with_the_mend(arguments: list[str], words: str) -> None:
    ended = subprocess.run(
        [*RUN, *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nonexistent", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())
