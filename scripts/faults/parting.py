"""Breaks the links between hosts: packets are lost, both ways or one way, or late."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from scripts.faults.links import Links, Pair
from scripts.faults.steps import ALL, CLIENTS, INWARDS, OUTWARDS, SENDER, STORE, Step


class Parting:
    """Performs the steps that need hosts, and mends what they broke.

    Args:
        links: between the hosts.
        names: of all hosts.
    """

    def __init__(self, links: Links, names: Iterable[str]) -> None:
        self._links = links
        self._names = tuple(names)
        self.kinds: dict[str, Callable[[Step], Awaitable[str]]] = {
            "part": self.lose,
            "one-way": self.lose,
            "late": self.delay,
        }

    async def lose(self, step: Step) -> str:
        """Lose packets for a while; return what to note of it."""
        pairs = pairs_of(step, self._names)
        try:
            await self._links.lose(pairs)
            await asyncio.sleep(step.lasts_s)
        finally:
            lost = await self._links.mend(pairs)
        return f"{step.side}, {lost} packets lost"

    async def delay(self, step: Step) -> str:
        """Have packets be late for a while; return what to note of it."""
        pairs = pairs_of(step, self._names)
        try:
            await self._links.delay(pairs, step.amount / 1000)
            await asyncio.sleep(step.lasts_s)
        finally:
            late = await self._links.mend(pairs)
        return f"{step.side}, {late} packets late by {step.amount:g} ms"


def pairs_of(step: Step, names: Iterable[str]) -> list[Pair]:
    """Return the links that a step breaks, each from a host to a host."""
    sides = {STORE: {STORE}, CLIENTS: {CLIENTS, SENDER}, ALL: set(names)}
    others = sorted(sides[step.side] - {step.where})
    out = [(step.where, other) for other in others]
    back = [(other, step.where) for other in others]
    return {OUTWARDS: out, INWARDS: back}.get(step.how, out + back)
