"""A whole run from options to document; what was measured before an interruption is kept."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from scripts.comparison.cluster import FANOUT, Clusters
from scripts.comparison.document import Document
from scripts.comparison.extras import Extras
from scripts.comparison.faults import Faults
from scripts.comparison.model import background_of, fit_model
from scripts.comparison.options import OUTSTANDING, Options
from scripts.comparison.run import Runner, cells_of
from scripts.comparison.sticky import Sticky
from scripts.measuring import rabbit
from scripts.measuring.cluster import Cluster
from scripts.measuring.command import workshop
from scripts.measuring.machine import machine, versions
from scripts.measuring.meter import cpu_source
from scripts.measuring.rabbit import Rabbit
from scripts.measuring.run import Progress, Results


class Session:
    """One run.

    Args:
        options: what to measure.
        left_out: mode -> why it is not measured.
        progress: told of each step.
    """

    def __init__(
        self,
        options: Options,
        left_out: Mapping[str, str],
        progress: Progress,
    ) -> None:
        self._options = options
        self._left_out = left_out
        self._progress = progress
        self._began = datetime.now(UTC)
        self._runner: Runner | None = None
        self._extras: Extras | None = None
        self._faults: Faults | None = None
        self._sticky: Sticky | None = None

    async def run(self) -> None:
        """Measure all that the options ask for.

        Raises:
            ChildFailed: a process ended or fell silent.
            ServerFailed: a store cannot be started.
        """
        try:
            await self._measure()
        except ExceptionGroup as group:  # what went wrong first says enough
            first: Exception = group
            while isinstance(first, ExceptionGroup):
                first = first.exceptions[0]
            raise first from group

    async def _measure(self) -> None:
        options = self._options
        async with workshop("compare") as (directory, children, stores):
            with Rabbit(directory / "broker") as broker:
                fanout = FANOUT in options.clusters
                if fanout:
                    await broker.start()
                clusters = Clusters(
                    children, stores, directory, broker if fanout else None, quick=options.quick
                )
                await self._measure_with(clusters)

    async def _measure_with(self, clusters: Clusters) -> None:
        options = self._options

        async def start(kind: str, nodes: int) -> Cluster:
            return await clusters.start(kind, nodes, options.users)

        if options.modes:
            self._runner = Runner(
                options, clusters.children, clusters.stores, start, self._progress
            )
            await self._runner.run()
            self._extras = Extras(options, clusters, self._progress)
            await self._extras.run()
        if options.faults and options.modes:
            self._faults = Faults(options, clusters, self._progress)
            await self._faults.run()
        if options.sticky:
            self._sticky = Sticky(options, clusters, self._progress)
            await self._sticky.run()

    @property
    def results(self) -> Results:
        """Return the cells measured so far, with what went wrong in them."""
        return self._runner.results if self._runner is not None else Results()

    def document(self) -> Document:
        """Return what was found so far."""
        results, extras, users = self.results, self._extras, self._options.users
        wasted = self._runner.waste.wasted if self._runner is not None else {}
        cells = cells_of(results, wasted)
        return Document(
            machine=machine(),
            versions=self._versions(),
            settings=self._settings(),
            cells=cells,
            faults=self._faults.found if self._faults is not None else [],
            model=fit_model(cells, background_of(results.idle, users), users, OUTSTANDING),
            multicast=extras.multicast if extras is not None else [],
            logins=extras.logins if extras is not None else [],
            sticky=self._sticky.found if self._sticky is not None else [],
        )

    def _versions(self) -> dict[str, str]:
        found = versions(self.results.store_version)
        return found | ({"broker": rabbit.version()} if FANOUT in self._options.clusters else {})

    def _settings(self) -> dict[str, Any]:
        return {
            **asdict(self._options),
            "modes": [mode.name for mode in self._options.modes],
            "left_out": dict(self._left_out),
            "outstanding": OUTSTANDING,
            "cpu_source": cpu_source(),
            "began": self._began.isoformat(timespec="seconds"),
        }
