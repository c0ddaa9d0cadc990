"""Messages that wait until it is known where their users are.

Those that are stored, or must not be sent twice, do so in the same step as the look-up.
"""

from collections.abc import Callable, Iterable, Sequence
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
_SEVERAL: Final = "*"  # the lane of those whom several servers of the store know


class _Lane:
    """Those whose routes one server of the store has; by user, in order."""

    __slots__ = ("asking", "behind", "busy")

    def __init__(self) -> None:
        self.busy = False
        self.asking: dict[UserId, list[_Item]] = {}
        self.behind: dict[UserId, list[_Item]] = {}


class LookUps:
    """One pipeline of look-ups at a time, and the next one fills meanwhile.

    Each server of the store has its own, so one that is silent holds up nobody else's users; but
    those of one message are looked up together.

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
        self._lanes: dict[str, _Lane] = {}
        # A user with an entry here is looked up before anything else is sent to them, or a later
        # message would overtake; and in that lane, should their slot move meanwhile.
        self._lane_of: dict[UserId, _Lane] = {}
        # What may have stored something and got no reply; and all of that since, until it has one.
        self._unsure: list[_Item] = []
        self._doubtful: set[Delivery] = set()
        routes.on_up = self._ask_again

    def waits(self, user: UserId) -> bool:
        """Say whether messages to `user` wait here."""
        return user in self._lane_of

    def add(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """Look up the users of a message."""
        users = {each.user for each in deliveries if each.user not in self._lane_of}
        if users:
            self._lane_of.update(dict.fromkeys(users, self._lane(users)))
        lanes = set()
        for delivery in deliveries:
            lane = self._lane_of[delivery.user]
            lane.behind.setdefault(delivery.user, []).append((parcel, delivery))
            lanes.add(lane)
        for lane in lanes:
            if not lane.busy:
                self._ask(lane)

    def _lane(self, users: Iterable[UserId]) -> _Lane:
        """Return where users are looked up together: else a node gets an envelope for each lane."""
        places = {self._routes.place(user) for user in users}
        place = places.pop() if len(places) == 1 else _SEVERAL
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane()
        return lane

    def _ask_again(self) -> None:
        unsure, self._unsure = self._unsure, []
        for parcel, delivery in unsure:
            if delivery.open:
                self.add(parcel, (delivery,))
            else:
                self._doubtful.discard(delivery)

    def _ask(self, lane: _Lane) -> None:
        """Look up everybody who is waited for, up to a limit."""
        lane.busy = True
        if len(lane.behind) <= _MAX_LOOK_UPS:
            lane.asking, lane.behind = lane.behind, {}
        else:
            users = list(lane.behind)[:_MAX_LOOK_UPS]
            lane.asking = {user: lane.behind.pop(user) for user in users}
        questions: list[Question] = []
        asked: list[list[_Item]] = []
        for user, items in lane.asking.items():
            plain = [item for item in items if not item[1].special]
            if plain:
                questions.append(Question(user))
                asked.append(plain)
            for item in items:
                if item[1].special:
                    questions.append(Question(user, self._pack(*item)))
                    asked.append([item])

        def answered(found: list[Found]) -> None:
            self._answered(lane, asked, found)

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

    def _answered(self, lane: _Lane, asked: list[list[_Item]], found: list[Found]) -> None:
        for user in lane.asking:
            if user not in lane.behind:
                del self._lane_of[user]
        lane.asking = {}
        lane.busy = False
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
        # First what waits: whoever is told an outcome may send, and must not overtake.
        self._found(ready + self._freed(lane))
        for delivery in settled:
            self._changed(delivery)
        if lane.behind and not lane.busy:
            self._ask(lane)

    def _freed(self, lane: _Lane) -> list[Ready]:
        """Return those who came meanwhile and whom the cache has now; the others are looked up.

        Absence seen by a request older than the send would prove nothing.
        """
        freed: list[Ready] = []
        for user in list(lane.behind):
            cached = self._routes.cached(user)
            if cached is not None and not any(item[1].special for item in lane.behind[user]):
                del self._lane_of[user]
                self._routes.counts.cached += len(lane.behind[user])
                freed += [(parcel, delivery, cached) for parcel, delivery in lane.behind.pop(user)]
        return freed

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
