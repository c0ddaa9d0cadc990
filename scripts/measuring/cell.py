"""One cell: one mode under one regime with one number of nodes, measured once. Pure.

Names and units as in `scripts/compare` (INTERFACE section 7).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from scripts.measuring.meter import NANOSECONDS, Reading
from scripts.measuring.modes import Mode, Regime
from scripts.measuring.plan import Plan
from scripts.measuring.stats import percentile

PER = 10_000  # CPU is given per so many messages


@dataclass(frozen=True, slots=True)
class Flow:
    """How fast messages went.

    Args:
        per_second: delivered, from the first send to the last receipt.
        p50_ms, p95_ms, p99_ms: from the call of send to the client's read.
    """

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a message cost.

    Args:
        cpu_nodes, cpu_store, cpu_sender, cpu_clients: CPU seconds per 10,000 messages.
        store_commands, store_bytes_in, store_bytes_out: per message, less the idle background.
    """

    cpu_nodes: float
    cpu_store: float
    cpu_sender: float
    cpu_clients: float
    store_commands: float
    store_bytes_in: float
    store_bytes_out: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """Whether every message came once, to its user, with its content.

    Args:
        lost, doubled, misdelivered: counts of messages.
        stray: frames that are no messages.
        closed: connections that ended so far in this run.
        busy: sends that were told `busy` and repeated.
        outcomes: outcome -> how many sends had it; empty where nothing is told.
    """

    lost: int
    doubled: int
    misdelivered: int
    stray: int
    closed: int
    busy: int
    outcomes: dict[str, int]

    def faults(self, wanted: str) -> list[str]:
        """Return what is wrong, one phrase each.

        Args:
            wanted: the outcome that every send must have had; "" where nothing is told.
        """
        counts = {
            "lost": self.lost,
            "doubled": self.doubled,
            "misdelivered": self.misdelivered,
            "stray frames": self.stray,
            "connections closed": self.closed,
        }
        if wanted:
            counts |= {
                f"told '{word}'": count for word, count in self.outcomes.items() if word != wanted
            }
        return [f"{count} {what}" for what, count in counts.items() if count]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one measurement found.

    Args:
        mode: the row.
        nodes: how many.
        regime: how the load was made.
        repeat: which one, from 0.
        plan: what was sent.
    """

    mode: Mode
    nodes: int
    regime: Regime
    repeat: int
    plan: Plan
    flow: Flow
    cost: Cost
    ledger: Ledger

    def faults(self) -> list[str]:
        """Return what is wrong with it, one phrase each."""
        return self.ledger.faults(self.mode.confirm)

    def dump(self) -> dict[str, Any]:
        """Return it flat, as JSON types."""
        return {
            "mode": self.mode.name,
            "nodes": self.nodes,
            "regime": self.regime.name,
            "outstanding": self.regime.outstanding,
            "repeat": self.repeat,
            "size_bytes": self.plan.size_bytes,
            "messages": self.plan.messages,
            **asdict(self.flow),
            **asdict(self.cost),
            **asdict(self.ledger),
        }


@dataclass(frozen=True, slots=True)
class Idle:
    """What a cluster uses each second while nothing is sent.

    Args:
        cpu_nodes, cpu_store, cpu_sender: CPU seconds per second.
        commands, bytes_in, bytes_out: on the store, per second.
    """

    cluster: str
    nodes: int
    cpu_nodes: float
    cpu_store: float
    cpu_sender: float
    commands: float
    bytes_in: float
    bytes_out: float


class Raw(NamedTuple):
    """What the processes said of a cell.

    Args:
        before: the accounts when it began.
        after: the accounts when all was over.
        seconds: between the two, by the wall.
        received: the clients' answer to `collect`.
        sent: each driver's answer to `collect`.
    """

    before: Reading
    after: Reading
    seconds: float
    received: dict[str, Any]
    sent: Sequence[dict[str, Any]]


def idle_of(cluster: str, nodes: int, before: Reading, after: Reading, seconds: float) -> Idle:
    """Return the difference of two readings, per second."""
    spent = after - before
    return Idle(
        cluster,
        nodes,
        cpu_nodes=spent.nodes_ns / NANOSECONDS / seconds,
        cpu_store=spent.store_ns / NANOSECONDS / seconds,
        cpu_sender=spent.sender_ns / NANOSECONDS / seconds,
        commands=spent.store.commands / seconds,
        bytes_in=spent.store.bytes_in / seconds,
        bytes_out=spent.store.bytes_out / seconds,
    )


def flow_of(plan: Plan, raw: Raw) -> tuple[Flow, int]:
    """Return how fast messages went, and how many arrived."""
    pairs = [
        (sent, got)
        for sent, got in zip(_sent_ns(plan, raw.sent), raw.received["at_ns"], strict=True)
        if sent and got
    ]
    if not pairs:
        nothing = percentile([], 50)
        return Flow(0.0, nothing, nothing, nothing), 0
    seconds = (max(got for _, got in pairs) - min(sent for sent, _ in pairs)) / NANOSECONDS
    latency_ms = [(got - sent) / 1e6 for sent, got in pairs]
    p50, p95, p99 = (percentile(latency_ms, percent) for percent in (50, 95, 99))
    return Flow(len(pairs) / seconds, p50, p95, p99), len(pairs)


def cost_of(raw: Raw, delivered: int, idle: Idle | None) -> Cost:
    """Return what each of `delivered` messages cost.

    CPU is given as it was used, background included, since a node that delivers must also
    live; the store's counts are given without it.

    Args:
        idle: the cluster's background; None takes nothing off.
    """
    spent = raw.after - raw.before
    messages = max(delivered, 1)
    cpu = PER / messages / NANOSECONDS
    commands, bytes_in, bytes_out = (
        (idle.commands, idle.bytes_in, idle.bytes_out) if idle else (0.0, 0.0, 0.0)
    )
    return Cost(
        cpu_nodes=spent.nodes_ns * cpu,
        cpu_store=spent.store_ns * cpu,
        cpu_sender=spent.sender_ns * cpu,
        cpu_clients=spent.clients_ns * cpu,
        store_commands=(spent.store.commands - commands * raw.seconds) / messages,
        store_bytes_in=(spent.store.bytes_in - bytes_in * raw.seconds) / messages,
        store_bytes_out=(spent.store.bytes_out - bytes_out * raw.seconds) / messages,
    )


def ledger_of(raw: Raw) -> Ledger:
    """Return whether every message came as it should."""
    outcomes: dict[str, int] = {}
    for driver in raw.sent:
        for word, count in driver.get("outcomes", {}).items():
            outcomes[word] = outcomes.get(word, 0) + count
    return Ledger(
        lost=raw.received["missing"],
        doubled=raw.received["doubled"],
        misdelivered=raw.received["misdelivered"],
        stray=raw.received["stray"],
        closed=len(raw.received["closed"]),
        busy=sum(driver.get("busy", 0) for driver in raw.sent),
        outcomes=outcomes,
    )


def _sent_ns(plan: Plan, sent: Sequence[dict[str, Any]]) -> list[int]:
    """Return when each delivery was sent; each driver knows of its own messages."""
    times = [0] * plan.deliveries
    for driver in sent:
        for n, at_ns in driver["sent_ns"]:
            times[n * plan.group : (n + 1) * plan.group] = [at_ns] * plan.group
    return times
