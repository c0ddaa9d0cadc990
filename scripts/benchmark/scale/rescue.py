"""How long it takes to clean up after an endpoint that died with many users."""

import time

from router.member import Member
from scripts.benchmark.scale.crowd import Crowd, in_turn, lease_of
from scripts.benchmark.scale.people import SLICE
from scripts.benchmark.scale.rows import Faulty, Row, once
from scripts.benchmark.scale.stage import Stage


async def measure(stage: Stage) -> list[Row]:
    """Let one more endpoint die with users of its own, and rescue it as a node does."""
    crowd, count = stage.large, stage.options.rescued
    stage.tell(f"{count:,} users connect", 0.1)
    doomed = await crowd.leases.open("doomed", lease_of(len(crowd.endpoints)))
    numbers = range(crowd.users, crowd.users + count)

    async def register(first: int) -> None:
        some = numbers[first : first + SLICE]
        if not await crowd.registry.register([crowd.people.session(n, doomed) for n in some]):
            raise Faulty("the endpoint to be rescued was fenced too early")

    await in_turn(register(first) for first in range(0, count, SLICE))
    await crowd.leases.end(doomed)
    stage.tell("it is rescued", 0.5)
    member = Member(crowd.settings, crowd.server.url)
    await member.open()
    try:
        begin, before = time.perf_counter_ns(), crowd.cpu_ns()
        if not await member.make_rescuer().take_over(doomed):
            raise Faulty("the endpoint was not ours to rescue")
        took_s = (time.perf_counter_ns() - begin) / 1e9
        spent_us = (crowd.cpu_ns() - before) / 1000
    finally:
        await member.close()
    await _check(crowd, doomed, numbers)
    size = f"{count:,} users"
    return [
        Row("time to rescue an endpoint", once(took_s), "s", size=size, digits=2),
        Row("store CPU per user rescued", once(spent_us / count), "us", size=size),
    ]


async def _check(crowd: Crowd, doomed: str, numbers: range) -> None:
    """Raise if anything of it is left."""
    some = [crowd.people.session(number)[0] for number in numbers[:: max(1, len(numbers) // 1_000)]]
    if await crowd.registry.locate(some) or doomed in await crowd.leases.ids():
        raise Faulty("something was left of the endpoint that was rescued")
