"""What a metric is, and what it is read from; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.counts import Counts, Histogram


class Kind(StrEnum):
    """What a metric does: see https://prometheus.io/docs/concepts/metric_types/."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a node in the moment in which it is asked.

    Args:
        counts: of its process.
        sessions: open ones.
        waiting: sends that wait for their outcome.
        inbox: messages that wait in its inbox; None when the store does not say.
        inbox_lag_s: how long one takes through it.
        heartbeat_age_s: since its last heartbeat; None before the first.
        store_up: whether the connection for commands is there.
        ready: whether new sessions may come.
        draining: whether it is leaving.
        restarts: how often which of its loops has ended and was started again.
        about: `version` and `mode`.
    """

    counts: Counts
    sessions: int
    waiting: int
    inbox: int | None
    inbox_lag_s: float
    heartbeat_age_s: float | None
    store_up: bool
    ready: bool
    draining: bool
    restarts: Mapping[str, int]
    about: Mapping[str, str]


Value = float | Histogram | Mapping[str, float] | None
"""A number, or one for each value of the metric's label; None for a number that is not known."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: in full; a counter's without `_total`.
        kind: what it does.
        unit: what is counted, or measured in.
        help: what it means, in a sentence for people.
        read: takes its value out of a state.
        label: what its values differ by; "" for a single one.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    read: Callable[[State], Value]
    label: str = ""

    @property
    def shown(self) -> str:
        """Return its name as people ask for it."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name
