"""Sending a copy of a message on, to where its user is now."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from router.codec import MAX_HOPS, Answer, MessageEnvelope, encode
from router.counts import Counts
from router.errors import Garbage, SwitchboardError, Unavailable
from router.model import EndpointId, SessionId, UserId
from router.store.registry import Registry
from router.transport.outbox import Outbox, Push

Alive = Callable[[UserId], Sequence[SessionId]]
"""Returns the sessions of a user that the closed endpoint does hold after all."""

Answered = tuple[str, int, Answer]
"""A sender, its number for a message, and what to tell it."""
_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class Copy:
    """One user's copy of a message.

    Args:
        envelope: the message.
        index: which of its users.
        sure: this was the first and only copy, and nobody was written it.
    """

    envelope: MessageEnvelope
    index: int
    sure: bool = False


class Forwarder:
    """Sends copies through the registry again, for an inbox's own reader and for a rescuer.

    Args:
        registry: where users are.
        outbox: the pushes.
        counts: of the process; None for its own.
    """

    def __init__(self, registry: Registry, outbox: Outbox, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self._registry = registry
        self._outbox = outbox

    async def send_on_all(
        self, copies: Sequence[Copy], left: EndpointId, alive: Alive
    ) -> list[Answered]:
        """Send copies on: those of different users at the same time, each user's in order.

        Args:
            copies: in the order of the inbox.
            left, alive: see `send_on`.

        Returns:
            What to tell senders once the copies here are removed.

        Raises:
            As `send_on`, when all that was begun has ended.
        """
        answers: list[Answered] = []
        for first in range(0, len(copies), _AT_ONCE):
            chains: dict[str, list[Copy]] = {}
            for copy in copies[first : first + _AT_ONCE]:
                user = (copy.envelope.users or ())[copy.index]
                chains.setdefault(user, []).append(copy)
            # Users wait for each other's round trips no more than they must.
            all_sent = (self._send_in_order(chain, left, alive) for chain in chains.values())
            for found in await asyncio.gather(*all_sent, return_exceptions=True):
                if isinstance(found, BaseException):
                    raise found
                answers += found
        return answers

    async def _send_in_order(
        self, copies: Sequence[Copy], left: EndpointId, alive: Alive
    ) -> list[Answered]:
        answers: list[Answered] = []
        for copy in copies:
            envelope, index = copy.envelope, copy.index
            answer = await self.send_on(envelope, index, left, alive, sure=copy.sure)
            if answer is not None and envelope.sender:
                answers.append((envelope.sender, envelope.refs[index], answer))
        return answers

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
            try:
                routes = await self._registry.forget(user, closed, keep)
            except Garbage:
                # Nobody knows where this one user is; all others' messages wait behind this one.
                self.counts.garbage += 1
                return Answer.UNSURE
            if not routes.endpoints:
                return Answer.NOT_HERE if sure else Answer.UNSURE
            if envelope.hop >= MAX_HOPS:
                return Answer.UNSURE
            sure = False
            results = await self._push(routes.endpoints, encode(onward))
            if Push.PUSHED in results:
                self.counts.sent_on += 1
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
