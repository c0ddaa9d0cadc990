"""Nothing we start outlives us; each test plays it with real processes."""

import os
import signal
import subprocess
import sys

import pytest

from router import orphans
from tests.support.processes import is_gone, wait_until

CHILD = """
import os, sys, time
from router.orphans import die_with_parent
die_with_parent(int(sys.argv[1]) or os.getppid())
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], "0"])
time.sleep(600)
"""
FOREIGN = """
import signal, subprocess, sys, time
from router.orphans import death_signal
child = subprocess.Popen(["sleep", "600"], preexec_fn=death_signal(signal.SIGTERM))
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("arguments", [[PARENT, CHILD], [FOREIGN]], ids=["own", "foreign"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_child_ends_when_its_parent_is_killed(arguments: list[str], stopped: bool) -> None:
    if arguments[0] is FOREIGN and sys.platform != "linux":
        pytest.skip("only Linux ends a foreign program with its parent")
    with subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        if stopped:
            os.kill(child, signal.SIGSTOP)
        parent.kill()
    if stopped and arguments[0] is FOREIGN:  # it gets its SIGTERM when it goes on
        os.kill(child, signal.SIGCONT)
    wait_until(lambda: is_gone(child), "the child ends")


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CHILD, "1"], capture_output=True, timeout=10, check=False
    )
    assert (answer.returncode, answer.stdout) == (1, b"")


def test_where_the_kernel_does_not_help_the_parent_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parents = iter([7, 7, 1])
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(orphans, "_LOOK_EVERY_S", 0)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    orphans._watch(7)
    assert signals == [(os.getpid(), signal.SIGKILL)]


def test_elsewhere_a_foreign_program_cannot_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert orphans.death_signal(signal.SIGTERM) is None
