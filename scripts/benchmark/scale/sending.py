"""What a send costs in a large registry, against a small one: its look-up and its push.

Each send looks its user up, since a cache would hold all users of the small registry and few of the
large one. The inboxes are emptied between the cells, uncounted: reading them is the nodes' cost.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from router.aio import Router
from router.model import Outcome
from router.settings import RegistrySettings, Settings
from router.store import scripts
from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.people import user_of
from scripts.benchmark.scale.rows import Faulty, Row
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.stats import Spread, ratios

AIM_RATIO = 1.1
OUTSTANDING = 256
DATA = "x" * 98  # 100 bytes of JSON
_WARM_UP = 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, per send.

    Args:
        store_us, sender_us: CPU.
        bytes_in, bytes_out: of the store.
        commands: of the store, those inside scripts included.
    """

    store_us: float
    sender_us: float
    bytes_in: float
    bytes_out: float
    commands: float

    @property
    def total_us(self) -> float:
        return self.store_us + self.sender_us


async def measure(stage: Stage) -> list[Row]:
    """Send to both registries in turn."""
    options = stage.options
    settings = Settings(registry=RegistrySettings(cache=False))
    small: list[Cell] = []
    large: list[Cell] = []
    async with AsyncExitStack() as stack:
        senders = [
            (crowd, await stack.enter_async_context(_router(settings, crowd)), cells)
            for crowd, cells in ((stage.small, small), (stage.large, large))
        ]
        for crowd, router, _ in senders:
            await _cell(crowd, router, _users(crowd, _WARM_UP, seed=-1))
        for pair in range(options.pairs):
            # Whoever is first in a pair finds other things in the machine's caches.
            for crowd, router, cells in senders[:: 1 if pair % 2 else -1]:
                cells.append(await _cell(crowd, router, _users(crowd, options.sends, pair)))
            stage.tell(f"pair {pair + 1} of {options.pairs}", (pair + 1) / options.pairs)
    return _rows(stage, small, large)


def _router(settings: Settings, crowd: Crowd) -> Router:
    return Router.connect(crowd.server.url, settings)


def _users(crowd: Crowd, count: int, seed: int) -> list[str]:
    """Return whom to send to, drawn evenly."""
    return [user_of(number) for number in Random(seed).choices(range(crowd.users), k=count)]


async def _cell(crowd: Crowd, router: Router, users: Sequence[str]) -> Cell:
    """Send to each of these users; empty the inboxes afterwards.

    Raises:
        Faulty: a send was not accepted.
    """
    waiting = iter(users)

    async def sender() -> None:
        for user in waiting:
            result = await router.send(user, DATA, confirm="accepted")
            if result.outcome is not Outcome.ACCEPTED:
                raise Faulty(f"a send to {user} was {result.outcome}")

    before = crowd.meter.read()
    store_ns, own_ns = crowd.cpu_ns(), time.process_time_ns()
    await asyncio.gather(*(sender() for _ in range(OUTSTANDING)))
    own_ns, store_ns = time.process_time_ns() - own_ns, crowd.cpu_ns() - store_ns
    spent = crowd.meter.read() - before
    await empty_inboxes(crowd)
    count = len(users)
    return Cell(
        store_ns / count / 1000,
        own_ns / count / 1000,
        spent.bytes_in / count,
        spent.bytes_out / count,
        spent.commands / count,
    )


async def empty_inboxes(crowd: Crowd) -> None:
    """Remove what lies in the inboxes, as their readers do."""
    k = crowd.keys
    trims = [
        scripts.TRIM.pack((k.open(at), k.inbox(at), k.done(at)), done, length)
        for at, length, done in await crowd.waiting()
        if length
    ]
    if trims and set(await crowd.store.answers(trims)) != {1}:
        raise Faulty("an inbox was read by somebody else")


def _rows(stage: Stage, small: Sequence[Cell], large: Sequence[Cell]) -> list[Row]:
    few, many = stage.small.users, stage.large.users
    size = f"{many:,} against {few:,} users"

    def ratio(figure: str, aim: float | None, what: str, note: str = "") -> Row:
        tops, bottoms = ([getattr(cell, figure) for cell in cells] for cells in (large, small))
        return Row(what, Spread.of(ratios(tops, bottoms)), "x", aim, size, note, digits=2)

    def plain(figure: str, what: str, unit: str, digits: int = 1) -> Row:
        value = Spread.of([getattr(cell, figure) for cell in large])
        return Row(what, value, unit, size=f"{many:,} users", digits=digits)

    return [
        ratio(
            "total_us",
            AIM_RATIO,
            "cost of a send, store and sender",
            f"CPU; each send looks its user up and pushes; {OUTSTANDING} under way, 100 B; "
            f"{len(large)} pairs of {stage.options.sends:,} sends, in turns",
        ),
        ratio("store_us", None, "cost of a send, the store alone"),
        plain("store_us", "store CPU per send", "us"),
        plain("sender_us", "sender CPU per send", "us"),
        plain("bytes_in", "bytes into the store per send", "B", 0),
        plain("bytes_out", "bytes out of the store per send", "B", 0),
        plain("commands", "commands of the store per send", "", 2),
    ]
