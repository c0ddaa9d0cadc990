"""How late the event loop is."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from node import pulse as pulse_module
from node.pulse import Pulse
from router.service import Services
from tests.support.logs import Logs
from tests.support.waiting import eventually, rounds


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
async def pulse(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> AsyncIterator[Pulse]:
    monkeypatch.setattr(pulse_module, "_TICK_S", 0.01)
    found = Pulse(Services(), 30.0, lambda: heard.append("late"))
    found.start()
    yield found
    await found.stop()


async def test_a_blocked_loop_is_measured_and_told(
    pulse: Pulse, heard: list[str], logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rounds()
    monkeypatch.setattr(pulse, "_limit_s", 0.2)
    time.sleep(0.4)  # noqa: ASYNC251 - that is the fault
    await eventually(lambda: heard == ["late"])
    (logged,) = logs.events("event loop was blocked, or paused")
    assert logged["seconds"] >= 0.2
    assert pulse.latest_s >= 0.2


async def test_a_loop_that_turns_tells_nothing(pulse: Pulse, heard: list[str]) -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert heard == []


async def test_a_stopped_one_measures_no_more(pulse: Pulse) -> None:
    await pulse.stop()
    late_s = pulse.late_s
    await asyncio.sleep(0.05)
    assert pulse.late_s == late_s
