"""Totals -> rates; pure, the time is passed in."""


class Rate:
    """The rate of a growing total over the last few samples.

    Args:
        smoothing: weight of the newest sample, 0 to 1.
    """

    def __init__(self, smoothing: float = 0.5) -> None:
        self._smoothing = smoothing
        self._total = 0
        self._at: float | None = None
        self._per_second = 0.0

    def sample(self, total: int, now: float) -> float:
        """Take the total at `now`, seconds; return the rate per second."""
        if self._at is not None and now > self._at:
            fresh = (total - self._total) / (now - self._at)
            self._per_second += self._smoothing * (fresh - self._per_second)
        self._total, self._at = total, now
        return round(self._per_second, 2)
