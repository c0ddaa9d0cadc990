"""The product's delivery mode.

Look the user up, push to the private list of each node that holds them.

Truth comes before speed wherever the two meet: a route that was refused is removed by name and
looked up afresh, past the cache, before anybody is told `offline`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from hiredis import ReplyError

from router.codec import MAX_USERS_PER_ENVELOPE, MessageEnvelope, encode
from router.model import Confirm, EndpointId, Outcome, Registered, Session, SessionId, UserId
from router.store.answers import NoReply
from router.store.mailbox import Mailbox
from router.store.registry import Registry
from router.store.routes import NOWHERE, Routes, RouteTable, parse_routes
from router.store.store import Store
from router.transport.base import MAX_DETOURS, Delivery
from router.transport.lookups import LookUps, Ready
from router.transport.outbox import Outbox, Push


class Copy:
    """One envelope for one endpoint, and the deliveries it stands for."""

    __slots__ = ("deliveries", "encoded", "endpoint", "parcel")

    def __init__(
        self,
        parcel: MessageEnvelope,
        endpoint: EndpointId,
        deliveries: Sequence[Delivery],
        encoded: bytes,
    ) -> None:
        self.parcel = parcel
        self.endpoint = endpoint
        self.deliveries = deliveries
        self.encoded = encoded


class RoutedTransport:
    """See `transport.base.Transport` for what is promised.

    Args:
        store: the way for what is neither a look-up nor a push of messages.
        routes: the look-up.
        registry: the routes themselves.
        mailbox: where durable messages are stored.
        outbox: the pushes.
        changed: called with a delivery whenever something was told to it.
    """

    confirms = frozenset(Confirm)
    durable = True

    def __init__(
        self,
        store: Store,
        routes: RouteTable,
        registry: Registry,
        mailbox: Mailbox,
        outbox: Outbox,
        changed: Callable[[Delivery], None],
    ) -> None:
        self._store = store
        self._routes = routes
        self._registry = registry
        self._outbox = outbox
        self._changed = changed
        self._mailbox = mailbox
        self._lost: list[Copy] = []
        self._look_ups = LookUps(routes, mailbox, changed, self._push_all)

    async def open(self) -> None:
        """See `Transport.open`."""
        await self._routes.open()

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._routes.close()

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        """See `Transport.attach`."""
        return await self._registry.register(sessions)

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None:
        """See `Transport.detach`."""
        await self._registry.unregister(user, endpoint, session, last_here=last_here)

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """See `Transport.publish`."""
        if deliveries and deliveries[0].special:  # all of one message are alike
            self._look_ups.add(parcel, deliveries)
            return
        found = [self._known(delivery.user) for delivery in deliveries]
        if None not in found:
            self._routes.counts.cached += len(found)
            known: dict[EndpointId, list[Delivery]] = {}
            for delivery, routes in zip(deliveries, found, strict=True):
                self._plan(delivery, routes or NOWHERE, known)
            self._push(parcel, known)
            return
        # One who must be looked up holds up the others: one envelope per node, not two.
        self._look_ups.add(parcel, deliveries)

    def release(self, delivery: Delivery) -> None:
        """See `Transport.release`; with the store away the key stays."""
        assert delivery.key is not None
        released = self._mailbox.pack_release(delivery.user, delivery.key, delivery.id)
        self._store.send((released,), lambda _: delivery.settled(delivery))

    def _known(self, user: UserId) -> Routes | None:
        """Return where a user is; None when the store must be asked, or was and has not answered.

        Who waits for a look-up is not taken from the cache: a later message would overtake.
        """
        return None if self._look_ups.waits(user) else self._routes.cached(user)

    # ---- push -------------------------------------------------------------------------------

    def _push_all(self, ready: list[Ready]) -> None:
        """Push what a look-up has freed, oldest message first, grouped by message."""
        ready.sort(key=lambda item: item[1].ref)
        groups: dict[int, tuple[MessageEnvelope, dict[EndpointId, list[Delivery]]]] = {}
        for parcel, delivery, routes in ready:
            _, known = groups.setdefault(id(parcel), (parcel, {}))
            self._plan(delivery, routes, known)
        for parcel, known in groups.values():
            self._push(parcel, known)

    def _plan(
        self, delivery: Delivery, routes: Routes, known: dict[EndpointId, list[Delivery]]
    ) -> None:
        delivery.sessions = routes.sessions
        delivery.planned(routes.endpoints)
        for endpoint in routes.endpoints:
            known.setdefault(endpoint, []).append(delivery)

    def _push(self, parcel: MessageEnvelope, known: dict[EndpointId, list[Delivery]]) -> None:
        """Push one envelope per endpoint, each for all its users (or for 500 of them)."""
        for endpoint, deliveries in known.items():
            for first in range(0, len(deliveries), MAX_USERS_PER_ENVELOPE):
                part = deliveries[first : first + MAX_USERS_PER_ENVELOPE]
                stored = part[0].offset is not None
                envelope = msgspec.structs.replace(
                    parcel,
                    users=[delivery.user for delivery in part],
                    refs=[delivery.ref for delivery in part] if parcel.sender else [],
                    offsets=[str(delivery.offset) for delivery in part] if stored else [],
                    before=[str(delivery.before) for delivery in part] if stored else [],
                )
                copy = Copy(parcel, endpoint, part, encode(envelope))
                self._outbox.push(endpoint, copy.encoded, self._pushed, copy)

    def _pushed(self, copy: Copy, result: Push) -> None:
        if result is Push.NOT_OPEN:
            self._detour(copy)
            return
        if result is Push.LOST:
            self._again_later(copy)
            return
        for delivery in copy.deliveries:
            if result is Push.PUSHED:
                delivery.pushed()
            elif result is Push.FULL:
                delivery.refused(Outcome.BUSY, self._outbox.why_full(copy.endpoint))
            else:
                self._not_pushed(delivery, copy.endpoint, result)
            self._changed(delivery)

    def _not_pushed(self, delivery: Delivery, endpoint: EndpointId, result: Push) -> None:
        """The store was away or refused: an error if nothing else of the message is out.

        One that is stored is out: the sweep of the user's node finds it in the mailbox.
        """
        error = self._outbox.failure(endpoint, result)
        last = delivery.unpushed == 1  # else another copy may yet turn out to be pushed
        out = delivery.accepted or delivery.unanswered or delivery.offset is not None
        if last and delivery.sure and not out:
            delivery.error = error
        else:
            delivery.refused(Outcome.UNKNOWN, str(error))

    # ---- what went wrong --------------------------------------------------------------------

    def _again_later(self, copy: Copy) -> None:
        """No reply: it may have run. The same envelope goes again when the store is back."""
        waiting = [delivery for delivery in copy.deliveries if delivery.open]
        for delivery in waiting:
            delivery.sure = False
        if waiting:
            self._lost.append(copy)

    def store_is_back(self) -> None:
        """Repeat what got no reply; the recipient's node drops repeats by id."""
        lost, self._lost = self._lost, []
        for copy in lost:
            if not any(delivery.open for delivery in copy.deliveries):
                continue
            if not self._outbox.reaches(copy.endpoint):
                self._lost.append(copy)  # it was another server of the store that came back
            else:
                self._outbox.push(copy.endpoint, copy.encoded, self._pushed, copy)

    def _detour(self, copy: Copy) -> None:
        """The endpoint is closed: remove its routes by name, look up past the cache, send on."""
        commands = []
        self._routes.counts.detours += len(copy.deliveries)
        for delivery in copy.deliveries:
            self._routes.forget(delivery.user)
            commands.append(self._registry.pack_forget(delivery.user, copy.endpoint))

        def replied(replies: list[Any]) -> None:
            for delivery, reply in zip(copy.deliveries, replies, strict=True):
                self._detoured(copy, delivery, reply)

        self._store.send(commands, replied)

    def _detoured(self, copy: Copy, delivery: Delivery, reply: Any) -> None:
        delivery.detours += 1
        if type(reply) in (ReplyError, NoReply):
            reason = f"{copy.endpoint} is closed, and the look-up got no answer"
            delivery.refused(Outcome.UNKNOWN, reason)
        elif delivery.detours > MAX_DETOURS:
            delivery.refused(Outcome.UNKNOWN, f"moved more than {MAX_DETOURS} times meanwhile")
        else:
            routes = parse_routes(reply)
            fresh = tuple(e for e in routes.endpoints if e not in delivery.endpoints)
            known: dict[EndpointId, list[Delivery]] = {}
            if fresh:
                self._plan(delivery, Routes(fresh, routes.sessions), known)
            delivery.refused(Outcome.OFFLINE)
            self._push(copy.parcel, known)
        self._changed(delivery)
