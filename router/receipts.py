"""Answers on their way back to senders: one envelope per sender and round of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from router.codec import MAX_RECEIPT_ITEMS, Answer, ReceiptEnvelope, encode
from router.counts import Counts
from router.model import EndpointId
from router.transport.outbox import Outbox

# While the store is away: envelopes held at most, and for how many seconds; few wait longer.
_MAX_HELD: Final = 1_000
_HELD_S: Final = 10.0


class Receipts:
    """Collects answers and pushes them into the senders' inboxes.

    What became of a receipt is not asked: its sender may be gone, or full, and will say `unknown`
    when its time is up. It never stops the node. While the store is away receipts are held, the
    last thousand envelopes and for some seconds: they stay true.

    Args:
        outbox: the pushes.
        local: takes the answers to messages of this very process.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        outbox: Outbox,
        local: Callable[[Sequence[int]], None],
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._outbox = outbox
        self._local = local
        self._items: dict[EndpointId, list[int]] = {}
        self._scheduled = False
        self._held: deque[tuple[float, EndpointId, bytes]] = deque()
        self.own: EndpointId | None = None

    def add(self, sender: str, ref: int, answer: Answer, sessions: int) -> None:
        """Answer one copy of a message.

        Args:
            sender: the endpoint named in its envelope; "" when it wants no answer.
            ref: the number it gave the message.
            answer: what became of this copy.
            sessions: of how many sessions this speaks.
        """
        if not sender:
            return
        items = self._items.get(EndpointId(sender))
        if items is None:
            items = self._items[EndpointId(sender)] = []
        items += (ref, answer, sessions)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        collected, self._items = self._items, {}
        for sender, items in collected.items():
            if sender == self.own:
                self._local(items)
                continue
            for first in range(0, len(items), MAX_RECEIPT_ITEMS):
                envelope = encode(ReceiptEnvelope(items[first : first + MAX_RECEIPT_ITEMS]))
                self._tell(asyncio.get_running_loop().time() + _HELD_S, sender, envelope)

    def _tell(self, until: float, sender: EndpointId, envelope: bytes) -> None:
        if self._outbox.tell(sender, envelope):
            return
        if len(self._held) >= _MAX_HELD:
            self._held.popleft()
            self.counts.receipts_lost += 1
        self._held.append((until, sender, envelope))

    def store_is_back(self) -> None:
        """Send what was held while the store was away; what is too old is given up."""
        held, self._held = self._held, deque()
        now = asyncio.get_running_loop().time()
        for until, sender, envelope in held:
            if until < now:
                self.counts.receipts_lost += 1
            else:
                self._tell(until, sender, envelope)
