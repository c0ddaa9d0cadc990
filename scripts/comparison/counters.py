"""What the nodes themselves count: envelopes received, messages written, sessions.

Counters travel with heartbeats, so a reading waits until each node has sent one since.
"""

import asyncio
import time
from dataclasses import dataclass

from scripts.measuring.cluster import Cluster
from scripts.measuring.http import OK, get

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The sums over the nodes of a cluster.

    Args:
        received: envelopes.
        delivered: messages written, once for each user.
        sessions: held now.
    """

    received: int = 0
    delivered: int = 0
    sessions: int = 0

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(
            self.received - other.received,
            self.delivered - other.delivered,
            self.sessions - other.sessions,
        )


async def read_counts(cluster: Cluster, since: float) -> Counts:
    """Return the counts as the nodes told them after `since`.

    Args:
        since: by `time.monotonic`.

    Raises:
        ChildFailed: a node has no lease any more, or sends no heartbeats.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        asked_at = time.monotonic()
        status, answer = await get(cluster.ports[0], "/api/v1/nodes")
        nodes = answer["nodes"] if status == OK else []  # a node may still look for its store
        nodes = [node for node in nodes if node["state"] != "lost"]
        ages = [node["heartbeat_age_s"] for node in nodes]
        if len(nodes) == len(cluster.ports) and max(ages) < asked_at - since:
            return Counts(*(sum(n[name] for n in nodes) for name in Counts.__slots__))
        if asked_at > deadline:
            raise cluster.nodes[0].failure(f"only {len(nodes)} nodes send heartbeats")
        await asyncio.sleep(_LOOK_SECONDS)


class WasteMeter:
    """Counts, cell by cell, the messages handed to nodes that do not hold their users.

    A cell's heartbeats are waited for before the next cell of the same cluster begins: meanwhile
    the other modes are measured, so that mostly nobody waits.
    """

    def __init__(self) -> None:
        self.wasted: dict[int, float] = {}
        self._counts: dict[int, Counts] = {}
        self._ended: dict[int, tuple[int, int, float]] = {}

    def ended(self, cluster: Cluster, run: int, messages: int) -> None:
        """Note that the cell with the number `run` is over."""
        self._ended[id(cluster)] = (run, messages, time.monotonic())

    async def settle(self, cluster: Cluster) -> None:
        """Enter the figure of the cluster's last cell. Raises as `read_counts`."""
        if id(cluster) not in self._ended:
            return
        run, messages, at = self._ended.pop(id(cluster))
        counts = await read_counts(cluster, at)
        spent = counts - self._counts.get(id(cluster), Counts())
        self._counts[id(cluster)] = counts
        self.wasted[run] = (spent.received - spent.delivered) / messages

    def forget(self, cluster: Cluster) -> None:
        """The cluster is about to end; another may get its identity."""
        self._counts.pop(id(cluster), None)
