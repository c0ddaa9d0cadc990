"""Messages that wait until it is known where their users are.

Those that are stored, or must not be sent twice, do so in the same step as the look-up.
"""

from collections.abc import Callable, Sequence
from typing import Final

from router.codec import MessageEnvelope, StoredMessage
from router.model import Outcome, UserId
from router.store.mailbox import Mailbox, parse_deposit
from router.store.resp import Command
from router.store.routes import NOWHERE, Found, Question, Routes, RouteTable
from router.transport.base import Delivery

_Item = tuple[MessageEnvelope, Delivery]
Ready = tuple[MessageEnvelope, Delivery, Routes]
"""A message for one user, and where that user is: at one endpoint at least."""
# Users that are looked up in one pipeline; more wait for the next one.
_MAX_LOOK_UPS: Final = 1_000


class LookUps:
    """One pipeline of look-ups at a time; the next one fills meanwhile.

    Guarantees: messages to one user keep their order; what found no reply and may have stored
    something is asked again, marked as a repeat, when the connection of the look-ups is back.

    Args:
        routes: the look-up.
        mailbox: packs the look-ups that do more.
        changed: called with a delivery that is settled without a push.
        found: takes what can be pushed now, not in order.
    """

    def __init__(
        self,
        routes: RouteTable,
        mailbox: Mailbox,
        changed: Callable[[Delivery], None],
        found: Callable[[list[Ready]], None],
    ) -> None:
        self._routes = routes
        self._mailbox = mailbox
        self._changed = changed
        self._found = found
        # By user, in order. A user with an entry here is looked up before anything else is sent to
        # them, or a later message would overtake.
        self._asking: dict[UserId, list[_Item]] = {}
        self._behind: dict[UserId, list[_Item]] = {}
        self._in_flight = False
        # What may have stored something and got no reply; and all of that since, until it has one.
        self._unsure: list[_Item] = []
        self._doubtful: set[Delivery] = set()
        routes.on_up = self._ask_again

    def waits(self, user: UserId) -> bool:
        """Say whether messages to `user` wait here."""
        return user in self._asking or user in self._behind

    def add(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """Look up the users of a message."""
        for delivery in deliveries:
            self._behind.setdefault(delivery.user, []).append((parcel, delivery))
        if not self._in_flight:
            self._ask()

    def _ask_again(self) -> None:
        unsure, self._unsure = self._unsure, []
        for parcel, delivery in unsure:
            if delivery.open:
                self.add(parcel, (delivery,))
            else:
                self._doubtful.discard(delivery)

    def _ask(self) -> None:
        """Look up everybody who is waited for, up to a limit."""
        self._in_flight = True
        if len(self._behind) <= _MAX_LOOK_UPS:
            self._asking, self._behind = self._behind, {}
        else:
            users = list(self._behind)[:_MAX_LOOK_UPS]
            self._asking = {user: self._behind.pop(user) for user in users}
        questions: list[Question] = []
        asked: list[list[_Item]] = []
        for user, items in self._asking.items():
            plain = [item for item in items if not item[1].special]
            if plain:
                questions.append(Question(user))
                asked.append(plain)
            for item in items:
                if item[1].special:
                    questions.append(Question(user, self._pack(*item)))
                    asked.append([item])

        def answered(found: list[Found]) -> None:
            self._answered(asked, found)

        stores = any(item[1].durable for items in asked for item in items)
        self._routes.look_up(questions, answered, self._mailbox.min_replicas if stores else 0)

    def _pack(self, parcel: MessageEnvelope, delivery: Delivery) -> Command:
        """Return the look-up of a message that is stored, or has an idempotency key."""
        p = parcel
        message = StoredMessage(p.id, p.origin, p.sent_at, p.expires_ms, p.data)
        durable, key, again = delivery.durable, delivery.key, delivery.again
        delivery.again = True  # should it be asked once more
        return self._mailbox.pack_lookup(
            delivery.user, message, durable=durable, key=key, again=again
        )

    def _answered(self, asked: list[list[_Item]], found: list[Found]) -> None:
        self._asking = {}
        self._in_flight = False
        ready: list[Ready] = []
        settled: list[Delivery] = []
        for items, answer in zip(asked, found, strict=True):
            for parcel, delivery in items:
                if self._asked_again_later((parcel, delivery), answer):
                    continue
                routes = self._taken(delivery, answer)
                if routes.endpoints:
                    ready.append((parcel, delivery, routes))
                else:
                    settled.append(delivery)
        # Who came while the look-up was under way is looked up again, unless the cache has them
        # now: absence seen by a request older than the send would prove nothing.
        for user in list(self._behind):
            cached = self._routes.cached(user)
            if cached is not None and not any(item[1].special for item in self._behind[user]):
                self._routes.counts.cached += len(self._behind[user])
                ready += [(parcel, delivery, cached) for parcel, delivery in self._behind.pop(user)]
        # First what waits: whoever is told an outcome may send, and must not overtake.
        self._found(ready)
        for delivery in settled:
            self._changed(delivery)
        if self._behind and not self._in_flight:
            self._ask()

    def _asked_again_later(self, item: _Item, answer: Found) -> bool:
        """No reply: whatever it was to store may be stored. It is asked again when it can be."""
        delivery = item[1]
        again = answer.lost or (answer.unsent and delivery in self._doubtful)
        if again and delivery.special:
            self._doubtful.add(delivery)
            self._unsure.append(item)
            return True
        return False

    def _taken(self, delivery: Delivery, answer: Found) -> Routes:
        """Tell a delivery what its look-up found; return where to push it, NOWHERE for nowhere."""
        doubtful = delivery in self._doubtful
        self._doubtful.discard(delivery)
        if answer.routes is None:
            if doubtful:  # what got no reply the first time may be stored all the same
                reason = answer.full or str(answer.error)
                delivery.outcome, delivery.reason = Outcome.UNKNOWN, reason
            elif answer.full:
                delivery.outcome, delivery.reason = Outcome.BUSY, answer.full
            else:
                delivery.error = answer.error
            return NOWHERE
        delivery.sessions = answer.routes.sessions
        if answer.rest:
            deposit = parse_deposit(answer.rest)
            delivery.offset, delivery.before = deposit.offset, deposit.before
            if answer.thin is not None:
                wanted = self._mailbox.min_replicas
                delivery.thin = f"stored, but {answer.thin} of {wanted} replicas have it so far"
            if deposit.first:
                delivery.outcome, delivery.first = Outcome.DUPLICATE, deposit.first
                return NOWHERE
            if deposit.full:
                delivery.outcome, delivery.reason = Outcome.BUSY, deposit.full
                return NOWHERE
        return answer.routes
