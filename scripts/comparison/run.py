"""The cells of the comparison: as any run, and the nodes' own counters between them."""

import math
from collections.abc import Sequence
from typing import Any

from scripts.comparison import document
from scripts.comparison.counters import WasteMeter
from scripts.comparison.options import Options
from scripts.measuring import run
from scripts.measuring.cell import Cell, Idle
from scripts.measuring.children import Children
from scripts.measuring.cluster import Cluster
from scripts.measuring.modes import Mode, Regime
from scripts.measuring.plan import Plan
from scripts.measuring.store import Stores


class Runner(run.Runner):
    """See `measuring.run.Runner`."""

    def __init__(
        self,
        options: Options,
        children: Children,
        stores: Stores,
        start: run.Start,
        progress: run.Progress,
    ) -> None:
        super().__init__(options, children, stores, start, progress)
        self.waste = WasteMeter()

    async def measure(
        self,
        cluster: Cluster,
        mode: Mode,
        regime: Regime,
        plan: Plan,
        repeat: int,
        idle: Idle | None,
    ) -> Cell:
        """Measure one cell, after the counters of the one before have come."""
        await self.waste.settle(cluster)
        cell = await super().measure(cluster, mode, regime, plan, repeat, idle)
        self.waste.ended(cluster, plan.run, plan.messages)
        return cell

    async def finish(self, clusters: Sequence[Cluster]) -> None:
        """Wait for the last counters."""
        for cluster in clusters:
            await self.waste.settle(cluster)
            self.waste.forget(cluster)


def cells_of(results: run.Results, wasted: dict[int, float]) -> list[document.Cell]:
    """Return the cells as they stand in `results.json`.

    Args:
        wasted: by the number of the cell; a cell that has none yet was not finished.
    """
    names = document.Cell.__struct_fields__
    found: list[document.Cell] = []
    for cell in results.cells:
        if cell.plan.run in wasted:
            raw = {**cell.dump(), "wasted": wasted[cell.plan.run]}
            found.append(document.Cell(**{name: no_nan(raw[name]) for name in names}))
    return found


def no_nan(value: Any) -> Any:
    """Return None for nan, which JSON does not know."""
    return None if isinstance(value, float) and math.isnan(value) else value
