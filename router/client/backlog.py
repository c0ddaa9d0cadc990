"""Messages that wait for the application."""

import asyncio

from router.client.arrivals import Arrivals
from router.client.sends import Sends
from router.client.words import Message


class Backlog:
    """Messages in order, and those that the application has in hand.

    Reading from the node stops while `limit` of them wait. A program that waits for the outcome of
    a send while it handles a message would then wait for ever; so while an outcome is expected,
    twice as many may.

    Args:
        limit: how many may wait.
        arrivals: told what was handled.
        sends: knows whether an outcome is expected.
    """

    def __init__(self, limit: int, arrivals: Arrivals, sends: Sends) -> None:
        self._limit = limit
        self._arrivals = arrivals
        self._sends = sends
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def is_full(self) -> bool:
        """Say whether no more should be read now."""
        many = max(self._queue.qsize(), self._arrivals.unhandled)
        return many >= (2 * self._limit if self._sends.answers_wanted else self._limit)

    def changed(self) -> None:
        """Look again whether it is full."""
        self._changed.set()

    async def room(self) -> None:
        """Wait until more may be read. Cancel-safe."""
        while self.is_full:
            self._changed.clear()
            await self._changed.wait()

    def put(self, message: Message) -> None:
        """Add a message; after the end it is dropped, and comes again if it is durable."""
        if not self._ended:
            self._queue.put_nowait(message)

    async def get(self) -> Message | None:
        """Return the next message; None when none will come any more. Cancel-safe."""
        message = await self._queue.get()
        if message is None:
            self._queue.put_nowait(None)  # for whoever else waits
        self._changed.set()
        return message

    def end(self, *, discard: bool) -> None:
        """No more will come. Idempotent.

        Args:
            discard: drop those that wait; what is durable was not acknowledged and comes again.
        """
        self._ended = True
        while discard and not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
