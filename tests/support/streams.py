"""Numbered messages to many users, and whether the sender was told the truth about each."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from router.aio import Router
from router.model import Outcome


class Reader(Protocol):
    """A user who notes what comes."""

    user: str
    received: list[Any]
    """The data of every message, repeats included."""
    fell: list[str]
    """Offsets that did not rise within a connection; there must be none."""


class Stream:
    """Numbered messages to random users at a steady rate.

    Args:
        router: sends them.
        users: to whom.
        per_second: how many.
    """

    def __init__(self, router: Router, users: Sequence[str], per_second: float) -> None:
        self._router = router
        self._users = users
        self._per_second = per_second
        self._sends: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self.outcomes: dict[int, tuple[str, Outcome, str]] = {}

    @staticmethod
    def durable(number: int) -> bool:
        """Say whether this one is stored; every other one is."""
        return number % 2 == 1

    def start(self) -> None:
        self._pacing = asyncio.create_task(self._pace())

    async def stop(self) -> None:
        assert self._pacing is not None
        self._pacing.cancel()
        await asyncio.wait([self._pacing])
        await asyncio.gather(*self._sends)

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while True:
            while number < (loop.time() - began) * self._per_second:
                send = asyncio.create_task(self._send(random.choice(self._users), number))
                self._sends.add(send)
                send.add_done_callback(self._sends.discard)
                number += 1
            await asyncio.sleep(0.01)

    async def _send(self, user: str, number: int) -> None:
        result = await self._router.send(user, number, timeout=30.0, durable=self.durable(number))
        self.outcomes[number] = (user, result.outcome, result.reason)


def check_the_ledger(stream: Stream, readers: Sequence[Reader]) -> Counter[Outcome]:
    """Compare what the sender was told with what the users have; return how often which word."""
    received = {reader.user: Counter(reader.received) for reader in readers}
    for number, (user, outcome, reason) in stream.outcomes.items():
        times = received[user][number]
        if stream.durable(number):
            assert times >= 1, f"{number} to {user}, {outcome}, is lost"
            assert outcome in (Outcome.DELIVERED, Outcome.QUEUED, Outcome.UNKNOWN), reason
            continue
        assert times <= 1, f"{number} came {times} times"
        if outcome is Outcome.DELIVERED:
            assert times == 1, f"{number} to {user} is lost"
        elif outcome is Outcome.OFFLINE:
            assert times == 0, f"{number} to {user} was called offline, and came"
        else:
            assert outcome is Outcome.UNKNOWN, (outcome, reason)
    for user, numbers in received.items():
        assert all(stream.outcomes[number][0] == user for number in numbers), "misdelivered"
    assert [reader.fell for reader in readers if reader.fell] == []
    return Counter(outcome for _, outcome, _ in stream.outcomes.values())
