"""What follows from the end of a connection: come back, where and when, or not at all. Pure."""

from dataclasses import dataclass
from typing import Final

from router.client.words import Options

LOST: Final = 1006  # what RFC 6455 calls a connection that ended without a close frame
NOT_AUTHENTICATED: Final = 4401
REFUSED: Final = 401  # the HTTP status of a handshake without a token that counts
BYE: Final = 1000
# Close codes after which the same would only happen again. `node/disconnects.py` says the same.
FINAL_CODES: Final = frozenset({1008, NOT_AUTHENTICATED, 4403, 4409, 4410})
# The same for the HTTP status of a handshake that was refused.
FINAL_STATUSES: Final = frozenset({400, REFUSED, 403, 422})
_SMALLEST_POWER: Final = 0
_LARGEST_POWER: Final = 30


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection, or the try to make one, ended.

    Args:
        code: the WebSocket close code; the HTTP status where the handshake was refused.
        reason: in words.
        after_s: when the node asks us to come back; None when it did not say.
        welcomed: whether the session was there before.
        held_s: for how long it was.
    """

    code: int
    reason: str
    after_s: float | None = None
    welcomed: bool = False
    held_s: float = 0.0


def comes_back(ending: Ending, *, fresh_token: bool) -> bool:
    """Say whether to come back.

    Args:
        ending: of the last connection.
        fresh_token: whether each connection has a token of its own. Then one that has ended with a
            session that was welcomed is replaced, and nobody need notice. One that was refused in
            the handshake may have been late, or new to the node: the next one is tried later.
    """
    if fresh_token and (
        (ending.code == NOT_AUTHENTICATED and ending.welcomed) or ending.code == REFUSED
    ):
        return True
    return ending.code not in FINAL_CODES and ending.code not in FINAL_STATUSES


def failures_after(ending: Ending, failures: int, options: Options) -> int:
    """Return how many connections in a row have failed by now."""
    return 0 if ending.held_s >= options.stable_after_s else failures + 1


def wait_s(ending: Ending, failures: int, options: Options, roll: float) -> float:
    """Return how long to wait before the next try, in seconds.

    Args:
        ending: of the last one. What its node asked for is obeyed as it is: it is spread over all
            its clients already.
        failures: in a row, this one included.
        options: of the client.
        roll: a random number in [0, 1).
    """
    if ending.after_s is not None:
        return ending.after_s
    power = min(max(_SMALLEST_POWER, failures - 1), _LARGEST_POWER)
    return roll * min(options.retry_cap_s, options.retry_base_s * 2.0**power)
