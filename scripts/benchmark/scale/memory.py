"""Fills the registry, and says how much memory of the store each user takes."""

import asyncio
import time

from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.rows import Row, once
from scripts.benchmark.scale.slowlog import watch
from scripts.benchmark.scale.stage import Stage
from scripts.comparison.chart import Chart, Point, Series

AIM_BYTES = 220
_POINTS = 40
_SETTLE_TRIES = 300
_BLIND_TRIES = 50
_SETTLE_S = 0.1


async def measure(stage: Stage) -> list[Row]:
    """Register everybody, in both registries."""
    for crowd in (stage.small, stage.large):
        watch(crowd)
    await stage.small.register(stage.small.people.slices(0, stage.small.users), lambda _: None)
    crowd = stage.large
    empty = await settled(crowd)
    begin_ns, begin = crowd.cpu_ns(), time.monotonic()
    points = await _fill(stage, empty)
    spent_ns, took_s = crowd.cpu_ns() - begin_ns, time.monotonic() - begin
    per_user = (await settled(crowd) - empty) / crowd.users
    size = f"{crowd.users:,} users, {len(crowd.endpoints)} endpoints"
    stage.charts.append(_chart(points))
    return [
        Row(
            "store memory per online user",
            once(per_user),
            "B",
            AIM_BYTES,
            size,
            "one session each: its route, its place in the index, and their share of the tables; "
            "ids of 12 characters, IPv4 addresses, the device `default`",
        ),
        Row("registrations", once(crowd.users / took_s), "/s", None, size, digits=0),
        Row("store CPU per registration", once(spent_ns / crowd.users / 1000), "us", None, size),
    ]


async def settled(crowd: Crowd) -> int:
    """Return the store's memory when no table is on its way to a larger one.

    They stand still while a child rewrites the store's file. A store that does not say how far they
    are (Redis) is given a few seconds and reads, which move tables on.
    """
    seen = 0
    for _ in range(_SETTLE_TRIES):
        await asyncio.sleep(_SETTLE_S)
        if crowd.rewriting():
            continue
        seen += 1
        growing = crowd.growing()
        if growing == 0 or (growing < 0 and seen >= _BLIND_TRIES):
            break
    return crowd.used_bytes()


async def _fill(stage: Stage, empty: int) -> list[tuple[int, float]]:
    """Register everybody; return how much memory each user took on the way."""
    crowd, points = stage.large, []
    step = max(1, crowd.users // _POINTS)
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        stage.tell(f"{done:,} of {crowd.users:,}", done / crowd.users)

    for first in range(0, crowd.users, step):
        await crowd.register(crowd.people.slices(first, min(first + step, crowd.users)), told)
        points.append((done, (crowd.used_bytes() - empty) / done))
    return points


def _chart(points: list[tuple[int, float]]) -> Chart:
    series = Series("store", "mode-routed", [Point(x, y, y, y) for x, y in points])
    note = "the steps are tables of the store that double"
    return Chart("memory", "Store memory per user", "users", "bytes per user", [series], note=note)
