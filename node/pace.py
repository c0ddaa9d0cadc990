"""How often and how fast: token buckets; pure, the time is passed in.

Who is over its rate owes: what came is taken, and nothing more until the debt is worked off.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from router.settings import LimitSettings

K = TypeVar("K", bound=Hashable)
_FEW: Final = 1_024
_LONGEST_TURN_S: Final = 30.0
_SOONEST_TURN_S: Final = 1.0


class Limits:
    """The limits in force.

    Args:
        settings: of them; put others here, and they count for everybody from then on.
    """

    __slots__ = ("now",)

    def __init__(self, settings: LimitSettings) -> None:
        self.now = settings


class Pace:
    """How fast one client may be read from.

    The clock is only looked at when a burst is used up, so a frame costs two subtractions.

    Args:
        limits: of frames and bytes a second.
        now: seconds.
    """

    __slots__ = ("_at", "_bytes", "_frames", "_limits", "waits")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._frames = float(limits.now.frames_burst)
        self._bytes = float(limits.now.bytes_per_second)
        self._at = now
        self.waits = 0  # how often reading had to wait

    def took(self, length_bytes: int) -> bool:
        """Count a frame of so many bytes; return whether `wait_s` must be asked before the next."""
        self._frames -= 1
        self._bytes -= length_bytes
        return self._frames < 0 or self._bytes < 0

    def answered(self) -> None:
        """The frame that was counted last answers one of ours: it is not counted as a frame."""
        self._frames += 1

    def wait_s(self, now: float) -> tuple[float, str]:
        """Return how long to wait before the next frame is read, and for which limit; 0 for not."""
        limits = self._limits.now
        passed_s, self._at = max(0.0, now - self._at), now
        self._frames += passed_s * limits.frames_per_second
        self._bytes += passed_s * limits.bytes_per_second
        self._frames = min(self._frames, float(limits.frames_burst))
        self._bytes = min(self._bytes, float(limits.bytes_per_second))
        for_frames_s = -self._frames / limits.frames_per_second
        for_bytes_s = -self._bytes / limits.bytes_per_second
        longest_s = max(for_frames_s, for_bytes_s, 0.0)
        if longest_s:
            self.waits += 1
        return longest_s, "frames" if for_frames_s >= for_bytes_s else "bytes"


class Buckets(Generic[K]):
    """A token bucket for each key; one that is full again is forgotten sooner or later."""

    __slots__ = ("_levels", "_prune_at")

    def __init__(self) -> None:
        self._levels: dict[K, tuple[float, float]] = {}  # what it holds, and when it did
        self._prune_at = _FEW

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: K, cost: float, rate: float, burst: float, now: float) -> float:
        """Take `cost` out of the bucket of `key`, if it holds anything.

        Args:
            key: whose.
            cost: one that is larger than what is there leaves a debt.
            rate: what comes in, per second.
            burst: what the bucket holds at most.
            now: seconds.

        Returns:
            0.0 when it was taken; else how many seconds later it would be, and nothing was.
        """
        level, at = self._levels.get(key, (burst, now))
        level = min(burst, level + (now - at) * rate)
        if level < 1.0:
            return (1.0 - level) / rate
        self._levels[key] = (level - cost, now)
        if len(self._levels) > self._prune_at:
            self._prune(rate, burst, now)
        return 0.0

    def _prune(self, rate: float, burst: float, now: float) -> None:
        kept = {
            key: (level, at)
            for key, (level, at) in self._levels.items()
            if level + (now - at) * rate < burst
        }
        self._levels = kept
        self._prune_at = max(_FEW, 2 * len(kept))  # so that looking costs a constant per key


class Turns:
    """Gives a turn to each of those who come too many at once: as many a second as can be taken."""

    __slots__ = ("_at", "_level", "_turn")

    def __init__(self) -> None:
        self._level: float | None = None
        self._at = 0.0
        self._turn = 0.0

    def ask(self, rate: float, now: float) -> float:
        """Ask for admission.

        Args:
            rate: how many a second.
            now: seconds.

        Returns:
            0.0 to come in; else in how many seconds to ask again.
        """
        level = rate if self._level is None else self._level + (now - self._at) * rate
        self._level, self._at = min(rate, level), now
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        self._turn = max(self._turn, now + _SOONEST_TURN_S) + 1.0 / rate
        after_s = self._turn - now
        # A queue longer than that begins at its front again: who is told to wait for minutes goes.
        return _SOONEST_TURN_S + (after_s - _SOONEST_TURN_S) % _LONGEST_TURN_S
