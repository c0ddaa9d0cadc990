"""What became of the messages of a stream in which something broke. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from scripts.comparison.document import Fault

LATE_MS = 1000.0
# What a sender reads as "all is well"; anything else tells it that the message may be lost.
WELL = frozenset({"accepted", "written", "delivered", "acked", "queued"})

Kind = Literal["node killed", "node stopped", "store restarted"]


def tally(
    mode: str,
    fault: Kind,
    nodes: int,
    sent_ns: Sequence[int],
    at_ns: Sequence[int],
    words: Sequence[str],
    twice: Sequence[int],
) -> Fault:
    """Return the ledger of a stream.

    Args:
        mode: the row.
        fault: what broke.
        nodes: how many there were.
        sent_ns: when each message was sent.
        at_ns: when it arrived first; 0 for never.
        words: what its sender was told; "" for nothing yet.
        twice: the numbers of those that came more than once.
    """
    came = [at > 0 for at in at_ns]
    well = [word in WELL for word in words]
    took_ms = [(at - sent) / 1e6 for sent, at in zip(sent_ns, at_ns, strict=True) if at]
    pairs = list(zip(came, well, strict=True))
    return Fault(
        mode=mode,
        fault=fault,
        nodes=nodes,
        messages=len(words),
        arrived=sum(came),
        lost_silently=pairs.count((False, True)),
        told=pairs.count((False, False)),
        unsure=pairs.count((True, False)),
        late=sum(took > LATE_MS for took in took_ms),
        twice=len(twice),
        slowest_ms=max(took_ms, default=None),
        outcomes=dict(Counter(word or "nothing" for word in words)),
    )
