"""Which kind of store `redis.mode` means: the only place that knows them all."""

from collections.abc import Callable
from typing import Any

from router.counts import Counts
from router.service import Services
from router.settings import RedisSettings
from router.store.cluster import Cluster, ClusterConnector
from router.store.connect import Connector
from router.store.link import Link
from router.store.sentinel import SentinelConnector
from router.store.single import Single
from router.store.store import Store


def make_connector(
    url: str,
    settings: RedisSettings,
    services: Services | None = None,
    counts: Counts | None = None,
) -> Connector:
    """Return what opens connections to the store; arguments as `Connector`."""
    if settings.mode == "cluster":
        return ClusterConnector(url, settings, services, counts)
    if settings.mode == "sentinel":
        return SentinelConnector(url, settings, services, counts)
    return Connector(url, settings, services, counts)


def make_store(connector: Connector, name: str, **events: Any) -> Store:
    """Return a way to the store, not open yet.

    Args:
        connector: from `make_connector`.
        name: see `Link`.
        events: see `Link`; each of its connections has them.
    """
    make_link: Callable[[Connector], Link] = lambda to: Link(to, name, **events)  # noqa: E731
    if isinstance(connector, ClusterConnector):
        return Cluster(connector, make_link)
    return Single(make_link(connector))
