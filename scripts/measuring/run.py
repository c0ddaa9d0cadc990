"""A whole run: for each number of nodes all clusters at once, and their cells in turn."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby

from scripts.measuring.cell import Cell, Idle
from scripts.measuring.children import Children
from scripts.measuring.cluster import Cluster
from scripts.measuring.measure import measure, measure_idle
from scripts.measuring.modes import Mode, Regime
from scripts.measuring.options import Options
from scripts.measuring.plan import Plan
from scripts.measuring.store import Stores

WARM_UP = -1  # in place of the number of a repeat
WARM_UP_OUTSTANDING = 256
_WARM_UP_PER_USER = 5
_SEED = 20_000

Progress = Callable[[str, int], None]
"""Takes what is being done, and how many cells are finished since the last call."""

Start = Callable[[str, int], Awaitable[Cluster]]
"""Starts the cluster of a kind with so many nodes, its users connected."""


@dataclass(slots=True)
class Results:
    """What a run found, so far.

    Args:
        product: the kind of cluster whose faults are the run's.
        scrapes: answers to somebody who watched the nodes beside it all.
    """

    product: str = "routed"
    scrapes: int = 0
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
            if (cell.mode.cluster != self.product) == yardsticks and (faults := cell.faults())
        ]


def _turn(cell: Cell) -> str:
    return "warm-up" if cell.repeat == WARM_UP else f"repeat {cell.repeat + 1}"


class Runner:
    """Runs all cells of some options.

    Args:
        options: what to measure.
        children: owns the processes.
        stores: owns the servers.
        start: starts a cluster.
        progress: told of each step.
    """

    def __init__(
        self,
        options: Options,
        children: Children,
        stores: Stores,
        start: Start,
        progress: Progress,
    ) -> None:
        self.results = Results()
        self._options = options
        self._children = children
        self._stores = stores
        self._start_cluster = start
        self._progress = progress
        self._runs = count(1)

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
                plan = self.plan(repeat, self._options.messages_in(regime))
                cluster = clusters[mode.cluster]
                cell = await self.measure(cluster, mode, regime, plan, repeat, idle[mode.cluster])
                self.results.cells.append(cell)
                self._progress(f"{nodes} nodes: {mode.name}, {regime.label}", 1)
            await self.finish(list(clusters.values()))
            await asyncio.gather(
                *(cluster.stop(self._children, self._stores) for cluster in clusters.values())
            )

    async def measure(
        self,
        cluster: Cluster,
        mode: Mode,
        regime: Regime,
        plan: Plan,
        repeat: int,
        idle: Idle | None,
    ) -> Cell:
        """Measure one cell; see `measure.measure`."""
        return await measure(cluster, mode, regime, plan, repeat, idle)

    async def finish(self, clusters: Sequence[Cluster]) -> None:
        """Do what is left to do with clusters that are about to be stopped."""

    def plan(self, repeat: int, messages: int) -> Plan:
        """Return the plan of one cell, with a number of its own."""
        options = self._options
        run = next(self._runs)
        return Plan(run, _SEED + repeat, options.users, messages, options.size_bytes)

    async def _start(self, nodes: int) -> dict[str, Cluster]:
        clusters: dict[str, Cluster] = {}
        for kind in self._options.clusters:
            self._progress(f"{nodes} nodes: starting {kind}", 0)
            clusters[kind] = await self._start_cluster(kind, nodes)
            meter = clusters[kind].meter
            if meter is not None:
                self.results.store_version = meter.version()
        for mode in self._options.modes:
            self._progress(f"{nodes} nodes: warming up {mode.name}", 0)
            await self._warm_up(clusters[mode.cluster], mode)
        return clusters

    async def _warm_up(self, cluster: Cluster, mode: Mode) -> None:
        """Let caches, connections and the interpreter settle; checked, but not in the tables."""
        plan = self.plan(WARM_UP, self._options.users * _WARM_UP_PER_USER)
        regime = Regime(outstanding=WARM_UP_OUTSTANDING)
        cell = await self.measure(cluster, mode, regime, plan, WARM_UP, None)
        self.results.warm_up.append(cell)

    async def _idle(self, clusters: dict[str, Cluster]) -> dict[str, Idle]:
        """Watch all at once: nothing is sent, so none is in another's way."""
        self._progress("watching all clusters idle", 0)
        seconds = self._options.idle_seconds
        found = await asyncio.gather(
            *(measure_idle(cluster, seconds) for cluster in clusters.values())
        )
        self.results.idle += found
        return dict(zip(clusters, found, strict=True))
