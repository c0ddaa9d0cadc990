"""Stores of the scale bench have a processor for themselves, where there are two."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmark.scale.processors import Apart
from tests.support.waiting import eventually

FORKS = "import os, sys; sys.stdin.readline(); os.fork(); sys.stdin.readline()"

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="there is one processor, or programs may not choose",
)


@pytest.fixture
def program() -> Iterator["subprocess.Popen[str]"]:
    """Return a program that forks when it is sent a line, and ends with the next one."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


async def test_a_store_is_alone_there_and_afterwards_everything_is_as_before() -> None:
    before = os.sched_getaffinity(0)
    async with Apart() as apart:
        assert apart.apart
        assert os.sched_getaffinity(0) == before - {min(before)}
    assert os.sched_getaffinity(0) == before


async def test_the_child_of_a_store_is_moved_away(program: "subprocess.Popen[str]") -> None:
    usable = os.sched_getaffinity(0)
    async with Apart() as apart:
        apart.move(program.pid)
        assert os.sched_getaffinity(program.pid) == {min(usable)}
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()

        told = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        (child,) = await eventually(lambda: told.read_text(encoding="ascii").split())
        others = usable - {min(usable)}
        await eventually(lambda: os.sched_getaffinity(int(child)) == others)


async def test_a_store_that_has_ended_is_not_apart(program: "subprocess.Popen[str]") -> None:
    program.kill()
    program.wait()
    async with Apart() as apart:
        apart.move(program.pid)
        assert not apart.apart
