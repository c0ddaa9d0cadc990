"""What the benchmark measures, and how long that will take. Pure."""

from dataclasses import dataclass, replace

from scripts.measuring import options as measuring
from scripts.measuring.modes import Mode, Regime

FULL_OUTSTANDING = 256
HEADLINE_OUTSTANDING = 128
ONE_BY_ONE = "one-by-one"
UNMETERED = "unmetered"
METERED = "metered"
CLUSTERED = "cluster"

# Guesses for the estimate, from a 2-core machine; nothing else depends on them.
_START_SECONDS_PER_PROCESS = 0.35
_FULL_SECONDS_PER_MESSAGE = {"bare": 0.00002, "channel": 0.00011}
_ROUTED_SECONDS_PER_MESSAGE = 0.00009
_CELL_SECONDS = 0.35

MODES = {
    mode.name: mode
    for mode in (
        Mode("bare", "bare"),
        Mode("channel", "channel", "accepted"),
        Mode(ONE_BY_ONE, "channel", "accepted"),
        Mode("accepted", "routed", "accepted"),
        Mode("written", "routed", "written"),
        Mode("delivered", "routed", "delivered"),
        Mode(UNMETERED, UNMETERED, "delivered", "delivered"),
        Mode(METERED, METERED, "delivered", "delivered"),
        Mode("cluster-accepted", CLUSTERED, "accepted", "accepted"),
        Mode("cluster-delivered", CLUSTERED, "delivered", "delivered"),
    )
}
# Others are asked for by name: what metrics or a Redis Cluster cost is another question.
_ASKED_FOR = {UNMETERED, METERED, CLUSTERED}
STANDARD = tuple(mode for mode in MODES.values() if mode.cluster not in _ASKED_FOR)


@dataclass(frozen=True, slots=True)
class Options(measuring.Options):
    """One run."""

    nodes: tuple[int, ...] = (1, 4, 16)
    repeats: int = 5
    messages: int = 20_000
    rate: float = 500.0
    seconds: float = 10.0
    users: int = 400
    size_bytes: int = 100
    modes: tuple[Mode, ...] = STANDARD

    def quicker(self) -> "Options":
        """Return a smoke of these options: every mode still runs, on at most two nodes."""
        return replace(
            self,
            nodes=(min(max(self.nodes), 2),),
            repeats=1,
            messages=min(self.messages, 2000),
            seconds=min(self.seconds, 1.0),
            users=min(self.users, 40),
            quick=True,
        )

    def regimes(self) -> tuple[Regime, ...]:
        """Return the regimes in the order in which each repeat runs them."""
        return (
            Regime(outstanding=FULL_OUTSTANDING),
            Regime(outstanding=HEADLINE_OUTSTANDING),
            Regime(rate=self.rate),
        )

    def measured(self, mode: Mode, regime: Regime) -> bool:
        """Say whether a mode has this regime.

        The bare node has no sends that could wait, so it needs full load only once; at a fixed
        rate there is nothing to join, and PUBLISHing one by one would be measuring `channel`
        twice.
        """
        if mode.cluster == "bare":
            return regime.outstanding != HEADLINE_OUTSTANDING
        return mode.name != ONE_BY_ONE or not regime.rate

    def estimate_seconds(self) -> float:
        """Return a guess at the length of the run."""
        processes = sum((nodes + 3) * len(self.clusters) for nodes in self.nodes)
        total = processes * _START_SECONDS_PER_PROCESS + len(self.nodes) * self.idle_seconds
        for _, _, regime, mode in self.cells():
            per_message = _FULL_SECONDS_PER_MESSAGE.get(mode.cluster, _ROUTED_SECONDS_PER_MESSAGE)
            total += _CELL_SECONDS
            total += self.seconds if regime.rate else self.messages * per_message
        return total
