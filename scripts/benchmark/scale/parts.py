"""The store's CPU for each thing that is done to it, one kind at a time: a model's constants."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from router.codec import MessageEnvelope, encode
from router.settings import RegistrySettings
from router.store import scripts
from router.store.inbox import Room, pack_push
from router.store.resp import keyless
from router.store.routes import Found, Question, RouteTable
from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.people import SLICE, user_of
from scripts.benchmark.scale.rows import Faulty, Row
from scripts.benchmark.scale.sending import DATA, empty_inboxes
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.stats import Spread

_BATCHES = 40
_BEATS = 10
_LOOKS = 100

Kind = Callable[[Random], Awaitable[int]]
"""Does things of one kind, some thousands of them; returns how many."""


async def measure(stage: Stage) -> list[Row]:
    """Do each kind of thing in turn, a few thousand times, and again."""
    crowd = stage.large
    size = f"{crowd.users:,} users"
    table = RouteTable(crowd.connector, crowd.keys, RegistrySettings(cache=False))
    await table.open()
    kinds: dict[str, Kind] = {
        "PING, as a yardstick": lambda _: _often(_ping(crowd) for _ in range(_BATCHES)),
        "refresh of a session": lambda dice: _often(_refresh(crowd, dice) for _ in range(_BATCHES)),
        "look-up, not cached": lambda dice: _often(
            _look_up(table, crowd, dice) for _ in range(_BATCHES)
        ),
        "push of one envelope": lambda dice: _often(_push(crowd, dice) for _ in range(_BATCHES)),
        "trim of one envelope": lambda _: _trim(crowd),
        "heartbeat of an endpoint": lambda _: _beats(crowd),
        "look for dead nodes": lambda _: _looks(crowd),
    }
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    try:
        for repeat in range(stage.options.repeats):
            for kind, work in kinds.items():
                before = crowd.cpu_ns()
                done = await work(Random(repeat))
                spent[kind].append((crowd.cpu_ns() - before) / done / 1000)
            await empty_inboxes(crowd)
            stage.tell(f"repeat {repeat + 1}", (repeat + 1) / stage.options.repeats)
    finally:
        await table.close()
    return [
        Row(f"store CPU per {kind}", Spread.of(values), "us", size=size)
        for kind, values in spent.items()
    ]


async def _often(batches: Iterator[Awaitable[None]]) -> int:
    """Do batches of `SLICE` things each, one after the other, as a node's sweep does."""
    for batch in batches:
        await batch
    return _BATCHES * SLICE


async def _beats(crowd: Crowd) -> int:
    for _ in range(_BEATS):
        await crowd.beat()
    return _BEATS * len(crowd.endpoints)


async def _looks(crowd: Crowd) -> int:
    for _ in range(_LOOKS):
        await crowd.look()
    return _LOOKS


async def _ping(crowd: Crowd) -> None:
    """Do what costs the least there is: how fast this machine is just now."""
    await crowd.store.answers([keyless("PING")] * SLICE)


async def _refresh(crowd: Crowd, dice: Random) -> None:
    """Refresh sessions of one endpoint, as its node does each second."""
    shift = dice.randrange(min(len(crowd.endpoints), crowd.users))
    there = range(shift, crowd.users, len(crowd.endpoints))
    numbers = dice.choices(there, k=SLICE)
    if not all(await crowd.registry.refresh([crowd.people.session(n) for n in numbers])):
        raise Faulty("a route of the bench was lost")


async def _look_up(table: RouteTable, crowd: Crowd, dice: Random) -> None:
    found: asyncio.Future[list[Found]] = asyncio.get_running_loop().create_future()
    users = dice.choices(range(crowd.users), k=SLICE)
    questions = [Question(user_of(number)) for number in users]
    table.look_up(questions, found.set_result)
    for answer in await found:
        if answer.routes is None or answer.routes.sessions != 1:
            raise Faulty("a user of the bench was not found")


async def _push(crowd: Crowd, dice: Random) -> None:
    room = Room.of(crowd.settings.inbox, crowd.settings.node.max_message_bytes)
    data = f'"{DATA}"'.encode()
    pushes = []
    for number in dice.choices(range(crowd.users), k=SLICE):
        envelope = MessageEnvelope(
            f"{number:024x}", "", "", 0, 0, 1.8e9, 0, [user_of(number)], [], data
        )
        endpoint = crowd.endpoints[number % len(crowd.endpoints)]
        pushes.append(pack_push(crowd.keys, endpoint, room, [encode(envelope)]))
    if min(await crowd.store.answers(pushes)) < 1:
        raise Faulty("a push of the bench was refused")


async def _trim(crowd: Crowd) -> int:
    """Remove everything from the inboxes, one envelope after the other."""
    k, trims = crowd.keys, []
    for endpoint, length, done in await crowd.waiting():
        keys = (k.open(endpoint), k.inbox(endpoint), k.done(endpoint))
        trims += [scripts.TRIM.pack(keys, done + number, 1) for number in range(length)]
    for first in range(0, len(trims), SLICE):
        some = trims[first : first + SLICE]
        if set(await crowd.store.answers(some)) != {1}:
            raise Faulty("an inbox was read by somebody else")
    return len(trims)
