"""Redis Pub/Sub with one channel: every node gets every message, decodes it and filters.

The recipe of python-socketio and Socket.IO.
"""

from collections.abc import Sequence

from router.codec import MessageEnvelope
from router.model import EndpointId, Registered, Session, SessionId, UserId
from router.transport.base import Delivery
from router.transport.pubsub import PubSubTransport


class BroadcastTransport(PubSubTransport):
    """See `transport.base.Transport` for what is promised; this mode only knows `accepted`."""

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """See `Transport.publish`; one envelope for all its users."""
        self._publisher.publish(self._keys.everybody, parcel, deliveries)

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        """See `Transport.attach`: registered, and the one subscription confirmed.

        As with `ChannelTransport`, a session that is attached again waits for no connection.
        """
        registered = await self._registry.register(sessions)
        if not registered:
            return registered
        if fresh := self._holding.add(sessions):
            try:
                await self._subscriber.subscribe((self._keys.everybody,))
            except BaseException:
                for user, session in fresh:
                    self._holding.remove(user, session.endpoint, session.session)
                raise
        return registered

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None:
        """See `Transport.detach`; the subscription stays, others need it."""
        self._holding.remove(user, endpoint, session)
        await self._registry.unregister(user, endpoint, session, last_here=last_here)
