"""No command of the whole bench may hold the store up: its slow log says whether one did."""

from collections.abc import Sequence
from typing import Any

from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.rows import Row, once

SLOWER_THAN_US = 5_000
_KEPT = 1_000
_SHOWN_CHARACTERS = 40


def watch(crowd: Crowd) -> None:
    """Let a store note every command that takes longer than `SLOWER_THAN_US`."""
    crowd.admin.config_set("slowlog-max-len", _KEPT)
    crowd.admin.config_set("slowlog-log-slower-than", SLOWER_THAN_US)
    crowd.admin.slowlog_reset()


def slow_commands(*crowds: Crowd) -> list[dict[str, Any]]:
    """Return the commands that were noted since the stores were started."""
    return [entry for crowd in crowds for entry in crowd.admin.slowlog_get(_KEPT)]


def slow_row(found: Sequence[dict[str, Any]], noise: str, *, apart: bool) -> Row:
    """Return how many commands were noted.

    Args:
        found: all of them.
        noise: what else can be told of the machine.
        apart: whether the stores had a processor for themselves.
    """
    slowest = sorted(found, key=lambda entry: -entry["duration"])[:3]
    told = [
        f"{entry['duration'] / 1000:.1f} ms: {entry['command'][:_SHOWN_CHARACTERS]!r}"
        for entry in slowest
    ]
    if apart:
        told.append("the stores had a processor for themselves")
    else:
        told.append("the log goes by the clock, so turns of other programs are in it")
    told.append(noise)
    figure = "commands over 5 ms in the slow log, during all of the above"
    size = "both registries"
    return Row(figure, once(len(found)), "", aim=0, size=size, note="; ".join(told), digits=0)
