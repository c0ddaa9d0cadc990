"""Asks whether everybody can be reached, by sending one message to all of them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.measuring.cluster import Cluster
from scripts.measuring.plan import Plan

SEED = 30_000
MIN_BYTES = 100
_ROUND_SECONDS = 0.3
_SEND_SECONDS = 5.0
GIVE_UP_SECONDS = 60.0

Number = Callable[[], int]
"""Returns a number for the next plan, larger than all before."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How asking went.

    Args:
        at_s: when the message was sent that reached all, by `time.monotonic`; None for never.
        shares: of each round, the share of the users that it reached.
    """

    at_s: float | None
    shares: tuple[float, ...]


async def until_everybody(cluster: Cluster, users: int, number: Number) -> Reached:
    """Send to everybody again and again until one message has reached them all.

    Args:
        cluster: whose; asks at `accepted`, so that no round waits for proofs.
        users: how many are connected.
        number: numbers the rounds.

    Raises:
        ChildFailed: a process of the cluster ended or fell silent.
    """
    shares: list[float] = []
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        sent_at = time.monotonic()
        shares.append(await _round(cluster, users, number()))
        if shares[-1] >= 1:
            return Reached(sent_at, tuple(shares))
    return Reached(None, tuple(shares))


async def _round(cluster: Cluster, users: int, run: int) -> float:
    """Return the share of the users that one message to all has reached soon."""
    (sender,) = cluster.drivers
    plan = Plan(run, SEED, users, 1, MIN_BYTES, group=users)
    await cluster.clients.ask("expect", plan=plan.dump())
    await sender.ask("prepare", plan=plan.dump(), how="accepted")
    await asyncio.gather(
        cluster.clients.ask("wait", _ROUND_SECONDS),
        sender.ask("go", _SEND_SECONDS, rate=0, outstanding=1),
    )
    found = await cluster.clients.ask("collect")
    missing: int = found["missing"]
    return 1 - missing / users
