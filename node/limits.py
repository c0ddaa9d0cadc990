"""Bounds on what a client may do; pure, the time is passed in."""


class Strikes:
    """Counts offences in a sliding window.

    Args:
        allowed: how many bring the limit.
        window_s: within how many seconds.
    """

    __slots__ = ("_allowed", "_times", "_window_s")

    def __init__(self, allowed: int, window_s: float) -> None:
        self._allowed = allowed
        self._window_s = window_s
        self._times: list[float] = []

    def strike(self, now: float) -> bool:
        """Count one at `now`, seconds; return whether the limit is reached."""
        self._times = [at for at in self._times if now - at < self._window_s]
        self._times.append(now)
        return len(self._times) >= self._allowed
