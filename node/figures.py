"""The cluster at a glance: leases, read again and again, to sums, rates and percentiles.

Pure. A lease changes only with a heartbeat, so what a rate is made of are two heartbeats, and not
two looks at the same one.
"""

from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from msgspec import Struct

from router.counts import SECONDS
from router.model import Endpoint, EndpointId, Outcome
from router.vitals import Vitals

_SAME_BEAT_S: Final = 0.25  # two looks see one heartbeat at times that differ by so much at most
_WINDOW_S: Final = 10.0  # what percentiles are of
_P50: Final = 0.5
_P99: Final = 0.99


class NodeFigures(Struct, frozen=True):
    """One node; what is not known is None."""

    name: str
    endpoint: str
    pid: int
    address: str
    state: str
    sessions: int
    inbox: int
    heartbeat_age_s: float | None
    received: int
    delivered: int
    received_per_second: float
    delivered_per_second: float
    cpu_percent: float | None
    rss_bytes: int | None
    lag_ms: float | None


class Latency(Struct, frozen=True):
    """How long messages took from the send to the write, in milliseconds; None without any."""

    p50: float | None
    p99: float | None


class ClusterFigures(Struct, frozen=True, tag_field="type", tag="cluster"):
    """The cluster at one moment.

    Args:
        at: that moment, seconds since 1970.
        nodes: every node that has not been cleaned up, by name.
        per_second: outcome -> messages for one user, of every sender that keeps a lease; None until
            one of them has been seen twice.
        latency_ms: over the last ten seconds.
        sessions: live ones, of all nodes.
        users: with a session; one with sessions on two nodes counts twice.
        rescues: dead endpoints cleaned up by the nodes since each of them started.
        fences: endpoints fenced by them, likewise.
    """

    at: float
    nodes: list[NodeFigures]
    per_second: dict[str, float | None]
    latency_ms: Latency
    sessions: int
    users: int
    rescues: int
    fences: int


class _Beat(NamedTuple):
    at: float
    vitals: Vitals


class Figures:
    """Remembers what each endpoint said last, to tell what has changed."""

    def __init__(self) -> None:
        self._beats: dict[EndpointId, deque[_Beat]] = {}

    @property
    def known(self) -> bool:
        """Say whether there is a rate for everybody: each was seen with two heartbeats."""
        return all(len(beats) > 1 for beats in self._beats.values())

    def read(self, endpoints: Sequence[Endpoint], now: float, at: float) -> ClusterFigures:
        """Return the figures of the cluster.

        Args:
            endpoints: all that have a lease, senders included, as they are now.
            now: seconds, by a clock that only rises.
            at: seconds since 1970.
        """
        self._note(endpoints, now)
        nodes = [endpoint for endpoint in endpoints if endpoint.role == "node"]
        written = self._written()
        return ClusterFigures(
            at=round(at, 3),
            nodes=[_figures_of(node) for node in nodes],
            per_second=self._per_second(),
            latency_ms=Latency(quantile_ms(written, _P50), quantile_ms(written, _P99)),
            sessions=sum(node.sessions for node in nodes),
            users=sum(node.vitals.users for node in nodes),
            rescues=sum(node.vitals.rescues for node in nodes),
            fences=sum(node.vitals.fences for node in nodes),
        )

    def _note(self, endpoints: Sequence[Endpoint], now: float) -> None:
        kept: dict[EndpointId, deque[_Beat]] = {}
        for endpoint in endpoints:
            age_s = endpoint.heartbeat_age_seconds
            if age_s is None:
                continue  # lost: what it did last is not what it does
            beats = kept[endpoint.endpoint] = self._beats.get(endpoint.endpoint, deque())
            if not beats or now - age_s - beats[-1].at > _SAME_BEAT_S:
                beats.append(_Beat(now - age_s, endpoint.vitals))
            while len(beats) > 2 and beats[1].at < now - _WINDOW_S:
                beats.popleft()
        self._beats = kept

    def _per_second(self) -> dict[str, float | None]:
        known = [beats for beats in self._beats.values() if len(beats) > 1]
        if self._beats and not known:
            return dict.fromkeys([outcome.value for outcome in Outcome])
        rates = dict.fromkeys(Outcome, 0.0)
        for beats in known:
            before, last = beats[-2], beats[-1]
            rises = _rises(before.vitals.outcomes, last.vitals.outcomes)
            for outcome, more in zip(Outcome, rises, strict=False):
                rates[outcome] += more / (last.at - before.at)
        return {outcome.value: round(rate, 2) for outcome, rate in rates.items()}

    def _written(self) -> list[int]:
        """Return how many messages were written lately, by how long they took."""
        counts = [0] * (len(SECONDS) + 1)
        for beats in self._beats.values():
            first, last = beats[0].vitals.written, beats[-1].vitals.written
            if len(last) == len(counts):
                rises = _rises(first, last)
                counts = [count + more for count, more in zip(counts, rises, strict=True)]
        return counts


def _rises(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Return by how much each counter has risen; one that was not there before was 0."""
    pairs = zip_longest(before[: len(after)], after, fillvalue=0)
    return [max(0, new - old) for old, new in pairs]


def _figures_of(node: Endpoint) -> NodeFigures:
    vitals = node.vitals
    return NodeFigures(
        name=node.name,
        endpoint=node.endpoint,
        pid=node.pid,
        address=node.address,
        state=node.state,
        sessions=node.sessions,
        inbox=node.inbox_length,
        heartbeat_age_s=node.heartbeat_age_seconds,
        received=node.received,
        delivered=node.delivered,
        received_per_second=node.received_per_second,
        delivered_per_second=node.delivered_per_second,
        cpu_percent=vitals.cpu_percent,
        rss_bytes=vitals.rss_bytes,
        lag_ms=vitals.lag_ms,
    )


def quantile_ms(counts: Sequence[int], share: float) -> float | None:
    """Return how long `share` of the messages took at most, in milliseconds.

    Within a bucket they are taken to lie evenly; those beyond the last bound count as that bound.

    Args:
        counts: messages by the bounds of `SECONDS`; one more for those beyond the last.
        share: 0 to 1.

    Returns:
        None when there are no messages.
    """
    wanted = share * sum(counts)
    below, low = 0, 0.0
    for bound, count in zip(SECONDS, counts, strict=False):
        if count and below + count >= wanted:
            return round(1000 * (low + (bound - low) * (wanted - below) / count), 3)
        below, low = below + count, bound
    return round(1000 * low, 3) if any(counts) else None
