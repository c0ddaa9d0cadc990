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
    if not isinstance(connector, ClusterConnector):
        return Single(Link(connector, name, **events))
    told: Callable[[], None] = events.pop("on_down", lambda: None)

    def on_down() -> None:
        connector.topology.doubt()  # a replica may be about to take its place, and nobody would say
        told()

    return Cluster(connector, lambda to: Link(to, name, on_down=on_down, **events))
