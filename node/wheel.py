"""Whose time has come, without a timer for each; pure, the time is passed in."""

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Wheel(Generic[M]):
    """Members, each with a moment; all moments of one second come together, at its end.

    Putting one in and taking it out costs the same however many there are, and one that was taken
    out is forgotten at once.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, set[M]] = {}
        self._order: list[int] = []
        self._where: dict[M, int] = {}

    def __len__(self) -> int:
        return len(self._where)

    def put(self, member: M, at: float) -> None:
        """Let a member's turn come `at` this moment, seconds, instead of any other."""
        self.remove(member)
        second = math.ceil(at)
        if second not in self._seconds:
            self._seconds[second] = set()
            heapq.heappush(self._order, second)
        self._seconds[second].add(member)
        self._where[member] = second

    def remove(self, member: M) -> None:
        """Let a member's turn not come any more. Idempotent."""
        second = self._where.pop(member, None)
        if second is not None:
            self._seconds[second].discard(member)

    def due(self, now: float) -> list[M]:
        """Return whose turn has come, and forget them."""
        found: list[M] = []
        while self._order and self._order[0] <= now:
            found.extend(self._seconds.pop(heapq.heappop(self._order)))
        for member in found:
            del self._where[member]
        return found
