"""Leases, read again and again, to sums, rates and percentiles."""

import msgspec
import pytest

from node.figures import Figures, Latency, quantile_ms
from router.counts import SECONDS, Histogram
from router.model import Endpoint, EndpointId, Outcome
from router.vitals import Vitals

T0 = 1_000.0


def written(*seconds: float) -> tuple[int, ...]:
    """Return the counts of a histogram that has seen these times."""
    histogram = Histogram(SECONDS)
    for value in seconds:
        histogram.add(value)
    return tuple(histogram.counts)


def outcomes(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(outcome.value, 0) for outcome in Outcome)


def lease(
    name: str,
    age_s: float | None,
    vitals: Vitals | None = None,
    *,
    role: str = "node",
    sessions: int = 0,
) -> Endpoint:
    return Endpoint(
        name=name,
        endpoint=EndpointId(f"{name}.e1"),
        role=role,
        pid=7,
        address="127.0.0.1:8001",
        state="live" if age_s is not None else "lost",
        sessions=sessions,
        inbox_length=4,
        heartbeat_age_seconds=age_s,
        received=30,
        delivered=20,
        received_per_second=3.0,
        delivered_per_second=2.0,
        vitals=vitals or Vitals(),
    )


class TestOneLook:
    def test_each_node_is_told_as_its_lease_tells(self) -> None:
        vitals = Vitals(cpu_percent=12.5, rss_bytes=4096, lag_ms=1.5)
        told = Figures().read([lease("n1", 0.5, vitals, sessions=3)], T0, 1_795_419_635.1204)
        assert msgspec.to_builtins(told) == {
            "type": "cluster",
            "at": 1_795_419_635.12,
            "nodes": [
                {
                    "name": "n1",
                    "endpoint": "n1.e1",
                    "pid": 7,
                    "address": "127.0.0.1:8001",
                    "state": "live",
                    "sessions": 3,
                    "inbox": 4,
                    "heartbeat_age_s": 0.5,
                    "received": 30,
                    "delivered": 20,
                    "received_per_second": 3.0,
                    "delivered_per_second": 2.0,
                    "cpu_percent": 12.5,
                    "rss_bytes": 4096,
                    "lag_ms": 1.5,
                }
            ],
            "per_second": {outcome.value: None for outcome in Outcome},
            "latency_ms": {"p50": None, "p99": None},
            "sessions": 3,
            "users": 0,
            "rescues": 0,
            "fences": 0,
        }

    def test_the_cluster_is_the_sum_over_its_nodes_and_senders_are_none(self) -> None:
        one = lease("n1", 0.5, Vitals(users=2, rescues=1, fences=3), sessions=3)
        two = lease("n2", 0.5, Vitals(users=5, rescues=1), sessions=6)
        sender = lease("send-1", 0.5, role="sender")
        told = Figures().read([one, two, sender], T0, 0.0)
        assert [node.name for node in told.nodes] == ["n1", "n2"]
        assert (told.sessions, told.users, told.rescues, told.fences) == (9, 7, 2, 3)

    def test_a_cluster_without_nodes_has_figures_too(self) -> None:
        told = Figures().read([], T0, 0.0)
        assert (told.nodes, told.sessions, told.latency_ms) == ([], 0, Latency(None, None))
        assert set(told.per_second.values()) == {0.0}


