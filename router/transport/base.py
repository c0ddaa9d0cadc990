"""The port of a delivery mode, and the ledger of one message for one user.

Pure: the ledger is told what happened and says what to tell the sender; it never waits.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from router.codec import Answer, MessageEnvelope
from router.errors import SwitchboardError
from router.model import (
    Confirm,
    EndpointId,
    MessageId,
    Offset,
    Outcome,
    Registered,
    Session,
    SessionId,
    UserId,
)

MAX_DETOURS = 3
ACCEPTED_ONLY = frozenset({Confirm.ACCEPTED})
"""What a mode can promise that hands messages on and never hears of them again."""
Deliver = Callable[[bytes], None]
"""Takes one envelope as it came, and writes it to whoever holds its users here."""

_NEGATIVE = {
    Answer.DROPPED: Outcome.DROPPED,
    Answer.EXPIRED: Outcome.EXPIRED,
    Answer.NOT_HERE: Outcome.OFFLINE,
}
_UNHEARD_OF = "the user's node gave an answer that this version does not know"
_UNSURE: dict[int, str] = {
    Answer.CLOSED: "the connection closed before it proved receipt",
    Answer.UNSURE: "the user moved while the message was under way",
    Answer.FAILED: "the user's node could not handle the message",
}


class Delivery:
    """What is known of one message for one user.

    A message becomes one copy for each endpoint that holds the user. The ledger counts the copies
    whose push is not confirmed (`unpushed`) and those pushed and not answered (`unanswered`), and
    keeps what it heard. `verdict` is the only place where an outcome is decided.

    Args:
        user: whom it is for.
        ref: the sender's number for it, echoed in receipts.
        confirm: how far the sender waits.
        settled: called once, with the delivery, when `outcome` or `error` is set.
        durable: it is stored before it is pushed.
        key: its idempotency key, `origin key`; None for none.
        again: it may have been sent before, under the same id.
        id: of the message.
    """

    __slots__ = (
        "accepted",
        "again",
        "before",
        "confirm",
        "detours",
        "durable",
        "endpoints",
        "error",
        "first",
        "heard",
        "id",
        "key",
        "offset",
        "outcome",
        "proved",
        "reached",
        "reason",
        "ref",
        "sessions",
        "settled",
        "sure",
        "thin",
        "unanswered",
        "unpushed",
        "user",
    )

    def __init__(
        self,
        user: UserId,
        ref: int,
        confirm: Confirm,
        settled: Callable[["Delivery"], None],
        *,
        durable: bool = False,
        key: str | None = None,
        again: bool = False,
        id: str = "",
    ) -> None:
        self.user = user
        self.ref = ref
        self.confirm = confirm
        self.settled = settled
        self.durable = durable
        self.key = key
        self.again = again
        self.id = id
        self.first = MessageId("")  # of a duplicate: the earlier message's id
        self.offset: Offset | None = None
        self.before: Offset | None = None
        self.thin = ""  # why being stored is not enough to promise anything
        self.outcome: Outcome | None = None
        self.error: SwitchboardError | None = None
        self.reason = ""
        self.sessions = 0
        self.reached = 0
        self.endpoints: tuple[EndpointId, ...] = ()
        self.detours = 0
        self.unpushed = 0
        self.unanswered = 0
        self.accepted = 0
        self.proved: Outcome | None = None
        self.heard: Outcome | None = None
        # False once a push may have run twice: from then on nobody can say what became of "the"
        # copy, so every negative word becomes `unknown`.
        self.sure = True

    @property
    def special(self) -> bool:
        """Say whether its look-up does more than look up."""
        return self.durable or self.key is not None

    @property
    def reached_nobody(self) -> bool:
        """Say whether it was settled without anybody having it, or getting it later."""
        nobody = self.error is not None or self.outcome in _NOBODY
        return nobody and self.offset is None

    @property
    def open(self) -> bool:
        """Say whether the sender still waits for the outcome."""
        return self.outcome is None and self.error is None

    def planned(self, endpoints: tuple[EndpointId, ...]) -> None:
        """Copies are about to be pushed to these endpoints."""
        self.endpoints += endpoints
        self.unpushed += len(endpoints)

    def pushed(self) -> None:
        """One copy is in its inbox."""
        self.unpushed -= 1
        self.unanswered += 1
        self.accepted += 1

    def refused(self, outcome: Outcome, reason: str = "") -> None:
        """One copy was not pushed, and will not be."""
        self.unpushed -= 1
        self._hear(outcome, reason)

    def answered(self, answer: int, sessions: int) -> None:
        """A receipt speaks of one copy, and of how many sessions it reached."""
        self.unanswered -= 1
        self.reached += sessions
        if answer == Answer.ACKED:
            self.proved = Outcome.ACKED
        elif answer == Answer.DELIVERED:
            self.proved = Outcome.DELIVERED
        elif answer in (Answer.WRITTEN, Answer.KICKED):
            self.proved = self.proved or Outcome.WRITTEN
        elif answer in _NEGATIVE:
            self._hear(_NEGATIVE[Answer(answer)], "")
        else:
            self._hear(Outcome.UNKNOWN, _UNSURE.get(answer, _UNHEARD_OF))

    def _hear(self, outcome: Outcome, reason: str) -> None:
        if self.heard is None or _WEIGHT[outcome] > _WEIGHT[self.heard]:
            self.heard, self.reason = outcome, reason

    def verdict(self) -> Outcome | None:
        """Return what to tell the sender; None while it is not decided.

        A message that too few replicas have may be lost with the master before the user's other
        devices have it, so whatever one of them has proved, its fate is unknown.
        """
        word = self._word()
        if not self.thin or word not in _PROMISES:
            return word
        self.reason = f"a client has it; {self.thin}" if word in _PROVES else self.thin
        return Outcome.UNKNOWN

    def _word(self) -> Outcome | None:
        """Return what the copies have come to; None while it is not decided.

        Any proof at the level asked for decides at once. A negative word needs every copy to have
        been answered. Answers may come before the push's own reply, so `unanswered` may be
        negative for a moment; only the sum counts.
        """
        proved = self.proved
        if proved is not None and _PROVES[proved] >= self.confirm:
            self.reason = ""
            return proved
        if self.confirm is Confirm.ACCEPTED and self.unpushed == 0 and self.accepted:
            if self.heard is Outcome.BUSY:
                self.reason = "one of the user's nodes was full, the others have it"
            return Outcome.UNKNOWN if self.heard in _NOT_EVERYWHERE else Outcome.ACCEPTED
        if self.unpushed + self.unanswered > 0:
            return None
        if proved is not None:
            return Outcome.UNKNOWN
        heard = self.heard or Outcome.OFFLINE
        if heard is not Outcome.UNKNOWN and not self.sure:
            self.reason = "a push was repeated, so an earlier copy may have arrived"
            return Outcome.UNKNOWN
        return self._stored(heard) if self.offset is not None else heard

    def _stored(self, heard: Outcome) -> Outcome:
        """Return what a negative word means for a message that waits in the mailbox."""
        if heard is Outcome.BUSY:
            self.reason = f"{self.reason}; the message is stored and will be read from the mailbox"
            return Outcome.UNKNOWN
        return Outcome.QUEUED if heard in (Outcome.OFFLINE, Outcome.DROPPED) else heard


# The level of confirmation that a word of proof is worth.
_PROVES = {
    Outcome.WRITTEN: Confirm.WRITTEN,
    Outcome.DELIVERED: Confirm.DELIVERED,
    Outcome.ACKED: Confirm.ACKED,
}
# Which word stands when the copies of one message fared differently and none arrived for sure.
_WEIGHT = {
    Outcome.UNKNOWN: 5,
    Outcome.DROPPED: 4,
    Outcome.BUSY: 3,
    Outcome.EXPIRED: 2,
    Outcome.OFFLINE: 1,
}
_PROMISES = (Outcome.ACCEPTED, Outcome.QUEUED, *_PROVES)
_NOBODY = (Outcome.OFFLINE, Outcome.DROPPED, Outcome.BUSY, Outcome.EXPIRED)
# Words of a copy that a live node of the user may not have; `accepted` says that all have it.
_NOT_EVERYWHERE = (Outcome.BUSY, Outcome.UNKNOWN)


class Transport(Protocol):
    """One way of bringing messages to the nodes that hold their users.

    Guarantees every mode gives: a message is published to nobody but its users; messages of one
    Router to one user are published in the order of the calls. What else a mode can promise is in
    `confirms`.
    """

    confirms: frozenset[Confirm]
    """The levels of confirmation this mode can know."""
    durable: bool
    """Whether this mode can store messages, and tell a repeat by its idempotency key."""

    async def open(self) -> None:
        """Connect what publishing needs.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """

    async def close(self) -> None:
        """Disconnect; safe before `open` and twice."""

    def store_is_back(self) -> None:
        """The connection for publishing was lost and is there again."""

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """Send one message to the users of `deliveries`.

        Returns at once; what happens to each delivery is told to it, and to the function handed
        to the transport when it was made.

        Args:
            parcel: the message; its `users` and `refs` are filled in for each copy.
            deliveries: one for each user.
        """

    def release(self, delivery: Delivery) -> None:
        """Forget the idempotency key of a message that reached nobody, then settle the delivery.

        A later try is then no repeat. Only called in a mode that is `durable`.
        """

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        """Make sessions of this endpoint reachable; idempotent.

        Returns:
            Whether they are; it is false when this endpoint is fenced and takes a new epoch.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None:
        """Make a session unreachable; removes nothing but that session. Raises as `attach`."""
