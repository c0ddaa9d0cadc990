import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from node.disconnects import SLOW
from node.observe.catalog import METRICS
from node.observe.metric import Kind, Metric, State
from router.counts import Counts, Histogram
from router.model import Outcome

# As https://prometheus.io/docs/practices/naming/ has it: base units, a plural where things are
# counted, nothing of the type in the name.
NAME = re.compile(r"switchboard(_[a-z]+)+")
NO_BASE_UNITS = re.compile(r"_(ms|milliseconds|minutes|kb|kilobytes|percent)\b|_(s|us)$")


def state(**fields: Any) -> State:
    plain: dict[str, Any] = {
        "counts": Counts(),
        "sessions": 3,
        "waiting": 0,
        "inbox": 7,
        "inbox_lag_s": 0.25,
        "heartbeat_age_s": 1.5,
        "store_up": True,
        "ready": True,
        "draining": False,
        "restarts": {"pulse": 0},
        "about": {"version": "1", "mode": "routed"},
    }
    return State(**plain | fields)


def named(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == f"switchboard_{name}")


def by_label(name: str, counts: Counts) -> Mapping[str, float]:
    found = named(name).read(state(counts=counts))
    assert isinstance(found, Mapping)
    return found


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
class TestEach:
    def test_is_named_by_the_conventions(self, metric: Metric) -> None:
        assert NAME.fullmatch(metric.name)
        assert not NO_BASE_UNITS.search(metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds")

    def test_is_explained_in_one_sentence(self, metric: Metric) -> None:
        assert metric.help.endswith(".")
        assert metric.help[0].isupper() or metric.help[0].isdigit()
        assert "|" not in metric.help

    def test_is_of_its_kind_and_has_a_label_if_its_values_have_names(self, metric: Metric) -> None:
        value = metric.read(state())
        assert (metric.kind is Kind.HISTOGRAM) == isinstance(value, Histogram)
        if isinstance(value, Mapping):
            assert metric.label


def test_every_name_is_there_once() -> None:
    assert [name for name, n in Counter(m.name for m in METRICS).items() if n > 1] == []


def test_every_number_of_the_counts_is_shown() -> None:
    """A number that nobody can see is not worth its addition."""
    seen: set[str] = set()

    class Watched(Counts):
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            seen.add(name)
            return super().__getattribute__(name)

    watched = state(counts=Watched())
    seen.clear()
    for metric in METRICS:
        metric.read(watched)
    hidden = set(Counts.__slots__) - seen
    assert hidden == {"timing", "canary_s"}  # the second one is part of `inbox_lag_s`


def test_outcomes_close_codes_and_kinds_of_errors_are_there_before_they_come() -> None:
    counts = Counts()
    assert dict(by_label("outcomes", counts)) == {outcome.value: 0 for outcome in Outcome}
    assert by_label("store_errors", counts)["OOM"] == 0
    assert by_label("sessions_closed", counts)["4408"] == 0


def test_slow_consumers_are_a_part_of_what_was_closed() -> None:
    counts = Counts()
    counts.closed[SLOW.code] += 2
    counts.closed[0] += 1
    assert named("slow_consumers_closed").read(state(counts=counts)) == 2
    assert by_label("sessions_closed", counts)["4408"] == 2
    assert by_label("sessions_closed", counts)["client"] == 1
