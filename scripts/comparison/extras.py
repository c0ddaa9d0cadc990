"""Beside the cells: one message to many users, and many users who come and go.

Every mode has a cluster of its own for this, and what is measured alternates mode by mode.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import count

from scripts.comparison import document
from scripts.comparison.cluster import Clusters
from scripts.comparison.counters import read_counts
from scripts.comparison.options import MODES, Options
from scripts.comparison.reach import MIN_BYTES, Number, Reached, until_everybody
from scripts.comparison.run import no_nan
from scripts.measuring.cell import Cell, Idle
from scripts.measuring.cluster import Cluster, spread
from scripts.measuring.measure import measure, measure_idle, read
from scripts.measuring.meter import NANOSECONDS, Reading, cpu_ns
from scripts.measuring.modes import Regime
from scripts.measuring.plan import Plan
from scripts.measuring.run import Progress

MULTICASTS_PER_SECOND = 20
STORE_AWAY_SECONDS = 0.5
_LOOK_SECONDS = 0.5
_LIMIT_SECONDS = 60.0
_SEED = 40_000
_MICROSECONDS = 1e6


class Extras:
    """Measures both, for all modes.

    Args:
        options: what to measure.
        clusters: starts what is needed.
        progress: told of each step.
    """

    def __init__(self, options: Options, clusters: Clusters, progress: Progress) -> None:
        self.multicast: list[document.Multicast] = []
        self.logins: list[document.Logins] = []
        self._options = options
        self._clusters = clusters
        self._progress = progress
        self._numbers = count(1)

    async def run(self) -> None:
        """Measure; what is done is in `multicast` and `logins`, also after an exception.

        Raises:
            ChildFailed: a process ended or fell silent.
        """
        started: list[Cluster] = []
        for mode in self._options.clusters:
            self._progress(f"multicast and logins: starting {mode}", 0)
            started.append(await self._clusters.start(mode, self._options.extra_nodes, 0))
        seconds = self._options.idle_seconds
        idle = await asyncio.gather(*(measure_idle(cluster, seconds) for cluster in started))
        for cluster, background in zip(started, idle, strict=True):
            self._progress(f"{cluster.kind}: logins, and a restart of the store", 0)
            storm = Storm(cluster, self._options.logins, background, lambda: next(self._numbers))
            self.logins.append(await storm.run())
            self._progress(f"{cluster.kind}: logins, and a restart of the store", 1)
        await self._multicasts(started)
        await asyncio.gather(*(self._clusters.stop(cluster) for cluster in started))

    async def _multicasts(self, started: Sequence[Cluster]) -> None:
        """Send, with the users of the storm still connected; the first time is a warm-up."""
        now = time.monotonic()
        seen = await asyncio.gather(*(read_counts(cluster, now) for cluster in started))
        for repeat in range(0 if self._options.quick else -1, self._options.repeats):
            for number, cluster in enumerate(started):
                self._progress(f"{cluster.kind}: one message to many users", 0)
                cell = await self._multicast(cluster, repeat)
                counts = await read_counts(cluster, time.monotonic())
                envelopes = (counts - seen[number]).received / cell.plan.messages
                seen[number] = counts
                if repeat >= 0:
                    self.multicast.append(_multicast_of(cell, envelopes))

    async def _multicast(self, cluster: Cluster, repeat: int) -> Cell:
        options = self._options
        regime = Regime(rate=MULTICASTS_PER_SECOND)
        messages = max(10, round(MULTICASTS_PER_SECOND * options.seconds))
        seed, group = _SEED + repeat, min(options.multicast, options.logins)
        run = next(self._numbers)
        plan = Plan(run, seed, options.logins, messages, max(options.size_bytes, MIN_BYTES), group)
        return await measure(cluster, MODES[cluster.kind], regime, plan, repeat, None)


def _multicast_of(cell: Cell, envelopes: float) -> document.Multicast:
    # The cell counts per delivered message, 10,000 of them where it is CPU.
    group = cell.plan.group
    to_ms = group / 10_000 * 1000
    return document.Multicast(
        mode=cell.mode.name,
        nodes=cell.nodes,
        repeat=cell.repeat,
        users=group,
        messages=cell.plan.messages,
        cpu_nodes_ms=cell.cost.cpu_nodes * to_ms,
        cpu_store_ms=cell.cost.cpu_store * to_ms,
        cpu_sender_ms=cell.cost.cpu_sender * to_ms,
        envelopes=envelopes,
        store_commands=cell.cost.store_commands * group,
        store_bytes_out=cell.cost.store_bytes_out * group,
        p50_ms=no_nan(cell.flow.p50_ms),
        p99_ms=no_nan(cell.flow.p99_ms),
        lost=cell.ledger.lost,
        doubled=cell.ledger.doubled,
        misdelivered=cell.ledger.misdelivered,
    )


class Storm:
    """Everybody connects, leaves, connects again, and then the store dies and comes back.

    Args:
        cluster: with nobody connected.
        users: how many.
        idle: its background, which is taken off.
        number: numbers the plans.
    """

    def __init__(self, cluster: Cluster, users: int, idle: Idle, number: Number) -> None:
        self._cluster = cluster
        self._users = users
        self._idle = idle
        self._number = number

    async def run(self) -> document.Logins:
        """Return what it cost; everybody is connected then. Raises ChildFailed."""
        login, login_s = await self._spent_by_logins()
        logout_us = await self._logouts()
        await self._spent_by_logins()
        restart_us, reachable_s = await self._restart()
        seconds = login_s
        commands = login.store.commands - self._idle.commands * seconds
        return document.Logins(
            mode=self._cluster.kind,
            nodes=len(self._cluster.nodes),
            users=self._users,
            login_us=self._per_user(login, seconds),
            login_commands=commands / self._users,
            logins_per_second=self._users / seconds,
            logout_us=logout_us,
            restart_us=restart_us,
            restart_reachable_s=reachable_s,
        )

    async def _spent_by_logins(self) -> tuple[Reading, float]:
        before, begin = read(self._cluster), time.monotonic()
        ports = spread(self._cluster.ports, self._users)
        await self._cluster.clients.ask("connect", _LIMIT_SECONDS, ports=ports, progress="")
        seconds, after = time.monotonic() - begin, read(self._cluster)
        return after - before, seconds

    async def _logouts(self) -> float:
        """Return microseconds per user, until the nodes themselves say that nobody is left."""
        before, begin = read(self._cluster), time.monotonic()
        await self._cluster.clients.ask("leave", _LIMIT_SECONDS)
        while (await read_counts(self._cluster, time.monotonic())).sessions:
            await asyncio.sleep(_LOOK_SECONDS)
        seconds, after = time.monotonic() - begin, read(self._cluster)
        return self._per_user(after - before, seconds)

    async def _restart(self) -> tuple[float, float | None]:
        """Return microseconds per user, and seconds until everybody could be reached again."""
        await self._everybody()
        before = self._clocks()
        await self._everybody()
        round_ns = self._since(before)
        begin, before = time.monotonic(), self._clocks()
        await self._cluster.restart_bus(STORE_AWAY_SECONDS)
        back = time.monotonic()
        reached = await self._everybody()
        # The rounds that asked are not the restart's cost.
        spent_ns = self._since(before) - round_ns * sum(reached.shares)
        seconds = time.monotonic() - begin
        spent_us = (spent_ns / NANOSECONDS - self._idle_cpu(seconds)) / self._users * _MICROSECONDS
        at = reached.at_s
        return max(spent_us, 0.0), max(at - back, 0.0) if at is not None else None

    async def _everybody(self) -> Reached:
        return await until_everybody(self._cluster, self._users, self._number)

    def _clocks(self) -> dict[int, int]:
        """Return the CPU of each process of nodes and servers, nanoseconds."""
        pids = (*self._cluster.server_pids, *(node.pid for node in self._cluster.nodes))
        return {pid: cpu_ns([pid]) for pid in pids}

    def _since(self, before: dict[int, int]) -> int:
        """Return what was spent since; a process that is new began at nothing."""
        return sum(now - before.get(pid, 0) for pid, now in self._clocks().items())

    def _idle_cpu(self, seconds: float) -> float:
        return (self._idle.cpu_nodes + self._idle.cpu_store) * seconds

    def _per_user(self, spent: Reading, seconds: float) -> float:
        cpu_s = (spent.nodes_ns + spent.store_ns) / NANOSECONDS - self._idle_cpu(seconds)
        return cpu_s / self._users * _MICROSECONDS
