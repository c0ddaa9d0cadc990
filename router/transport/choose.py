"""Which transport `delivery.mode` means: the only place that knows them all."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.errors import InvalidSettings
from router.keys import Keys
from router.settings import Settings
from router.store.connect import Connector
from router.store.mailbox import Mailbox
from router.store.registry import Registry
from router.store.routes import RouteTable
from router.store.store import Store
from router.transport.base import Deliver, Delivery, Transport
from router.transport.broadcast import BroadcastTransport
from router.transport.channel import ChannelTransport
from router.transport.outbox import Outbox
from router.transport.routed import RoutedTransport

# Found by its name and not imported: what it stands on is an extra that few install.
_FANOUT: Final = "router.transport.fanout:FanoutTransport"


@dataclass(frozen=True, slots=True)
class Parts:
    """What transports are made of.

    Args:
        connector: opens connections to the store.
        store: the way commands take.
        keys: key and channel names.
        registry: who is where.
        mailbox: durable messages.
        outbox: pushes into inboxes.
        changed: called with a delivery whenever something was told to it.
        deliver: takes each envelope that comes by another way than the inbox.
        flush: called after the envelopes that came together.
    """

    connector: Connector
    store: Store
    keys: Keys
    registry: Registry
    mailbox: Mailbox
    outbox: Outbox
    changed: Callable[[Delivery], None]
    deliver: Deliver
    flush: Callable[[], None]


def make_transport(settings: Settings, parts: Parts) -> Transport:
    """Return the transport of `delivery.mode`."""
    p = parts
    if settings.delivery.mode == "routed":
        routes = RouteTable(p.connector, p.keys, settings.registry)
        return RoutedTransport(p.store, routes, p.registry, p.mailbox, p.outbox, p.changed)
    if settings.delivery.mode == "fanout":
        exchange, most = p.keys.everybody, settings.inbox.max_length
        return _fanout()(
            settings.delivery.amqp_url,
            exchange,
            most,
            p.registry,
            p.changed,
            p.deliver,
            p.flush,
            p.connector.services,
        )
    kind = ChannelTransport if settings.delivery.mode == "channel" else BroadcastTransport
    return kind(p.connector, p.store, p.keys, p.registry, p.changed, p.deliver, p.flush)


def _fanout() -> Callable[..., Transport]:
    """Return what makes the transport of the mode `fanout`.

    Raises:
        InvalidSettings: its library is not installed.
    """
    try:
        found: Callable[..., Transport] = pkgutil.resolve_name(_FANOUT)
    except ModuleNotFoundError as exc:
        mend = "pip install 'switchboard[fanout]'"
        problem = f'delivery.mode "fanout" needs the package {exc.name}: {mend}'
        raise InvalidSettings([problem]) from exc
    return found
