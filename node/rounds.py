"""Everybody's turn once per period, spread evenly; pure, the time that passed is handed in."""

from collections import deque
from itertools import takewhile
from typing import Final, Generic, Protocol, TypeVar

_NEVER: Final = float("-inf")


class Closable(Protocol):
    """What takes part until it is closed."""

    closed: bool


C = TypeVar("C", bound=Closable)


class Rounds(Generic[C]):
    """Takes turns among those that take part; who joins comes after all who were there.

    The more there are, the faster turns are taken. So a round may be short while many join at once;
    but between two turns of one of them lies half a period at least, for whoever was asked
    something in the first has as long to answer.

    Args:
        period_s: how long one round takes.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._now = 0.0
        self._waiting: deque[C] = deque()
        # When their last turn was, for so many in a row: thousands come and go between two calls.
        self._turned: deque[tuple[float, int]] = deque()
        self._owed = 0.0

    def join(self, member: C) -> None:
        """Take part from now on."""
        self._wait([member], _NEVER)

    def due(self, passed_s: float) -> list[C]:
        """Return whose turn it is, `passed_s` seconds after the last call; closed ones drop out."""
        self._now += passed_s
        self._owed += len(self._waiting) * passed_s / self._period_s
        turns = min(int(self._owed), self._rested())
        taken = [self._waiting.popleft() for _ in range(turns)]
        self._forget(turns)
        self._owed = min(self._owed - turns, 1.0)
        due = [member for member in taken if not member.closed]
        self._wait(due, self._now)
        return due

    def _wait(self, members: list[C], turned: float) -> None:
        self._waiting.extend(members)
        count = len(members)
        if self._turned and self._turned[-1][0] == turned:
            count += self._turned.pop()[1]
        if count:
            self._turned.append((turned, count))

    def _rested(self) -> int:
        """Return how many may have a turn: those before the first who had one just now."""
        latest = self._now - self._period_s / 2
        rested = takewhile(lambda some: some[0] <= latest, self._turned)
        return sum(count for _, count in rested)

    def _forget(self, turns: int) -> None:
        """Forget when the first ones had their last turn."""
        while turns:
            turned, count = self._turned.popleft()
            if count > turns:
                self._turned.appendleft((turned, count - turns))
            turns -= min(count, turns)
