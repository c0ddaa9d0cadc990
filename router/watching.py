"""What is noted of a message that somebody watches: by its sender, and by whoever takes it.

A message that nobody watches meets none of this.
"""

import time
from collections.abc import Callable, Collection
from typing import Final

from router.codec import Answer, MessageEnvelope, TracedEnvelope
from router.model import Confirm, EndpointId, Outcome, UserId
from router.trace import Trace
from router.tracing import SendSpan, Step, Traces
from router.transport.base import Delivery

_PROOFS: Final = (Answer.WRITTEN, Answer.DELIVERED, Answer.ACKED)


def watch(
    traces: Traces, trace: Trace | None, message: str, origin: str, users: Collection[str]
) -> "Watch | None":
    """Begin to watch a send; None if nobody wants to.

    Args:
        traces: takes the notes.
        trace: what the caller said.
        message: its id.
        origin: the user it is from; "" for none.
        users: whom it is for.
    """
    span = None
    if traces.spans is not None:
        span = traces.spans.begin(trace, message, len(users))
    if span is not None:
        trace = span.trace
    elif trace is not None and not trace.noted:
        trace = None
    logged = traces.concerns(origin, users)
    if trace is None and not logged:
        return None
    return Watch(traces, span, trace, message, len(users), logged=logged)


class Watch:
    """What one send notes, from its call to its last outcome.

    Args:
        traces: takes the notes.
        span: of the send; None without spans.
        trace: of the send; None for one that is only logged.
        message: its id.
        users: for how many users.
        logged: whether each step is logged.
    """

    def __init__(
        self,
        traces: Traces,
        span: SendSpan | None,
        trace: Trace | None,
        message: str,
        users: int,
        *,
        logged: bool,
    ) -> None:
        self._traces = traces
        self._span = span
        self._trace = trace
        self._message = message
        self._users = users
        self._logged = logged
        self._outcomes: list[str] = []
        self._pushed_at: float | None = None

    def mark(self, parcel: MessageEnvelope) -> MessageEnvelope:
        """Return `parcel` with the trace in it, if there is one."""
        if self._trace is None:
            return parcel
        fields = {name: getattr(parcel, name) for name in MessageEnvelope.__struct_fields__}
        return TracedEnvelope(**fields, trace=str(self._trace), noted=self._trace.noted)

    def accepted(self, confirm: Confirm) -> None:
        """The send was accepted."""
        users = "1 user" if self._users == 1 else f"{self._users} users"
        self._note(Step.ACCEPTED, f"for {users}, confirm {confirm.name.lower()}")

    def looked_up(self, endpoints: tuple[EndpointId, ...]) -> None:
        """It is known where copies go."""
        self._note(Step.LOOKED_UP, ", ".join(endpoints) or "nowhere")

    def pushed(self, delivery: Delivery) -> None:
        """A copy is in its inbox."""
        self._pushed_at = time.time()
        many = len(delivery.endpoints)
        where = delivery.endpoints[0] if many == 1 else f"copy {delivery.accepted} of {many}"
        self._note(Step.PUSHED, where)

    def answered(self, answer: int, sessions: int) -> None:
        """A receipt has come."""
        if answer in _PROOFS:
            if self._pushed_at is None:  # a receipt may come before the reply to the push
                self._pushed_at = time.time()
            word = Answer(answer).name.lower()
            self._note(Step.PROVED, f"{word} by {_counted(sessions)}")

    def settled(self, delivery: Delivery) -> None:
        """The outcome for one user is known."""
        if delivery.outcome in (Outcome.OFFLINE, Outcome.QUEUED) and not delivery.endpoints:
            self.looked_up(())
        word = delivery.outcome.value if delivery.outcome else str(delivery.error)
        self._note(Step.SETTLED, f"{word}: {delivery.reason}" if delivery.reason else word)
        self._outcomes.append(delivery.outcome.value if delivery.outcome else "error")
        if self._span is not None and len(self._outcomes) == self._users:
            self._span.end(self._outcomes, self._pushed_at)

    def _note(self, step: Step, detail: str) -> None:
        if self._trace is not None:
            self._traces.note(self._trace, step, detail)
        if self._logged:
            self._traces.log(self._message, step, detail)


class WatchedDelivery(Delivery):
    """A delivery that notes what is told to it."""

    __slots__ = ("watch",)

    def __init__(
        self,
        user: UserId,
        ref: int,
        confirm: Confirm,
        settled: Callable[[Delivery], None],
        watch: Watch,
    ) -> None:
        def also_note(delivery: Delivery) -> None:
            watch.settled(delivery)
            settled(delivery)

        super().__init__(user, ref, confirm, also_note)
        self.watch = watch

    def planned(self, endpoints: tuple[EndpointId, ...]) -> None:
        """See `Delivery.planned`."""
        super().planned(endpoints)
        self.watch.looked_up(endpoints)

    def pushed(self) -> None:
        """See `Delivery.pushed`."""
        super().pushed()
        self.watch.pushed(self)

    def answered(self, answer: int, sessions: int) -> None:
        """See `Delivery.answered`."""
        super().answered(answer, sessions)
        self.watch.answered(answer, sessions)


class Arrivals:
    """What the receiving process notes of the watched messages of one batch.

    Args:
        traces: takes the notes.
    """

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self.logs = bool(traces.user)
        self._taken: list[tuple[MessageEnvelope, float, float, int]] = []

    def wanted(self, envelope: MessageEnvelope) -> bool:
        """Say whether anybody watches this message."""
        if type(envelope) is TracedEnvelope:
            return True
        return self._traces.concerns(envelope.origin, envelope.users)

    def taken(self, envelope: MessageEnvelope, began: float, sessions: int) -> None:
        """A message was handed to its sessions; `written` tells when they were written to.

        Args:
            envelope: the message.
            began: when it was taken, seconds since 1970.
            sessions: how many sessions took it.
        """
        times = f", sent on {envelope.hop} times" if envelope.hop else ""
        self._note(envelope, Step.TAKEN, f"from the inbox{times}")
        self._taken.append((envelope, began, time.time(), sessions))

    def written(self) -> None:
        """Everything taken since the last call was written."""
        if not self._taken:
            return
        taken, self._taken = self._taken, []
        now = time.time()
        for envelope, began, handed, sessions in taken:
            if sessions:
                self._note(envelope, Step.WRITTEN, _counted(sessions))
            if self._traces.spans is not None and type(envelope) is TracedEnvelope:
                trace = envelope.watched
                if trace.sampled:
                    self._traces.spans.told("switchboard take", trace, began, handed)
                if trace.sampled and sessions:
                    self._traces.spans.told("switchboard write", trace, handed, now)

    def _note(self, envelope: MessageEnvelope, step: Step, detail: str) -> None:
        if type(envelope) is TracedEnvelope:
            self._traces.note(envelope.watched, step, detail)
        if self._traces.concerns(envelope.origin, envelope.users):
            self._traces.log(envelope.id, step, detail)


def _counted(sessions: int) -> str:
    return "1 session" if sessions == 1 else f"{sessions} sessions"
