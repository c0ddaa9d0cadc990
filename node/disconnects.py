"""Close codes, each with its consequence for the client: one table."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A close that the server chooses.

    Args:
        code: WebSocket close code (RFC 6455 section 7.4; 4000-4999 are ours).
        reason: short words for the close frame.
        reconnect: whether the client should come back, here or on another node.
    """

    code: int
    reason: str
    reconnect: bool


STOPPING: Final = Disconnect(1001, "node stopping", reconnect=True)
POLICY: Final = Disconnect(1008, "too many frames that make no sense", reconnect=False)
TOO_LARGE: Final = Disconnect(1009, "message too large", reconnect=True)
DRAIN: Final = Disconnect(1012, "drain", reconnect=True)
TRY_ANOTHER: Final = Disconnect(1013, "try another node", reconnect=True)
EXPIRED: Final = Disconnect(4401, "the token has expired", reconnect=False)
SLOW: Final = Disconnect(4408, "slow consumer", reconnect=True)
KICKED: Final = Disconnect(4410, "kicked", reconnect=False)
TOO_MANY: Final = Disconnect(4429, "too many", reconnect=True)
