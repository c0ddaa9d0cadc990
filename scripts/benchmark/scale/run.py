"""Runs the probes, one after the other."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scripts.benchmark.scale.crowd import Crowd, started
from scripts.benchmark.scale.options import Options
from scripts.benchmark.scale.processors import Apart
from scripts.benchmark.scale.rows import Row
from scripts.benchmark.scale.slowlog import SLOWER_THAN_US, slow_commands, slow_row
from scripts.benchmark.scale.stage import Probe, Stage
from scripts.comparison.chart import Chart
from scripts.measuring.children import Children, python
from scripts.measuring.run import Progress
from scripts.measuring.store import Stores

_SPIN_S: Final = 15.0
_QUICK_SPIN_S: Final = 5.0


@dataclass(slots=True)
class Results:
    """What a run found.

    Args:
        rows: in the order of the probes.
        store_version: what the store of the registries calls itself.
        charts: to be drawn.
        facts: what the document tells beside the rows.
    """

    rows: list[Row] = field(default_factory=list)
    store_version: str = "none"
    charts: list[Chart] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Runner:
    """One run.

    Args:
        options: how large it is.
        probes: what is measured.
        directory: of the run.
        children: owner of its processes.
        stores: owner of its stores.
        progress: takes what is being done, and how many seconds' worth of it is finished.
    """

    def __init__(
        self,
        options: Options,
        probes: Sequence[Probe],
        directory: Path,
        children: Children,
        stores: Stores,
        progress: Progress,
    ) -> None:
        self._options = options
        self._probes = probes
        self._progress = progress
        self._probe = probes[0]
        self._done = 0.0
        self._stage = Stage(options, directory, children, stores, self._tell)
        self.results = Results(charts=self._stage.charts, facts=self._stage.facts)

    async def run(self) -> Results:
        """Measure everything."""
        crowded = [probe for probe in self._probes if probe.needs_crowd]
        if crowded:
            async with Apart() as apart:
                async with AsyncExitStack() as stack:
                    await self._raise_crowds(stack, apart)
                    for probe in crowded:
                        await self._measure(probe)
                    slow = slow_commands(self._stage.large, self._stage.small)
                self._stage.crowd = self._stage.few = None
                noise = await self._noise(apart)
            self.results.rows.append(slow_row(slow, noise, apart=apart.apart))
        for probe in self._probes:
            if not probe.needs_crowd:
                await self._measure(probe)
        return self.results

    async def _raise_crowds(self, stack: AsyncExitStack, apart: Apart) -> None:
        """Start both stores, empty but for their endpoints, on a processor of their own."""
        stage, options = self._stage, self._options

        async def raised(name: str, users: int) -> Crowd:
            store = await started(stage.directory, stage.children, stage.stores, options, name)
            apart.move(store.pid)
            return await stack.enter_async_context(Crowd(store, users, options.endpoints))

        stage.crowd = await raised("large", options.users)
        stage.few = await raised("small", options.few_users)
        self.results.store_version = stage.crowd.version

    async def _noise(self, apart: Apart) -> str:
        """Return how often nothing at all is held up where the stores were, beside another one."""
        seconds = _QUICK_SPIN_S if self._options.quick else _SPIN_S
        children = self._stage.children
        command = python("scripts.benchmark.scale.spinning")
        started = [await children.start(f"spinning-{n}", command, {}, True) for n in range(2)]
        try:
            apart.move(started[0].pid)
            spinning = [c.ask("spin", seconds=seconds, over_us=SLOWER_THAN_US) for c in started]
            found, _ = await asyncio.gather(*spinning)
        finally:
            await children.stop(started)
        return (
            f"in {seconds:g} s after it, a program there that only reads the clock was held up as "
            f"long {found['times']} times, {found['longest_ms']:.1f} ms at the longest"
        )

    async def _measure(self, probe: Probe) -> None:
        self._probe, self._done = probe, 0.0
        self._tell("", 0.0)
        begin = time.monotonic()
        self.results.rows += await probe.measure(self._stage)
        took_s = self.results.facts.setdefault("took_s", {})
        took_s[probe.name] = round(time.monotonic() - begin, 1)
        self._tell("done", 1.0)

    def _tell(self, what: str, share: float) -> None:
        """Show how far this probe is, in its seconds."""
        done = self._probe.seconds * share
        advance = int(done) - int(self._done)
        self._done = done
        self._progress(f"{self._probe.name}: {what}" if what else self._probe.name, advance)
