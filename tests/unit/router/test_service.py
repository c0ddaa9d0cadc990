"""Loops with an owner: ended in every way, and started again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router import service
from router.service import Service, Services
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

ENDED = "a service has ended and is started again"


class Loop:
    """A loop that ends when it is told to, in the way it is told."""

    def __init__(self) -> None:
        self.began = 0
        self.error: Exception | None = None
        self.end = asyncio.Event()

    async def run(self) -> None:
        self.began += 1
        self.end.clear()
        await self.end.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
async def looping(loop: Loop) -> AsyncIterator[Service]:
    found = Service("a loop", loop.run)
    found.start()
    await eventually(lambda: loop.began == 1)
    yield found
    await found.stop()


async def ended(looping: Service, loop: Loop, times: int) -> None:
    """End a loop that has begun so often; go on when its owner has noticed."""
    await eventually(lambda: loop.began == times)
    loop.end.set()
    await eventually(lambda: looping.failures == times)


def task_of(running: Service) -> "asyncio.Task[None]":
    (found,) = [task for task in asyncio.all_tasks() if task.get_name() == running.name]
    return found


async def test_it_runs_once_however_often_it_is_started(looping: Service, loop: Loop) -> None:
    looping.start()
    await rounds()
    assert (loop.began, looping.failing, looping.failures) == (1, False, 0)


async def test_one_that_raises_is_failing_until_it_runs_again(
    looping: Service, loop: Loop, logs: StrictLogs
) -> None:
    logs.expect(ENDED)
    loop.error = RuntimeError("a fault of ours")
    loop.end.set()
    await eventually(lambda: looping.failing)
    await eventually(lambda: loop.began == 2)
    assert (looping.failing, looping.failures) == (False, 1)
    (logged,) = logs.events(ENDED)
    assert logged["service"] == "a loop"
    assert logged["exc_info"] is loop.error


async def test_one_that_returns_is_started_again(
    looping: Service, loop: Loop, logs: StrictLogs
) -> None:
    logs.expect(ENDED)
    loop.end.set()
    await eventually(lambda: loop.began == 2)
    assert looping.failures == 1


async def test_one_that_somebody_else_cancels_is_started_again(
    looping: Service, loop: Loop, logs: StrictLogs
) -> None:
    logs.expect(ENDED)
    task_of(looping).cancel()
    await eventually(lambda: looping.failing)
    await eventually(lambda: loop.began == 2)


async def test_the_pause_grows_and_is_bounded(
    looping: Service, loop: Loop, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_FIRST_PAUSE_S", 0.0005)
    monkeypatch.setattr(service, "_LONGEST_PAUSE_S", 0.004)
    logs.expect(ENDED)
    for number in range(1, 7):
        await ended(looping, loop, number)
    pauses = [logged["pause_s"] for logged in logs.events(ENDED)]
    assert max(pauses[:1]) <= 0.001
    assert all(0.002 <= pause <= 0.004 for pause in pauses[3:])


async def test_one_that_was_well_for_long_begins_with_the_first_pause_again(
    looping: Service, loop: Loop, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_WELL_S", 0.0)
    monkeypatch.setattr(service, "_FIRST_PAUSE_S", 0.001)
    logs.expect(ENDED)
    for number in range(1, 5):
        await ended(looping, loop, number)
    assert all(logged["pause_s"] <= 0.002 for logged in logs.events(ENDED))


async def test_a_stopped_one_has_ended_and_stays_so(looping: Service, loop: Loop) -> None:
    task = task_of(looping)
    await looping.stop()
    await looping.stop()
    assert task.done()
    assert not looping.failing


async def test_one_stopped_during_its_pause_does_not_come_back(
    looping: Service, loop: Loop, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_FIRST_PAUSE_S", 0.05)
    logs.expect(ENDED)
    loop.end.set()
    await eventually(lambda: looping.failing)
    await looping.stop()
    assert not looping.failing
    await asyncio.sleep(0.11)
    assert loop.began == 1


async def test_several_say_together_who_is_failing(loop: Loop, logs: StrictLogs) -> None:
    logs.expect(ENDED)
    services, other = Services(), Loop()
    first, second = services.add("first", loop.run), services.add("second", other.run)
    assert services.failing() == []  # what was not started yet does not fail
    first.start()
    second.start()
    await eventually(lambda: other.began)
    other.end.set()
    await eventually(lambda: services.failing() == ["second"])
    await eventually(lambda: services.failing() == [])
    assert services.failures == 1
    await first.stop()
    await second.stop()


async def test_several_of_one_name_are_counted_together(loop: Loop, logs: StrictLogs) -> None:
    logs.expect(ENDED)
    services, other = Services(), Loop()
    running = [services.add("link", loop.run), services.add("link", other.run)]
    services.add("another", loop.run)
    for each in running:
        each.start()
    await eventually(lambda: loop.began and other.began)
    loop.end.set()
    other.end.set()
    await eventually(lambda: services.restarts() == {"link": 2, "another": 0})
    for each in running:
        await each.stop()


async def test_one_that_is_taken_out_is_looked_at_no_longer(loop: Loop, logs: StrictLogs) -> None:
    logs.expect(ENDED)
    services = Services()
    gone, stays = services.add("gone", loop.run), services.add("stays", Loop().run)
    gone.start()
    await eventually(lambda: loop.began)
    loop.end.set()
    await eventually(lambda: services.failures == 1)
    await gone.stop()
    services.remove(gone)
    assert (services.failures, services.restarts(), services.failing()) == (0, {"stays": 0}, [])
    services.remove(stays)
    assert services.restarts() == {}
