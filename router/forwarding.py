"""Sending a copy of a message on, to where its user is now."""

from collections.abc import Callable, Sequence

import msgspec

from router.codec import MAX_HOPS, Answer, MessageEnvelope, encode
from router.errors import SwitchboardError, Unavailable
from router.model import EndpointId, SessionId, UserId
from router.store.registry import Registry
from router.transport.outbox import Outbox, Push

Alive = Callable[[UserId], Sequence[SessionId]]
"""Returns the sessions of a user that the closed endpoint does hold after all."""


class Forwarder:
    """Sends copies through the registry again, for an inbox's own reader and for a rescuer.

    Args:
        registry: where users are.
        outbox: the pushes.
    """

    def __init__(self, registry: Registry, outbox: Outbox) -> None:
        self._registry = registry
        self._outbox = outbox
        self.sent_on = 0

    async def send_on(
        self, envelope: MessageEnvelope, index: int, left: EndpointId, alive: Alive, *, sure: bool
    ) -> Answer | None:
        """Send one user's copy to where the user is now.

        The route that led here is removed in the same step as the look-up.

        Args:
            envelope: the message.
            index: which of its users.
            left: the endpoint that does not hold the user, or not any more.
            alive: see `Alive`.
            sure: this was the first and only copy, and nobody was written it.

        Returns:
            What to tell the sender once the copy here is removed; None when one is on its way.

        Raises:
            Unavailable: the store went away in the middle, or takes no writes for now; doing it
                again is safe.
            StoreRefused: the store refuses the look-up.
        """
        assert envelope.users is not None
        user = UserId(envelope.users[index])
        onward = msgspec.structs.replace(
            envelope,
            hop=min(envelope.hop + 1, MAX_HOPS),
            users=[user],
            refs=envelope.refs[index : index + 1],
            offsets=envelope.offsets[index : index + 1],
            before=envelope.before[index : index + 1],
        )
        closed, keep = left, alive(user)
        for _ in range(MAX_HOPS):
            routes = await self._registry.forget(user, closed, keep)
            if not routes.endpoints:
                return Answer.NOT_HERE if sure else Answer.UNSURE
            if envelope.hop >= MAX_HOPS:
                return Answer.UNSURE
            sure = False
            results = await self._push(routes.endpoints, encode(onward))
            if Push.PUSHED in results:
                self.sent_on += 1
                return None
            if Push.NOT_OPEN not in results:
                return Answer.UNSURE  # full or refused: the sender is told, nothing waits here
            closed, keep = routes.endpoints[results.index(Push.NOT_OPEN)], ()
        return Answer.UNSURE

    async def _push(self, endpoints: Sequence[EndpointId], envelope: bytes) -> list[Push]:
        """Push one envelope to each endpoint; raise Unavailable where that is worth repeating."""
        failures: list[SwitchboardError] = []
        futures = [self._outbox.post(endpoint, envelope, failures) for endpoint in endpoints]
        results = [await future for future in futures]
        for failure in failures:
            if isinstance(failure, Unavailable):
                raise failure
        return results
