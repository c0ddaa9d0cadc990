"""Which nodes `switchboard up` runs, and when one that died starts again. Pure."""

from dataclasses import dataclass
from signal import Signals
from typing import Final

from router.errors import InvalidRequest

FIRST_DELAY_S: Final = 0.5
MAX_DELAY_S: Final = 30.0
# What `switchboard up` tells its nodes when all of them shall leave: SIGTERM is for one of several.
ALL_LEAVE: Final = Signals.SIGUSR1
WELL_S: Final = 30.0  # what lived this long was well: the next failure counts as the first
_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node to be.

    Args:
        name: `n1`, `n2`, ...
        host: the address it listens on.
        port: the port it listens on.
        api_port: of its API, if that has one of its own; else 0.
        secure: whether it speaks TLS.
    """

    name: str
    host: str
    port: int
    api_port: int = 0
    secure: bool = False

    @property
    def url(self) -> str:
        """Return where its page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}/"


def plan_nodes(
    count: int, host: str, port: int, api_port: int = 0, *, secure: bool = False
) -> list[NodePlan]:
    """Return `count` nodes on consecutive ports.

    Args:
        count: how many, at least 1.
        host: the address they listen on.
        port: the first port.
        api_port: the first of their APIs, if those have ports of their own; else 0.
        secure: whether they speak TLS.

    Raises:
        InvalidRequest: there are not that many ports, or one would be used twice.
    """
    if max(port, api_port) + count - 1 > _MAX_PORT:
        first = max(port, api_port)
        raise InvalidRequest("port", f"{count} nodes from {first} on would pass {_MAX_PORT}")
    if api_port and abs(port - api_port) < count:
        raise InvalidRequest(
            "port", f"{count} nodes from {port} on would need ports of api.port {api_port}, too"
        )
    return [
        NodePlan(f"n{index + 1}", host, port + index, api_port and api_port + index, secure)
        for index in range(count)
    ]


def failures_after(failures: int, lived_s: float) -> int:
    """Return how many failures in a row it is now, this one included.

    Args:
        failures: how many it was before.
        lived_s: how long the process had lived, seconds.
    """
    return 1 if lived_s >= WELL_S else failures + 1


def backoff_s(failures: int, jitter: float) -> float:
    """Return how long to wait before the next start, seconds: doubling, spread out, bounded.

    Args:
        failures: how many in a row, at least 1.
        jitter: from 0 to 1, another one each time.
    """
    low = min(FIRST_DELAY_S * 2.0 ** min(failures - 1, 20), MAX_DELAY_S / 2)
    return low * (1 + jitter)


def how_it_ended(status: int) -> str:
    """Return in words what an exit status says."""
    if status < 0:
        return f"was killed by {Signals(-status).name}"
    return f"ended with status {status}" if status else "ended by itself"
