"""What this process takes of its machine."""

import resource
import sys
from pathlib import Path

import pytest

from node import footprint
from node.footprint import Footprint


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = self.cpu_s = 100.0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.cpu_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(footprint, "time", found)
    return found


def test_the_cpu_time_is_told_in_percent_of_one_core(clock: Clock) -> None:
    mine = Footprint()
    assert mine.cpu_percent() is None
    clock.now, clock.cpu_s = 102.0, 101.5
    assert mine.cpu_percent() == 75.0
    clock.now = 104.0
    assert mine.cpu_percent() == 0.0


def test_asked_again_at_once_it_says_the_same(clock: Clock) -> None:
    mine = Footprint()
    clock.now, clock.cpu_s = 101.0, 100.25
    assert mine.cpu_percent() == 25.0
    clock.now, clock.cpu_s = 101.4, 100.65
    assert mine.cpu_percent() == 25.0
    clock.now = 102.0
    assert mine.cpu_percent() == 40.0


@pytest.mark.skipif(sys.platform != "linux", reason="the others do not say")
def test_the_memory_is_what_the_process_holds_now() -> None:
    held = Footprint().rss_bytes()
    assert held is not None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 1_000_000 < held <= most * 1.1


def test_a_system_that_does_not_say_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "_STATM", Path("/nowhere/statm"))
    assert Footprint().rss_bytes() is None
