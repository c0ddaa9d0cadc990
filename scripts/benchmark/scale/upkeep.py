"""What it costs the store that everybody stays registered: at the real pace, for a while.

Each endpoint refreshes its share of users once a second, and beats; each looks for dead ones.
"""

import asyncio
import random
from collections.abc import Iterator

from router.settings import RegistrySettings
from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.rows import Faulty, Row
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.meter import NANOSECONDS
from scripts.measuring.stats import Spread

AIM_PERCENT = 25
_LOOK_S = 3.0  # as `router.rescue` does
_WINDOWS = 5
_ROUNDS_PER_TTL = 3  # as `node.presence` refreshes


async def measure(stage: Stage) -> list[Row]:
    """Refresh, beat and look for some seconds, in windows that are measured each."""
    crowd, seconds = stage.large, stage.options.seconds
    looks = asyncio.create_task(_look_forever(crowd))
    turns = _turns(crowd)
    shares, behind = [], 0.0
    try:
        for window in range(_WINDOWS):
            share, took_s = await _window(crowd, turns, seconds / _WINDOWS)
            shares.append(100 * share)
            behind = max(behind, took_s / (seconds / _WINDOWS))
            stage.tell(f"{seconds:g} s at the real pace", (window + 1) / _WINDOWS)
            if looks.done():
                await looks
    finally:
        looks.cancel()
        await asyncio.wait([looks])
    ttl_s = RegistrySettings().user_ttl_s
    note = (
        "CPU of the store's process while each user is registered again every "
        f"{_period_s():g} s (user_ttl_s = {ttl_s:g}) and {len(crowd.endpoints)} endpoints "
        "beat and look for dead ones; with all else it does, but not the child that rewrites its "
        "file"
    )
    if behind > 1.05:
        note += f"; this machine took {behind:.2f} times as long: the share is of the real pace"
    size = f"{crowd.users:,} users, {len(crowd.endpoints)} endpoints"
    figure = "refreshes and heartbeats, share of a core"
    return [Row(figure, Spread.of(shares), "%", AIM_PERCENT, size, note)]


def _period_s() -> float:
    return RegistrySettings().user_ttl_s / _ROUNDS_PER_TTL


def _turns(crowd: Crowd) -> Iterator[list[int]]:
    """Yield for ever whom the next endpoint refreshes: what is due in a second."""
    count = len(crowd.endpoints)
    each = max(1, round(crowd.users / count / _period_s()))
    while True:
        for first in range(0, crowd.users, each * count):
            for shift in range(count):
                some = list(range(first + shift, min(first + each * count, crowd.users), count))
                if some:
                    yield some


async def _window(crowd: Crowd, turns: Iterator[list[int]], seconds: float) -> tuple[float, float]:
    """Refresh as many as are due in so many seconds.

    Returns:
        The share of a core that took, and the seconds it took.
    """
    loop = asyncio.get_running_loop()
    due = round(crowd.users * seconds / _period_s())
    begin, before = loop.time(), crowd.cpu_ns()
    refreshed = 0
    while refreshed < due:
        early_s = begin + refreshed / due * seconds - loop.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        numbers = next(turns)
        if not all(await crowd.registry.refresh([crowd.people.session(n) for n in numbers])):
            raise Faulty("a route of the bench was lost")
        refreshed += len(numbers)
    await asyncio.sleep(max(0.0, begin + seconds - loop.time()))
    spent_s = (crowd.cpu_ns() - before) / NANOSECONDS
    return spent_s / (seconds * refreshed / due), loop.time() - begin


async def _look_forever(crowd: Crowd) -> None:
    """Look as often as all nodes together do."""
    while True:
        await asyncio.sleep(_LOOK_S / len(crowd.endpoints) * random.uniform(0.8, 1.2))
        await crowd.look()
