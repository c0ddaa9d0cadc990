"""Which transport `delivery.mode` means: the only place that knows them all."""

from collections.abc import Callable
from dataclasses import dataclass

from router.keys import Keys
from router.settings import Settings
from router.store.connect import Connector
from router.store.link import Link
from router.store.registry import Registry
from router.store.routes import RouteTable
from router.transport.base import Delivery, Transport
from router.transport.broadcast import BroadcastTransport
from router.transport.channel import ChannelTransport
from router.transport.outbox import Outbox
from router.transport.pubsub import Deliver
from router.transport.routed import RoutedTransport


@dataclass(frozen=True, slots=True)
class Parts:
    """What transports are made of.

    Args:
        connector: opens connections to the store.
        link: the connection for commands.
        keys: key and channel names.
        registry: who is where.
        outbox: pushes into inboxes.
        changed: called with a delivery whenever something was told to it.
        deliver: takes each envelope that comes by another way than the inbox.
        flush: called after the envelopes that came together.
    """

    connector: Connector
    link: Link
    keys: Keys
    registry: Registry
    outbox: Outbox
    changed: Callable[[Delivery], None]
    deliver: Deliver
    flush: Callable[[], None]


def make_transport(settings: Settings, parts: Parts) -> Transport:
    """Return the transport of `delivery.mode`."""
    p = parts
    if settings.delivery.mode == "routed":
        routes = RouteTable(p.connector, p.keys, settings.registry)
        return RoutedTransport(p.link, routes, p.registry, p.outbox, p.changed)
    kind = ChannelTransport if settings.delivery.mode == "channel" else BroadcastTransport
    return kind(p.connector, p.link, p.keys, p.registry, p.changed, p.deliver, p.flush)
