"""How a process is doing, as it says with each heartbeat, beside what everybody must know of it.

Pure. It travels in the lease, so it is small; every field may be missing, and later versions may
put more behind these.
"""

from typing import Annotated

from msgspec import Meta, Struct

_Count = Annotated[int, Meta(ge=0, lt=2**53)]
_Counts = Annotated[tuple[_Count, ...], Meta(max_length=64)]


class Vitals(Struct, frozen=True, array_like=True, gc=False):
    """What a process has counted since it started, and what it takes of its machine.

    Args:
        users: users with a session here.
        cpu_percent: of one core, since the heartbeat before; None where unknown.
        rss_bytes: memory it holds; None where unknown.
        lag_ms: how late its event loop was at worst since the heartbeat before; None for unknown.
        rescues: dead endpoints it has cleaned up.
        fences: endpoints it has fenced.
        outcomes: what became of its own sends, in the order of `Outcome`.
        written: how long messages took from the send to the write, by the bounds of
            `counts.SECONDS`; () for unknown.
    """

    users: _Count = 0
    cpu_percent: float | None = None
    rss_bytes: _Count | None = None
    lag_ms: float | None = None
    rescues: _Count = 0
    fences: _Count = 0
    outcomes: _Counts = ()
    written: _Counts = ()


UNKNOWN = Vitals()
