"""Telling many sessions to come back without a storm: how long it takes, and whose turn when."""

from collections.abc import Sequence
from typing import Final

# What the other nodes can well take beside their own work: each one that comes back costs them a
# handshake and three commands.
SESSIONS_PER_SECOND: Final = 100


def window_s(sessions: int, longest_s: float) -> float:
    """Return over how long to spread so many sessions, seconds.

    Args:
        sessions: how many.
        longest_s: no longer than this, even if there are more a second then.
    """
    return min(longest_s, sessions / SESSIONS_PER_SECOND)


def moments(jitter: Sequence[float], window: float) -> list[float]:
    """Return a moment for each of some sessions, rising, within the window, seconds.

    Each has an even slice of the window to itself and a random moment within it. So no stretch of
    the window has more than its share and one, which random moments alone could not promise.

    Args:
        jitter: for each session a number from 0 to 1, another one each time.
        window: how long it is, seconds.
    """
    slice_s = window / max(1, len(jitter))
    return [(number + part) * slice_s for number, part in enumerate(jitter)]
