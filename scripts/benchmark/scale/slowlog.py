"""No command of the whole bench may hold the store up: its slow log says whether one did."""

from pathlib import Path

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


def waited_ns(pid: int) -> int:
    """Return how long a store was ready to run and did not; less than 0 where that is unknown.

    Source: https://docs.kernel.org/scheduler/sched-stats.html (/proc/PID/schedstat)
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return -(10**18)


def slow_row(*crowds: Crowd) -> Row:
    """Return how many commands were noted since the stores were started."""
    found = [entry for crowd in crowds for entry in crowd.admin.slowlog_get(_KEPT)]
    slowest = sorted(found, key=lambda entry: -entry["duration"])[:3]
    told = [
        f"{entry['duration'] / 1000:.1f} ms: {entry['command'][:_SHOWN_CHARACTERS]!r}"
        for entry in slowest
    ]
    if all(crowd.first for crowd in crowds):
        told.append("the stores had their turns before other programs (SCHED_RR)")
    else:
        told.append("the log goes by the clock, so turns of other programs are in it")
    if (waited := sum(waited_ns(crowd.pid) for crowd in crowds)) >= 0:
        told.append(f"in all they waited {waited / 1e6:,.0f} ms for a processor")
    figure = "commands over 5 ms in the slow log, during all of the above"
    size = "both registries"
    return Row(figure, once(len(found)), "", aim=0, size=size, note="; ".join(told), digits=0)
