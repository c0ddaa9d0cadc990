"""What a run measures, and how long that will take. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scripts.measuring.modes import Mode, Regime

FULL_OUTSTANDING = 256
HEADLINE_OUTSTANDING = 128
ONE_BY_ONE = "one-by-one"
IDLE_SECONDS = 5.0
QUICK_IDLE_SECONDS = 1.0

# Guesses for the estimate, from a 2-core machine; nothing else depends on them.
_START_SECONDS_PER_PROCESS = 0.35
_FULL_SECONDS_PER_MESSAGE = {"bare": 0.00002, "channel": 0.00011, "routed": 0.00009}
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
    )
}


@dataclass(frozen=True, slots=True)
class Options:
    """One run.

    Args:
        nodes: numbers of nodes to measure with.
        repeats: how often each cell is measured.
        messages: per cell at full load.
        rate: messages per second of the cells at a fixed rate.
        seconds: how long those take.
        users: one WebSocket each, spread evenly over the nodes.
        size_bytes: data of a message, as compact JSON.
        modes: rows to measure, in this order.
        quick: a smoke: short idle measurement.
    """

    nodes: tuple[int, ...] = (1, 4, 16)
    repeats: int = 5
    messages: int = 20_000
    rate: float = 500.0
    seconds: float = 10.0
    users: int = 400
    size_bytes: int = 100
    modes: tuple[Mode, ...] = tuple(MODES.values())
    quick: bool = False

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

    @property
    def clusters(self) -> tuple[str, ...]:
        """Return the clusters that the modes need, each once."""
        return tuple(dict.fromkeys(mode.cluster for mode in self.modes))

    @property
    def idle_seconds(self) -> float:
        """Return how long the clusters are watched while nothing is sent."""
        return QUICK_IDLE_SECONDS if self.quick else IDLE_SECONDS

    def regimes(self) -> tuple[Regime, ...]:
        """Return the regimes in the order in which each repeat runs them."""
        return (
            Regime(outstanding=FULL_OUTSTANDING),
            Regime(outstanding=HEADLINE_OUTSTANDING),
            Regime(rate=self.rate),
        )

    def messages_in(self, regime: Regime) -> int:
        """Return how many messages one cell sends."""
        return max(1, round(regime.rate * self.seconds)) if regime.rate else self.messages

    def cells(self) -> Iterator[tuple[int, int, Regime, Mode]]:
        """Return (nodes, repeat, regime, mode) in running order: the modes alternate.

        Noise that comes and goes thereby meets all modes of one repeat alike.
        """
        for nodes in self.nodes:
            for repeat in range(self.repeats):
                for regime in self.regimes():
                    for mode in self.modes:
                        if measured(mode, regime):
                            yield nodes, repeat, regime, mode

    def estimate_seconds(self) -> float:
        """Return a guess at the length of the run."""
        processes = sum((nodes + 3) * len(self.clusters) for nodes in self.nodes)
        total = processes * _START_SECONDS_PER_PROCESS + len(self.nodes) * self.idle_seconds
        for _, _, regime, mode in self.cells():
            per_message = _FULL_SECONDS_PER_MESSAGE[mode.cluster]
            total += _CELL_SECONDS
            total += self.seconds if regime.rate else self.messages * per_message
        return total


def measured(mode: Mode, regime: Regime) -> bool:
    """Say whether a mode has this regime.

    The bare node has no sends that could wait, so it needs full load only once; at a fixed rate
    there is nothing to join, and PUBLISHing one by one would be measuring `channel` twice.
    """
    if mode.cluster == "bare":
        return regime.outstanding != HEADLINE_OUTSTANDING
    return mode.name != ONE_BY_ONE or not regime.rate
