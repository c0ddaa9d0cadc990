"""Everybody's turn once per period, spread evenly; pure, the time that passed is handed in."""

from collections import deque
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What takes part until it is closed."""

    closed: bool


C = TypeVar("C", bound=Closable)


class Rounds(Generic[C]):
    """Takes turns among those that take part; who joins waits a full round first.

    Args:
        period_s: how long one round takes.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._waiting: deque[C] = deque()
        self._owed = 0.0

    def join(self, member: C) -> None:
        """Take part from now on."""
        self._waiting.append(member)

    def due(self, passed_s: float) -> list[C]:
        """Return whose turn it is, `passed_s` seconds after the last call; closed ones drop out."""
        self._owed += len(self._waiting) * passed_s / self._period_s
        due: list[C] = []
        while self._waiting and self._owed >= 1:
            self._owed -= 1
            member = self._waiting.popleft()
            if not member.closed:
                due.append(member)
        self._waiting.extend(due)
        self._owed = min(self._owed, 1.0)
        return due
