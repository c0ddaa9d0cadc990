"""Checks what the clients received against what was to be sent. Pure."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from scripts.measuring.plan import Plan


class Arrival(NamedTuple):
    """One text frame as a client read it.

    Args:
        user: index of the user whose socket it came in on.
        at_ns: when, by CLOCK_MONOTONIC.
        payload: the frame's text.
    """

    user: int
    at_ns: int
    payload: bytes


@dataclass(slots=True)
class Receipts:
    """What arrived.

    Args:
        at_ns: when each delivery arrived first, those of one message in the order of its users;
            0 for one that did not.
        missing: how many did not arrive at the right user.
        doubled: copies beyond the first, those that come late from an earlier cell included.
        misdelivered: messages on another user's socket, or with other content than was sent.
        stray: frames that are no messages.
        recipients: first user index of each message.
        twice: numbers of this plan's messages of which somebody had a second copy.
    """

    at_ns: list[int]
    missing: int = 0
    doubled: int = 0
    misdelivered: int = 0
    stray: int = 0
    recipients: list[int] = field(default_factory=list, repr=False)
    twice: set[int] = field(default_factory=set, repr=False)


def check(plan: Plan, arrivals: list[Arrival]) -> Receipts:
    """Compare every arrival with the plan, by recipient and by content."""
    receipts = Receipts([0] * plan.deliveries, recipients=plan.recipients())
    decoder = msgspec.json.Decoder()
    for arrival in arrivals:
        try:
            frame = decoder.decode(arrival.payload)
        except msgspec.DecodeError:
            frame = None
        _enter(plan, receipts, arrival, frame)
    receipts.missing = receipts.at_ns.count(0)
    return receipts


def _enter(plan: Plan, receipts: Receipts, arrival: Arrival, frame: Any) -> None:
    data = frame.get("data") if isinstance(frame, dict) else None
    if not isinstance(data, dict) or frame.get("type") != "message":
        receipts.stray += 1
        return
    n = data.get("n")
    if data.get("run") != plan.run and data.get("run") in range(plan.run):
        receipts.doubled += 1
    elif not isinstance(n, int) or not 0 <= n < plan.messages:
        receipts.misdelivered += 1
    else:
        first = receipts.recipients[n]
        member = (arrival.user - first) % plan.users
        if member >= plan.group or data != plan.data(n, first):
            receipts.misdelivered += 1
        elif receipts.at_ns[n * plan.group + member]:
            receipts.doubled += 1
            receipts.twice.add(n)
        else:
            receipts.at_ns[n * plan.group + member] = arrival.at_ns
