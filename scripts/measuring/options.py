"""What a run measures, in which order. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.measuring.modes import Mode, Regime

IDLE_SECONDS = 5.0
QUICK_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """One run; the programs add what only they have.

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

    nodes: tuple[int, ...]
    repeats: int
    messages: int
    rate: float
    seconds: float
    users: int
    size_bytes: int
    modes: tuple[Mode, ...]
    quick: bool = False

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
        raise NotImplementedError

    def measured(self, mode: Mode, regime: Regime) -> bool:
        """Say whether a mode has this regime."""
        return True

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
                        if self.measured(mode, regime):
                            yield nodes, repeat, regime, mode
