"""What the comparison measures. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from scripts.measuring import options as measuring
from scripts.measuring.modes import Mode, Regime

OUTSTANDING = 128
ROUTED = "routed"
ROUTED_DELIVERED = "routed-delivered"
ROUTED_DURABLE = "routed-durable"
STICKY = "sticky"
QUICK_NODES = (1, 2)

# A word of --modes stands for all rows of its `delivery.mode`. The like-for-like row first: the
# other modes know nothing beyond `accepted`.
MODES = {
    mode.name: mode
    for mode in (
        Mode(ROUTED, ROUTED, "accepted", "accepted"),
        Mode("channel", "channel", "accepted", "accepted"),
        Mode("broadcast", "broadcast", "accepted", "accepted"),
        Mode("fanout", "fanout", "accepted", "accepted"),
        Mode(ROUTED_DELIVERED, ROUTED, "delivered", "delivered"),
    )
}
# Only while things break: it is stored in the user's mailbox, and replayed to who comes back. Its
# sender waits no longer than the other modes' do.
DURABLE = Mode(ROUTED_DURABLE, ROUTED, "accepted", "durable")
WORDS = (ROUTED, "channel", "broadcast", "fanout", STICKY)
DEFAULT_WORDS = (ROUTED, "channel", "broadcast", "fanout")

# Guesses for the estimate, from a 2-core machine; nothing else depends on them.
_START_SECONDS_PER_PROCESS = 0.4
_CELL_SECONDS = 1.0
_FULL_SECONDS_PER_MESSAGE = 0.00006
_FULL_SECONDS_PER_MESSAGE_AND_NODE = 0.000003
_EXTRAS_SECONDS_PER_MODE = 12.0
_FAULTS_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Options(measuring.Options):
    """One run.

    Args:
        multicast: users of one message to many.
        logins: users of the login storm.
        extra_nodes: nodes of the clusters for multicast, logins and faults.
        sticky: whether to show what hashing by IP address does.
        faults: whether to break things.
        words: what --modes named, without those left out.
    """

    nodes: tuple[int, ...] = (1, 2, 4, 8, 16)
    repeats: int = 3
    messages: int = 20_000
    rate: float = 500.0
    seconds: float = 3.0
    users: int = 400
    size_bytes: int = 100
    modes: tuple[Mode, ...] = tuple(MODES.values())
    multicast: int = 200
    logins: int = 2000
    extra_nodes: int = 4
    sticky: bool = False
    faults: bool = False
    words: tuple[str, ...] = DEFAULT_WORDS

    def quicker(self) -> "Options":
        """Return a smoke of these options: every mode and every table, on few nodes."""
        return replace(
            self,
            nodes=QUICK_NODES,
            repeats=1,
            messages=min(self.messages, 1500),
            seconds=min(self.seconds, 1.0),
            users=min(self.users, 60),
            multicast=min(self.multicast, 40),
            logins=min(self.logins, 150),
            extra_nodes=2,
            quick=True,
        )

    def regimes(self) -> tuple[Regime, ...]:
        """Return the regimes in the order in which each repeat runs them."""
        return Regime(outstanding=OUTSTANDING), Regime(rate=self.rate)

    @property
    def fault_modes(self) -> tuple[Mode, ...]:
        """Return the rows of the faults."""
        return (*self.modes, DURABLE) if ROUTED in self.clusters else self.modes

    def steps(self) -> int:
        """Return how many steps the progress bar counts."""
        return (
            len(list(self.cells()))
            + len(self.clusters)
            + (len(self.fault_modes) if self.faults else 0)
            + (len(self.nodes) if self.sticky else 0)
        )

    def estimate_seconds(self) -> float:
        """Return a guess at the length of the run."""
        processes = sum((nodes + 3) * len(self.clusters) for nodes in self.nodes)
        total = processes * _START_SECONDS_PER_PROCESS + len(self.nodes) * self.idle_seconds
        for nodes, _, regime, _ in self.cells():
            per_message = _FULL_SECONDS_PER_MESSAGE + nodes * _FULL_SECONDS_PER_MESSAGE_AND_NODE
            total += _CELL_SECONDS
            total += self.seconds if regime.rate else self.messages * per_message
        total += _EXTRAS_SECONDS_PER_MODE * len(self.clusters) * (0.3 if self.quick else 1)
        return total + (_FAULTS_SECONDS if self.faults else 0)


def modes_of(words: Collection[str]) -> tuple[Mode, ...]:
    """Return the rows of some words of --modes, in the fixed order."""
    return tuple(mode for mode in MODES.values() if mode.cluster in words)
