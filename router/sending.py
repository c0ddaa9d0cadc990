"""Sends under way: who waits for what, until when, and what they are told."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from router.codec import MessageEnvelope
from router.counts import Counts
from router.errors import InvalidRequest, Unsupported
from router.model import MAX_KEY_CHARACTERS, Confirm, EndpointId, MessageId, Outcome, UserId
from router.store.clock import StoreClock
from router.trace import Trace
from router.tracing import Traces
from router.transport.base import Delivery, Transport
from router.watching import Watch, WatchedDelivery, watch

_TICK_S: Final = 0.05
MIN_TIMEOUT_S: Final = 0.001
MAX_TIMEOUT_S: Final = 3_600.0
MAX_TTL_S: Final = 1_000_000_000.0
Settled = Callable[[Delivery], None]
# A delivery, its deadline, its lane, and when it began; None for an order, which is no message.
_Waiting = tuple[Delivery, float, dict[int, Delivery], float | None]


class Draft:
    """A message before it is addressed.

    Args:
        data: the JSON value, encoded.
        origin: the user it is from; "" for none.
        confirm: how far to wait.
        timeout_s: how long to wait for the outcome.
        ttl_s: it is worthless after so long; None for never.
        id: given for a repeat, so that it is known as one; None for a new one.
        durable: store it for devices that are away.
        key: idempotency key: of several messages with the same one only the first is sent.
        trace: who watches it; None for nobody.
    """

    __slots__ = ("confirm", "data", "durable", "id", "key", "origin", "timeout_s", "trace", "ttl_s")

    def __init__(
        self,
        data: bytes,
        *,
        origin: str,
        confirm: Confirm,
        timeout_s: float,
        ttl_s: float | None = None,
        id: str | None = None,
        durable: bool = False,
        key: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
            raise InvalidRequest("timeout_s", f"is {MIN_TIMEOUT_S:g} to {MAX_TIMEOUT_S:g} seconds")
        if ttl_s is not None and not 0 < ttl_s < MAX_TTL_S:
            raise InvalidRequest("ttl_s", "is above 0 seconds")
        if id is not None and not (0 < len(id) <= 128 and id.isprintable()):
            raise InvalidRequest("id", "has 1 to 128 printable characters")
        if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isprintable()):
            raise InvalidRequest("key", f"has 1 to {MAX_KEY_CHARACTERS} printable characters")
        self.data = data
        self.origin = origin
        self.confirm = confirm
        self.timeout_s = timeout_s
        self.ttl_s = ttl_s
        self.id = id
        self.durable = durable
        self.key = key
        self.trace = trace


class Sending:
    """Numbers the messages of this process and turns answers into outcomes.

    No timer per message: deliveries with the same time limit wait in one lane, in the order in
    which their time runs out, and one tick looks at the heads.

    Args:
        clock: the store's time, for `ttl_s`.
        max_waiting: most deliveries that may wait at once; one more is `busy`.
        counts: of the process; None for its own.
        traces: watches those that somebody watches; None for none of them.
    """

    transport: Transport  # set by the composition root: the two know each other

    def __init__(
        self,
        clock: StoreClock,
        max_waiting: int,
        counts: Counts | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._all_watched = traces is not None and bool(traces.spans or traces.user)
        self.counts = counts or Counts()
        self._clock = clock
        self._max_waiting = max_waiting
        self._pending: dict[int, _Waiting] = {}
        self._lanes: dict[float, dict[int, Delivery]] = {}
        self._next_ref = 1
        self._id_prefix = secrets.token_hex(6)
        self._ticking = False
        self.own: EndpointId | None = None

    @property
    def waiting(self) -> int:
        """Return how many deliveries wait for their outcome."""
        return len(self._pending)

    def level(self, confirm: Confirm | None) -> Confirm:
        """Return how far a sender waits; None means `delivered`, if the delivery mode can know it.

        Raises:
            Unsupported: the delivery mode cannot know that much.
        """
        known = self.transport.confirms
        if confirm is None:
            return max(level for level in known if level <= Confirm.DELIVERED)
        if confirm not in known:
            words = ", ".join(level.name.lower() for level in sorted(known))
            raise Unsupported("confirm", f"this delivery mode can only promise: {words}")
        return confirm

    def check_special(self, *, durable: bool, key: str | None) -> None:
        """Refuse what the delivery mode cannot do.

        Raises:
            Unsupported: it cannot store, or cannot tell a repeat.
        """
        if not self.transport.durable and (durable or key is not None):
            field = "durable" if durable else "key"
            raise Unsupported(field, 'only delivery.mode "routed" stores messages and their keys')

    def submit(self, draft: Draft, users: Sequence[UserId], settled: Settled) -> MessageId:
        """Send a message; returns at once.

        Args:
            draft: the message.
            users: whom it is for, each once.
            settled: called once per user when the outcome (or the error) is known, perhaps before
                this returns.

        Returns:
            The message's id.
        """
        first = self._next_ref
        self._next_ref += len(users)
        self.counts.sends += len(users)
        message_id = MessageId(draft.id or f"{self._id_prefix}{first:x}")
        watched: Watch | None = None
        if (draft.trace is not None or self._all_watched) and self._traces is not None:
            watched = watch(self._traces, draft.trace, message_id, draft.origin, users)
        deliveries = _deliveries(draft, message_id, first, users, settled, watched)
        if len(self._pending) + len(users) > self._max_waiting:
            self.counts.limit("sends waiting")
            self.counts.outcomes[Outcome.BUSY] += len(users)
            for delivery in deliveries:
                delivery.outcome = Outcome.BUSY
                delivery.reason = f"{len(self._pending)} messages wait for their outcome here"
                delivery.settled(delivery)
            return message_id
        parcel = MessageEnvelope(
            id=message_id,
            sender=self.own or "" if draft.confirm > Confirm.ACCEPTED else "",
            origin=draft.origin,
            confirm=draft.confirm,
            hop=0,
            sent_at=time.time(),
            expires_ms=self._clock.now_ms() + round(draft.ttl_s * 1000) if draft.ttl_s else 0,
            users=None,
            refs=[],
            data=draft.data,
        )
        if watched is not None:
            watched.accepted(draft.confirm)
            parcel = watched.mark(parcel)
        self._wait_for(deliveries, draft.timeout_s, time.monotonic())
        self.transport.publish(parcel, deliveries)
        return message_id

    def track(self, user: UserId, timeout_s: float, settled: Settled) -> Delivery:
        """Return a new delivery that waits for one answer from one endpoint.

        For orders that are no messages; whoever pushes them tells the delivery how it went.
        """
        delivery = Delivery(user, self._next_ref, Confirm.WRITTEN, settled)
        self._next_ref += 1
        self._wait_for((delivery,), timeout_s, None)
        return delivery

    def changed(self, delivery: Delivery) -> None:
        """Look at a delivery to which something was told; settle it if that decides it."""
        if delivery.open:
            delivery.outcome = delivery.verdict()
            if delivery.outcome is None:
                return
        entry = self._pending.pop(delivery.ref, None)
        if entry is not None:
            del entry[2][delivery.ref]
            if entry[3] is not None:
                self._count(delivery, entry[3])
            if delivery.key is not None and delivery.reached_nobody:
                self.transport.release(delivery)
            else:
                delivery.settled(delivery)

    def receipts(self, items: Sequence[int]) -> None:
        """Take the items of a `ReceiptEnvelope`; those nobody waits for any more are dropped."""
        pending = self._pending
        for i in range(0, len(items) - 2, 3):
            entry = pending.get(items[i])
            if entry is not None:
                entry[0].answered(items[i + 1], items[i + 2])
                self.changed(entry[0])

    def _count(self, delivery: Delivery, began: float) -> None:
        counts = self.counts
        if delivery.outcome is None:
            counts.refusals += 1
            return
        counts.outcomes[delivery.outcome] += 1
        if counts.timing:
            counts.outcome_s.add(time.monotonic() - began)

    def _wait_for(
        self, deliveries: Sequence[Delivery], timeout_s: float, began: float | None
    ) -> None:
        # Two significant digits, rounded up: few lanes, whatever time limits callers think of.
        step = 10.0 ** (math.floor(math.log10(timeout_s)) - 1)
        timeout_s = math.ceil(timeout_s / step) * step
        lane = self._lanes.setdefault(timeout_s, {})
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        for delivery in deliveries:
            lane[delivery.ref] = delivery
            self._pending[delivery.ref] = (delivery, deadline, lane, began)
        if not self._ticking:
            self._ticking = True
            loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        """Tell those whose time has run out."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for timeout_s, lane in list(self._lanes.items()):
            while lane:
                ref = next(iter(lane))
                delivery, deadline, *_ = self._pending[ref]
                if deadline > now:
                    break
                self._time_out(delivery, timeout_s)
            if not lane:
                del self._lanes[timeout_s]
        self._ticking = bool(self._lanes)
        if self._ticking:
            loop.call_later(_TICK_S, self._tick)

    def _time_out(self, delivery: Delivery, timeout_s: float) -> None:
        delivery.outcome = Outcome.UNKNOWN
        if not delivery.sure:
            delivery.reason = f"the store was lost on the way, and no proof came in {timeout_s:g} s"
        else:
            delivery.reason = delivery.reason or f"no proof came in {timeout_s:g} s"
        if delivery.offset is not None:
            delivery.reason += "; the message is stored"
        self.changed(delivery)


def _deliveries(
    draft: Draft,
    message_id: MessageId,
    first: int,
    users: Sequence[UserId],
    settled: Settled,
    watched: Watch | None,
) -> list[Delivery]:
    confirm = draft.confirm
    deliveries: list[Delivery]
    if watched is None:
        deliveries = [Delivery(user, first + i, confirm, settled) for i, user in enumerate(users)]
    else:
        deliveries = [
            WatchedDelivery(user, first + i, confirm, settled, watched)
            for i, user in enumerate(users)
        ]
    if draft.durable or draft.key is not None:
        for delivery in deliveries:
            delivery.durable = draft.durable
            delivery.key = None if draft.key is None else f"{draft.origin} {draft.key}"
            delivery.again = draft.id is not None
            delivery.id = message_id
    return deliveries
