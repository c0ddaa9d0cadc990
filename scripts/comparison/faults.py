"""Breaks things during a steady stream: a node stops for a while, the store restarts, a node dies.

All modes at once, each on a cluster of its own; CPU is not measured here.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

from scripts.comparison import document
from scripts.comparison.cluster import Clusters
from scripts.comparison.fault_ledger import Kind, tally
from scripts.comparison.options import Options
from scripts.comparison.reach import until_everybody
from scripts.measuring.cluster import Cluster
from scripts.measuring.modes import Mode
from scripts.measuring.plan import Plan
from scripts.measuring.run import Progress

AGAIN_SECONDS = 1.0
_STOPPED_SECONDS = 3.0
_STORE_AWAY_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_SEED = 50_000


@dataclass(frozen=True, slots=True)
class Stream:
    """The messages that are under way meanwhile.

    Args:
        users: one WebSocket each.
        rate: messages per second.
        seconds: how long.
        after_s: from the first message until something breaks.
        patience_s: from the last answer until what has not come is lost: long enough for a lease
            to end and for another node to take over.
    """

    users: int = 120
    rate: float = 150.0
    seconds: float = 10.0
    after_s: float = 2.0
    patience_s: float = 25.0


QUICK = Stream(users=24, rate=60, seconds=5, after_s=1, patience_s=8)


class Faults:
    """Runs all faults for all rows.

    Args:
        options: which rows.
        clusters: starts what is needed.
        progress: told of each step.
    """

    def __init__(self, options: Options, clusters: Clusters, progress: Progress) -> None:
        self.found: list[document.Fault] = []
        self._options = options
        self._clusters = clusters
        self._progress = progress
        self._stream = QUICK if options.quick else Stream()
        self._numbers = count(1)

    async def run(self) -> None:
        """Break things; `found` holds what is done, also after an exception.

        Raises:
            ChildFailed: a process ended that nobody had killed, or fell silent.
        """
        modes = self._options.fault_modes
        clusters: list[Cluster] = []
        for mode in modes:
            self._progress(f"faults: starting {mode.name}", 0)
            start = self._clusters.start
            nodes, users = self._options.extra_nodes, self._stream.users
            clusters.append(await start(mode.cluster, nodes, users, AGAIN_SECONDS))
        self._progress("faults: a node stopped, the store restarted, a node killed", 0)
        async with asyncio.TaskGroup() as group:
            for mode, cluster in zip(modes, clusters, strict=True):
                group.create_task(self._break_all(mode, cluster))
        await asyncio.gather(*(self._clusters.stop(cluster) for cluster in clusters))

    async def _break_all(self, mode: Mode, cluster: Cluster) -> None:
        """Break one thing after the other; the dead node last, it stays dead."""
        node = cluster.nodes[-1]

        async def stop_and_go_on() -> None:
            node.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(_STOPPED_SECONDS)
            finally:
                node.signal(signal.SIGCONT)

        async def restart() -> None:
            await cluster.restart_bus(_STORE_AWAY_SECONDS)

        async def kill() -> None:
            node.signal(signal.SIGKILL)

        await self._during(mode, cluster, "node stopped", stop_and_go_on)
        await self._during(mode, cluster, "store restarted", restart)
        await self._during(mode, cluster, "node killed", kill)
        self._progress("faults: done", 1)

    async def _during(
        self, mode: Mode, cluster: Cluster, kind: Kind, hurt: Callable[[], Awaitable[None]]
    ) -> None:
        """Break something during a stream that began with everybody in reach."""
        stream, (sender,) = self._stream, cluster.drivers
        await until_everybody(cluster, stream.users, lambda: next(self._numbers))
        messages = round(stream.rate * stream.seconds)
        plan = Plan(next(self._numbers), _SEED, stream.users, messages, self._options.size_bytes)
        await cluster.clients.ask("expect", plan=plan.dump())
        await sender.ask("prepare", plan=plan.dump(), how=mode.how)

        async def later() -> None:
            await asyncio.sleep(stream.after_s)
            await hurt()

        limit = stream.seconds + stream.patience_s
        deadline = asyncio.get_running_loop().time() + limit
        async with asyncio.TaskGroup() as group:
            group.create_task(sender.ask("go", limit, rate=stream.rate, outstanding=0))
            group.create_task(cluster.clients.ask("wait", limit))
            group.create_task(later())
        received = await cluster.clients.ask("collect")
        # `wait` counts frames, and some come twice: what is still missing may be on its way.
        while received["missing"] and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            received = await cluster.clients.ask("collect")
        sent = await sender.ask("collect", each=True)
        sent_ns = [at for _, at in sent["sent_ns"]]
        self.found.append(
            tally(
                mode.name,
                kind,
                len(cluster.nodes),
                sent_ns,
                received["at_ns"],
                sent["words"],
                received["twice"],
            )
        )