class TestRates:
    def test_they_are_what_changed_between_two_heartbeats(self) -> None:
        figures = Figures()
        figures.read([lease("n1", 0.0, Vitals(outcomes=outcomes(acked=5, busy=1)))], T0, 0.0)
        later = lease("n1", 0.0, Vitals(outcomes=outcomes(acked=25, busy=2)))
        told = figures.read([later], T0 + 2.0, 0.0)
        assert told.per_second["acked"] == 10.0
        assert told.per_second["busy"] == 0.5
        assert told.per_second["delivered"] == 0.0

    def test_the_same_heartbeat_seen_again_changes_nothing(self) -> None:
        figures = Figures()
        figures.read([lease("n1", 0.0, Vitals(outcomes=outcomes(acked=0)))], T0, 0.0)
        busy = Vitals(outcomes=outcomes(acked=20))
        first = figures.read([lease("n1", 0.0, busy)], T0 + 2.0, 0.0)
        # What a look costs makes the heartbeat seem a little earlier or later.
        again = figures.read([lease("n1", 0.9, busy)], T0 + 3.0, 0.0)
        assert first.per_second["acked"] == again.per_second["acked"] == 10.0

    def test_those_of_senders_and_nodes_add_up(self) -> None:
        figures = Figures()
        none, ten = Vitals(outcomes=outcomes()), Vitals(outcomes=outcomes(delivered=10))
        figures.read([lease("n1", 0.0, none), lease("s", 0.0, none, role="sender")], T0, 0.0)
        both = [lease("n1", 0.0, ten), lease("s", 0.0, ten, role="sender")]
        assert figures.read(both, T0 + 2.0, 0.0).per_second["delivered"] == 10.0

    def test_a_lost_node_has_none_and_one_that_is_back_begins_afresh(self) -> None:
        figures = Figures()
        busy = Vitals(outcomes=outcomes(acked=100))
        figures.read([lease("n1", 0.0, Vitals(outcomes=outcomes()))], T0, 0.0)
        assert figures.read([lease("n1", None, busy)], T0 + 2.0, 0.0).per_second["acked"] == 0.0
        back = figures.read([lease("n1", 0.0, busy)], T0 + 4.0, 0.0)
        assert back.per_second["acked"] is None
        still = figures.read([lease("n1", 0.0, busy)], T0 + 6.0, 0.0)
        assert still.per_second["acked"] == 0.0

    def test_counters_that_fall_or_are_fewer_or_more_are_no_rates(self) -> None:
        figures = Figures()
        figures.read([lease("n1", 0.0, Vitals(outcomes=(9, 9)))], T0, 0.0)
        told = figures.read([lease("n1", 0.0, Vitals(outcomes=(1,)))], T0 + 1.0, 0.0)
        assert set(told.per_second.values()) == {0.0}
        many = Vitals(outcomes=(1,) * 60)
        assert figures.read([lease("n1", 0.0, many)], T0 + 2.0, 0.0).per_second["unknown"] == 1.0


class TestLatency:
    def test_it_is_of_what_was_written_between_heartbeats(self) -> None:
        figures = Figures()
        old = written(*[9.0] * 50)
        figures.read([lease("n1", 0.0, Vitals(written=old))], T0, 0.0)
        fresh = [a + b for a, b in zip(old, written(*[0.0015] * 100), strict=True)]
        told = figures.read([lease("n1", 0.0, Vitals(written=tuple(fresh)))], T0 + 2.0, 0.0)
        assert told.latency_ms.p50 == pytest.approx(1.75)
        assert told.latency_ms.p99 == pytest.approx(2.485)

    def test_it_is_forgotten_after_ten_seconds(self) -> None:
        figures = Figures()
        figures.read([lease("n1", 0.0, Vitals(written=written()))], T0, 0.0)
        slow = Vitals(written=written(1.0))
        for seconds in range(2, 12, 2):
            told = figures.read([lease("n1", 0.0, slow)], T0 + seconds, 0.0)
            assert told.latency_ms.p99 is not None
        for seconds in range(12, 16, 2):
            told = figures.read([lease("n1", 0.0, slow)], T0 + seconds, 0.0)
        assert told.latency_ms.p99 is None

    def test_a_histogram_with_other_bounds_is_left_out(self) -> None:
        figures = Figures()
        figures.read([lease("n1", 0.0, Vitals(written=(0, 0)))], T0, 0.0)
        told = figures.read([lease("n1", 0.0, Vitals(written=(5, 5)))], T0 + 2.0, 0.0)
        assert told.latency_ms.p50 is None


class TestQuantiles:
    @pytest.mark.parametrize(
        ("times", "share", "ms"),
        [
            ((0.0004,), 1.0, 0.5),
            ((0.0004,) * 4, 0.5, 0.25),
            ((0.002,) * 3 + (0.2,), 0.5, 2.0),
            ((0.002,) * 3 + (0.2,), 1.0, 250.0),
            ((99.0,), 0.5, 10_000.0),  # beyond all bounds
        ],
    )
    def test_they_lie_within_their_bucket(
        self, times: tuple[float, ...], share: float, ms: float
    ) -> None:
        assert quantile_ms(written(*times), share) == pytest.approx(ms)

    def test_of_nothing_there_is_none(self) -> None:
        assert quantile_ms(written(), 0.5) is None
