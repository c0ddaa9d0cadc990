"""Redis Pub/Sub with one channel per user; each node subscribes to the users it holds.

The recipe of Centrifugo and SignalR: cheap and direct, and the sender learns nothing. Subscribed
with a user's first session here, unsubscribed with the last.
"""

from collections.abc import Sequence

from router.codec import MessageEnvelope
from router.model import EndpointId, Registered, Session, SessionId, UserId
from router.transport.base import Delivery
from router.transport.pubsub import PubSubTransport


class ChannelTransport(PubSubTransport):
    """See `transport.base.Transport` for what is promised; this mode only knows `accepted`."""

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """See `Transport.publish`; each user's channel is a publish of its own."""
        for delivery in deliveries:
            self._publisher.publish(self._keys.channel(delivery.user), parcel, (delivery,))

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        """See `Transport.attach`: registered, and the channel's subscription confirmed.

        A session that is attached again waits for no connection: it is subscribed, or will be with
        all the others when the connection is back.
        """
        registered = await self._registry.register(sessions)
        if not registered:
            return registered
        fresh = self._holding.add(sessions)
        try:
            await self._subscriber.subscribe(self._keys.channel(user) for user, _ in fresh)
        except BaseException:
            for user, session in fresh:
                self._let_go(user, session.endpoint, session.session)
            raise
        return registered

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None:
        """See `Transport.detach`; what is subscribed goes by the sessions that are left here."""
        self._let_go(user, endpoint, session)
        await self._registry.unregister(user, endpoint, session, last_here=last_here)

    def _let_go(self, user: UserId, endpoint: EndpointId, session: SessionId) -> None:
        if self._holding.remove(user, endpoint, session):
            self._subscriber.unsubscribe(self._keys.channel(user))
