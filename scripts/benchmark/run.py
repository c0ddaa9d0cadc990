"""A whole run: for each number of nodes all clusters at once, and their cells in turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path

from scripts.benchmark.cluster import start_cluster
from scripts.benchmark.options import FULL_OUTSTANDING, Options
from scripts.measuring.cell import Cell, Idle
from scripts.measuring.children import Children
from scripts.measuring.cluster import Cluster
from scripts.measuring.measure import measure, measure_idle
from scripts.measuring.modes import Mode, Regime
from scripts.measuring.plan import Plan
from scripts.measuring.store import Stores

WARM_UP = -1  # in place of the number of a repeat
_WARM_UP_PER_USER = 5
_SEED = 20_000

Progress = Callable[[str, int], None]
"""Takes what is being done, and how many cells are finished since the last call."""


@dataclass(slots=True)
class Results:
    """What a run found, so far."""

    cells: list[Cell] = field(default_factory=list)
    warm_up: list[Cell] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    store_version: str = "none"

    def faults(self) -> list[str]:
        """Return what is wrong with the product's cells, one line each."""
        return self._faults(yardsticks=False)

    def yardstick_faults(self) -> list[str]:
        """Return what is wrong with the yardsticks' cells, one line each."""
        return self._faults(yardsticks=True)

    def _faults(self, yardsticks: bool) -> list[str]:
        return [
            f"{cell.mode.name}, {cell.nodes} nodes, {cell.regime.label}, "
            f"{_turn(cell)}: {', '.join(faults)}"
            for cell in (*self.warm_up, *self.cells)
            if (cell.mode.cluster != "routed") == yardsticks and (faults := cell.faults())
        ]


def _turn(cell: Cell) -> str:
    return "warm-up" if cell.repeat == WARM_UP else f"repeat {cell.repeat + 1}"


class Runner:
    """Runs all cells of some options.

    Args:
        options: what to measure.
        children: owns the processes.
        stores: owns the servers.
        directory: for sockets.
        progress: told of each step.
    """

    def __init__(
        self,
        options: Options,
        children: Children,
        stores: Stores,
        directory: Path,
        progress: Progress,
    ) -> None:
        self._options = options
        self._children = children
        self._stores = stores
        self._directory = directory
        self._progress = progress
        self._runs = count(1)
        self.results = Results()

    async def run(self) -> None:
        """Measure everything; `results` holds what is done, also after an exception.

        Raises:
            ChildFailed: a process ended or fell silent.
        """
        for nodes, cells in groupby(self._options.cells(), key=lambda cell: cell[0]):
            clusters = await self._start(nodes)
            idle = await self._idle(clusters)
            for _, repeat, regime, mode in cells:
                self._progress(f"{nodes} nodes: {mode.name}, {regime.label}", 0)
                plan = self._plan(repeat, self._options.messages_in(regime))
                cluster = clusters[mode.cluster]
                cell = await measure(cluster, mode, regime, plan, repeat, idle[mode.cluster])
                self.results.cells.append(cell)
                self._progress(f"{nodes} nodes: {mode.name}, {regime.label}", 1)
            for cluster in clusters.values():
                await cluster.stop(self._children, self._stores)

    async def _start(self, nodes: int) -> dict[str, Cluster]:
        clusters: dict[str, Cluster] = {}
        for kind in self._options.clusters:
            self._progress(f"{nodes} nodes: starting {kind}", 0)
            clusters[kind] = await start_cluster(
                self._children, self._stores, kind, nodes, self._options.users, self._directory
            )
            meter = clusters[kind].meter
            if meter is not None:
                self.results.store_version = meter.version()
        for mode in self._options.modes:
            self._progress(f"{nodes} nodes: warming up {mode.name}", 0)
            await self._warm_up(clusters[mode.cluster], mode)
        return clusters

    async def _warm_up(self, cluster: Cluster, mode: Mode) -> None:
        """Let caches, connections and the interpreter settle; checked, but not in the tables."""
        plan = self._plan(WARM_UP, self._options.users * _WARM_UP_PER_USER)
        regime = Regime(outstanding=FULL_OUTSTANDING)
        cell = await measure(cluster, mode, regime, plan, WARM_UP, None)
        self.results.warm_up.append(cell)

    async def _idle(self, clusters: dict[str, Cluster]) -> dict[str, Idle]:
        idle: dict[str, Idle] = {}
        for kind, cluster in clusters.items():
            self._progress(f"{len(cluster.nodes)} nodes: watching {kind} idle", 0)
            idle[kind] = await measure_idle(cluster, self._options.idle_seconds)
            self.results.idle.append(idle[kind])
        return idle

    def _plan(self, repeat: int, messages: int) -> Plan:
        options = self._options
        run = next(self._runs)
        return Plan(run, _SEED + repeat, options.users, messages, options.size_bytes)
