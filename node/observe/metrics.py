"""`/metrics`: what a node has counted, as Prometheus reads it.

Nothing is handed to the metrics library while messages run. One collector reads the counts when
somebody asks.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from node.observe.catalog import METRICS
from node.observe.metric import Kind, Metric, State, Value
from router.counts import Histogram
from router.errors import SwitchboardError
from router.member import Member

_STORE_S: Final = 1.0  # a scrape waits no longer for the one number that is in the store


def build_version() -> str:
    """Return the version of the package as installed; `unknown` for a bare checkout."""
    try:
        return version("switchboard")
    except PackageNotFoundError:
        return "unknown"


class StateCollector(Collector):
    """Shows one state: each row of the catalogue, and what the system says of the process.

    Args:
        state: what to show.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Family]:
        """Yield every metric; one whose value is not known has no sample."""
        for metric in METRICS:
            yield _family(metric, metric.read(self._state), self._state.about)
        yield from self._process.collect()


class Metrics:
    """Answers scrapes of one node.

    Args:
        member: its part of the cluster.
        sessions: returns how many sessions are open.
        inbox_lag_s: returns how long a message takes through the inbox.
        not_ready: returns why no new session should come here; None when they may.
        draining: returns whether the node is leaving.
    """

    def __init__(
        self,
        member: Member,
        *,
        sessions: Callable[[], int],
        inbox_lag_s: Callable[[], float],
        not_ready: Callable[[], str | None],
        draining: Callable[[], bool],
    ) -> None:
        self._member = member
        self._sessions = sessions
        self._inbox_lag_s = inbox_lag_s
        self._not_ready = not_ready
        self._draining = draining
        self._about = {"version": build_version(), "mode": member.settings.delivery.mode}

    async def page(self, accept: str) -> tuple[bytes, str]:
        """Return every metric, and the content type.

        Args:
            accept: the header of that name: OpenMetrics for those who ask for it, else the text
                format 0.0.4.

        Cancel-safe. With the store away the length of the inbox is left out.
        """
        encode, content_type = choose_encoder(accept)
        return encode(StateCollector(await self.state())), content_type

    async def state(self) -> State:
        """Return what is known now; as `page`."""
        member = self._member
        return State(
            counts=member.counts,
            sessions=self._sessions(),
            waiting=member.sending.waiting,
            inbox=await self._inbox(),
            inbox_lag_s=self._inbox_lag_s(),
            heartbeat_age_s=member.endpoint.heartbeat_age_s,
            store_up=member.store.up,
            ready=self._not_ready() is None,
            draining=self._draining(),
            restarts=member.services.restarts(),
            about=self._about,
        )

    async def _inbox(self) -> int | None:
        endpoint = self._member.endpoint.id
        if endpoint is None or not self._member.store.up:
            return None
        try:
            async with asyncio.timeout(_STORE_S):
                inbox = self._member.keys.inbox(endpoint)
                return int(await self._member.store.command("LLEN", inbox))
        except (TimeoutError, SwitchboardError):
            return None


def _family(metric: Metric, value: Value, about: Mapping[str, str]) -> Family:
    """Return a metric as the library encodes it; `about` has the values of several labels."""
    if metric.kind is Kind.HISTOGRAM:
        assert isinstance(value, Histogram)
        rows = [
            ("+Inf" if bound == inf else str(float(bound)), below)
            for bound, below in value.rising()
        ]
        return HistogramMetricFamily(metric.name, metric.help, buckets=rows, sum_value=value.total)
    labels = metric.label.split(", ") if metric.label else []
    made = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = made(metric.name, metric.help, labels=labels)
    if isinstance(value, Mapping):
        for name in sorted(value):
            family.add_metric([name], value[name])
    elif isinstance(value, float | int):
        family.add_metric([about[label] for label in labels], value)
    return family
