"""Answers on their way back to senders: one envelope per sender and round of the event loop."""

import asyncio
from collections.abc import Callable, Sequence

from router.codec import MAX_RECEIPT_ITEMS, Answer, ReceiptEnvelope, encode
from router.model import EndpointId
from router.transport.outbox import Outbox


class Receipts:
    """Collects answers and pushes them into the senders' inboxes.

    What became of a receipt is not asked: its sender may be gone, or full, and will say `unknown`
    when its time is up. It never stops the node.

    Args:
        outbox: the pushes.
        local: takes the answers to messages of this very process.
    """

    def __init__(self, outbox: Outbox, local: Callable[[Sequence[int]], None]) -> None:
        self._outbox = outbox
        self._local = local
        self._items: dict[EndpointId, list[int]] = {}
        self._scheduled = False
        self.own: EndpointId | None = None
        self.undeliverable = 0

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
                if not self._outbox.tell(sender, envelope):
                    self.undeliverable += 1
