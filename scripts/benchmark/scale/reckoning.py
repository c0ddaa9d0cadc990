"""From measured constants to clusters that nobody can measure here.

What a message costs depends on how many travel together, so each cost is a pair: of messages that
share their wake-ups (measured at full load), and of messages that come alone (at 500 a second).
What a real cluster pays lies between. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

# A node is planned for what was measured on one, and a shard for half of a core and of 16 GiB.
CORE_SHARE: Final = 0.5
SHARD_BYTES: Final = 16 * 2**30 / 2
_PER: Final = 10_000
_HEARTBEAT_S: Final = 2.5
_LOOK_S: Final = 3.0
_REFRESH_S: Final = 60.0
_MOST: Final = 16  # nodes of the largest cells of the comparison


@dataclass(frozen=True, slots=True)
class Pair:
    """A cost of messages that travel together, and of those that come alone."""

    together: float
    alone: float

    def times(self, factor: float) -> "Pair":
        """Return both, multiplied."""
        return Pair(self.together * factor, self.alone * factor)

    def plus(self, more: float) -> "Pair":
        """Return both, with as much added to each."""
        return Pair(self.together + more, self.alone + more)


@dataclass(frozen=True, slots=True)
class Constants:
    """What was measured.

    Args:
        sessions: on one node.
        session_kib: resident memory of the node for each.
        user_bytes: memory of the store for each user online.
        refresh_us, heartbeat_us, look_us: CPU of the store for one session refreshed, one
            heartbeat, and one look for dead nodes.
        routed_node_us, routed_store_us: CPU of all nodes (the sender's too) and of the store for a
            routed message.
        heard_us: CPU of a node for a broadcast message, which it nearly always throws away.
        copy_us: CPU of the store for each node that a broadcast message goes to.
        routed_bytes: into and out of the store for a routed message.
        copy_bytes: out of the store for each node that a broadcast message goes to.
    """

    sessions: int
    session_kib: float
    user_bytes: float
    refresh_us: float
    heartbeat_us: float
    look_us: float
    routed_node_us: Pair
    routed_store_us: Pair
    heard_us: Pair
    copy_us: Pair
    routed_bytes: Pair
    copy_bytes: float


def constants(scale: dict[str, Any], comparison: dict[str, Any]) -> Constants:
    """Return the constants in two results.

    Args:
        scale: of `scripts/bench --scale`.
        comparison: of `scripts/compare`.

    Raises:
        LookupError: a figure is not there.
    """
    rows = {row["figure"]: row["value"]["median"] for row in scale["rows"]}
    cells = comparison["cells"]

    def pair(mode: str, names: Sequence[str], unit: float) -> Pair:
        values = (_cell(cells, mode, regime, names) * unit for regime in ("full", "rate"))
        return Pair(*values)

    us = 1e6 / _PER
    return Constants(
        sessions=scale["facts"]["sockets"],
        session_kib=rows["node memory per idle WebSocket"],
        user_bytes=rows["store memory per online user"],
        refresh_us=rows["store CPU per refresh of a session"],
        heartbeat_us=rows["store CPU per heartbeat of an endpoint"],
        look_us=rows["store CPU per look for dead nodes"],
        routed_node_us=pair("routed", ("cpu_nodes", "cpu_sender"), us),
        routed_store_us=pair("routed", ("cpu_store",), us),
        heard_us=_slope(cells, "cpu_nodes", us),
        copy_us=_slope(cells, "cpu_store", us),
        routed_bytes=pair("routed", ("store_bytes_in", "store_bytes_out"), 1.0),
        copy_bytes=_slope(cells, "store_bytes_out", 1.0).together,
    )


def _cell(cells: Any, mode: str, regime: str, names: Sequence[str], nodes: int = _MOST) -> float:
    found = [c for c in cells if (c["mode"], c["regime"], c["nodes"]) == (mode, regime, nodes)]
    if not found:
        raise LookupError(f"no cell of {mode}, {regime}, {nodes} nodes")
    return sum([float(median(cell[name] for cell in found)) for name in names])


def _slope(cells: Any, name: str, unit: float) -> Pair:
    """Return what each further node costs a broadcast message."""
    values = (
        (_cell(cells, "broadcast", r, (name,)) - _cell(cells, "broadcast", r, (name,), 1))
        / (_MOST - 1)
        * unit
        for r in ("full", "rate")
    )
    return Pair(*values)


@dataclass(frozen=True, slots=True)
class Size:
    """One cluster of the tables.

    Args:
        users: online, one session each.
        per_minute: messages per user and minute.
    """

    users: int
    per_minute: float

    @property
    def per_second(self) -> float:
        """Return the messages of all users per second."""
        return self.users * self.per_minute / 60


@dataclass(frozen=True, slots=True)
class Needs:
    """What one cluster needs.

    Args:
        nodes: so many.
        node_cores: share of a core that each node uses.
        store_cores: cores of the store, all shards together.
        bytes_per_second: into and out of the store.
        store_bytes: memory of the store.
    """

    nodes: int
    node_cores: Pair
    store_cores: Pair
    bytes_per_second: Pair
    store_bytes: float

    @property
    def shards(self) -> tuple[int, int]:
        """Return how many masters that takes, at least and at most."""
        room = math.ceil(self.store_bytes / SHARD_BYTES)
        low, high = (
            math.ceil(c / CORE_SHARE) for c in (self.store_cores.together, self.store_cores.alone)
        )
        return max(1, room, low), max(1, room, high)


def upkeep(c: Constants, users: int, nodes: int) -> tuple[float, float]:
    """Return cores of the store for leases and refreshes, and for looking for dead nodes."""
    steady = users / _REFRESH_S * c.refresh_us + nodes / _HEARTBEAT_S * c.heartbeat_us
    return steady / 1e6, nodes / _LOOK_S * c.look_us / 1e6


def routed(c: Constants, size: Size) -> Needs:
    """Return what routed delivery needs: a message concerns its sender's node and one other."""
    nodes = math.ceil(size.users / c.sessions)
    rate = size.per_second
    return Needs(
        nodes,
        c.routed_node_us.times(rate / nodes / 1e6),
        c.routed_store_us.times(rate / 1e6).plus(sum(upkeep(c, size.users, nodes))),
        c.routed_bytes.times(rate),
        size.users * c.user_bytes,
    )


def broadcast(c: Constants, size: Size) -> Needs:
    """Return what broadcast needs: each message concerns every node. It keeps no registry."""
    nodes = math.ceil(size.users / c.sessions)
    rate = size.per_second
    copies = c.copy_bytes * rate * nodes
    return Needs(
        nodes,
        c.heard_us.times(rate / 1e6),
        c.copy_us.times(rate * nodes / 1e6),
        Pair(copies, copies),
        0.0,
    )
