"""Puts one load through one cluster and reads what it cost."""

import asyncio
import time
from collections.abc import Iterable

from redis.exceptions import RedisError

from scripts.measuring.cell import Cell, Idle, Raw, cost_of, flow_of, idle_of, ledger_of
from scripts.measuring.children import Child, ChildFailed
from scripts.measuring.cluster import Cluster
from scripts.measuring.meter import Reading, StoreCount, cpu_ns
from scripts.measuring.modes import Mode, Regime
from scripts.measuring.plan import Plan

_SETTLE_SECONDS = 0.05  # the last batch's trim and receipts are part of the cost
_PATIENCE_SECONDS = 20.0
_SLOWEST_PER_SECOND = 500.0  # at full load; a cell slower than this is given up


def read(cluster: Cluster) -> Reading:
    """Read all accounts of a cluster.

    Raises:
        ChildFailed: one of its processes has ended.
    """
    # Nodes may be their own senders, and a process must not be counted twice.
    senders = set(cluster.drivers) - set(cluster.nodes)
    try:
        return Reading(
            nodes_ns=_cpu_ns(cluster.nodes),
            store_ns=cpu_ns(cluster.server_pids),
            sender_ns=_cpu_ns(senders),
            clients_ns=_cpu_ns([cluster.clients]),
            store=cluster.meter.read() if cluster.meter is not None else StoreCount(),
        )
    except (OSError, RedisError) as exc:
        raise ChildFailed(f"the store of {cluster.kind} has ended: {exc}") from exc


def _cpu_ns(children: Iterable[Child]) -> int:
    total = 0
    for child in children:
        try:
            total += cpu_ns([child.pid])
        except OSError as exc:
            raise child.failure("has ended") from exc
    return total


async def measure_idle(cluster: Cluster, seconds: float) -> Idle:
    """Watch a cluster for `seconds` while nothing is sent to it."""
    before = read(cluster)
    await asyncio.sleep(seconds)
    return idle_of(cluster.kind, len(cluster.nodes), before, read(cluster), seconds)


async def measure(
    cluster: Cluster, mode: Mode, regime: Regime, plan: Plan, repeat: int, idle: Idle | None
) -> Cell:
    """Send a plan through a cluster and return what it cost.

    Args:
        cluster: the mode's.
        mode: the row.
        regime: how the load is made.
        plan: what is sent.
        repeat: its number, for the record.
        idle: the background to take off the store's counts; None takes nothing off.

    Raises:
        ChildFailed: a process of the cluster ended or fell silent.
    """
    sending, how = plan.dump(), mode.how or mode.name
    await asyncio.gather(
        cluster.clients.ask("expect", plan=sending),
        *(driver.ask("prepare", plan=sending, how=how) for driver in cluster.drivers),
    )
    before, begin = read(cluster), time.monotonic()
    await _load(cluster, regime, plan)
    seconds, after = time.monotonic() - begin, read(cluster)
    received = await cluster.clients.ask("collect")
    sent = [await driver.ask("collect") for driver in cluster.drivers]
    raw = Raw(before, after, seconds, received, sent)
    flow, delivered = flow_of(plan, raw)
    cost = cost_of(raw, delivered, idle)
    return Cell(mode, len(cluster.nodes), regime, repeat, plan, flow, cost, ledger_of(raw))


async def _load(cluster: Cluster, regime: Regime, plan: Plan) -> None:
    """Have the plan sent, and wait until the clients have it or time is up."""
    limit = _PATIENCE_SECONDS + plan.messages / (regime.rate or _SLOWEST_PER_SECOND)
    outstanding = regime.outstanding // len(cluster.drivers) or 1  # each has its share of it
    await asyncio.gather(
        cluster.clients.ask("wait", limit),
        *(
            driver.ask("go", limit, rate=regime.rate, outstanding=outstanding)
            for driver in cluster.drivers
        ),
    )
    await asyncio.sleep(_SETTLE_SECONDS)
