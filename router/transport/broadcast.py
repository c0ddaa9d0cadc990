"""Redis Pub/Sub with one channel: every node gets every message, decodes it and filters.

The recipe of python-socketio and Socket.IO.
"""

from collections.abc import Callable, Sequence

from router.codec import MessageEnvelope
from router.keys import Keys
from router.model import EndpointId, Session, SessionId, UserId
from router.store.connect import Connector
from router.store.link import Link
from router.store.registry import Registry
from router.transport.base import ACCEPTED_ONLY, Deliver, Delivery
from router.transport.holding import Holding
from router.transport.pubsub import Publisher, Subscriber


class BroadcastTransport:
    """See `transport.base.Transport` for what is promised; this mode only knows `accepted`.

    Args: as `ChannelTransport`.
    """

    confirms = ACCEPTED_ONLY

    def __init__(
        self,
        connector: Connector,
        link: Link,
        keys: Keys,
        registry: Registry,
        changed: Callable[[Delivery], None],
        deliver: Deliver,
        flush: Callable[[], None],
    ) -> None:
        self._channel = keys.everybody
        self._registry = registry
        self._publisher = Publisher(link, changed)
        self._subscriber = Subscriber(connector, deliver, flush)
        self._holding = Holding()

    async def open(self) -> None:
        """See `Transport.open`; the subscriber connects with the first session."""

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._subscriber.close()

    def store_is_back(self) -> None:
        """See `Transport.store_is_back`; the subscriber looks after itself."""

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """See `Transport.publish`; one envelope for all its users."""
        self._publisher.publish(self._channel, parcel, deliveries)

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> bool:
        """See `Transport.attach`: registered, and the one subscription confirmed.

        As with `ChannelTransport`, a session that is attached again waits for no connection.
        """
        if not await self._registry.register(sessions):
            return False
        if fresh := self._holding.add(sessions):
            try:
                await self._subscriber.subscribe((self._channel,))
            except BaseException:
                for user, session in fresh:
                    self._holding.remove(user, session.endpoint, session.session)
                raise
        return True

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None:
        """See `Transport.detach`; the subscription stays, others need it."""
        self._holding.remove(user, endpoint, session)
        await self._registry.unregister(user, endpoint, session, last_here=last_here)
