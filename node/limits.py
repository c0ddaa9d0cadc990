"""Bounds on what a client may do; pure, the time is passed in."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

STRIKE_WINDOW_S: Final = 10.0


class Room(Enum):
    """What is to be done with a frame for a client."""

    TAKE = auto()
    REFUSE = auto()  # its sender has had its share
    CLOSE = auto()  # the client is too slow


class Shares:
    """Who may use the room for what waits for one client.

    A client that keeps up takes everything. One that falls behind must not be lost to all because
    one sender floods it: once half of the room is taken, what is left is for all who send in that
    time, in even shares. A sender alone may use all of it, and brings the end when it is used up.

    Args:
        room_bytes: what may wait; half as much again for those who come when one has taken it all.
    """

    __slots__ = ("_half_bytes", "_taken")

    def __init__(self, room_bytes: int) -> None:
        self._half_bytes = room_bytes // 2
        self._taken: dict[str, int] | None = None  # None while there is room for everybody

    def ask(self, sender: str, waiting_bytes: int, length_bytes: int) -> Room:
        """Ask for room for a frame.

        Args:
            sender: who it is from, "" for the node.
            waiting_bytes: what waits already; one frame that nothing waits for is always taken.
            length_bytes: of the frame.
        """
        total_bytes = waiting_bytes + length_bytes
        if not waiting_bytes or total_bytes <= self._half_bytes:
            self._taken = None
            return Room.TAKE
        if self._taken is None:
            self._taken = {}
        taken_bytes = self._taken.get(sender, 0) + length_bytes
        senders = len(self._taken) + (sender not in self._taken)
        if senders == 1:
            if total_bytes > 2 * self._half_bytes:
                return Room.CLOSE
        elif total_bytes > 3 * self._half_bytes:
            return Room.CLOSE
        elif taken_bytes > self._half_bytes // senders:
            return Room.REFUSE
        self._taken[sender] = taken_bytes
        return Room.TAKE


class Strikes:
    """Counts offences in a sliding window.

    Args:
        window_s: how long one counts.
    """

    __slots__ = ("_times", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: Sequence[float] = ()

    def strike(self, now: float, allowed: int) -> bool:
        """Count one at `now`, seconds; return whether there are `allowed` of them."""
        self._times = [*(at for at in self._times if now - at < self._window_s), now]
        return len(self._times) >= allowed
