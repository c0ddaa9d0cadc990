"""Envelopes on their way to inboxes: group commit, one push per endpoint and flush.

No timers: what is handed over in one round of the event loop leaves together, and while one flush
is under way the next one fills.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from hiredis import ReplyError

from router.keys import Keys
from router.model import EndpointId
from router.store import scripts
from router.store.connect import is_noscript
from router.store.inbox import FULL, MAX_PUSH, NOT_OPEN, Room, pack_push
from router.store.link import Link

_MAX_PUSH_BYTES: Final = 1024 * 1024
# Who hears that a push is done often sends again, but not in the same round of the loop: a caller
# wakes in the next one, and who waits for that caller in the one after.
_ROUNDS: Final = 3


class Push(Enum):
    """What became of one push."""

    PUSHED = auto()
    NOT_OPEN = auto()  # the endpoint may not receive
    FULL = auto()  # its inbox, or the store, or this outbox
    REFUSED = auto()  # the store answered with another error: `Outbox.error`
    LOST = auto()  # no reply: it may have run
    UNSENT = auto()  # the store is away; nothing was sent


PushDone = Callable[[Any, Push], None]
_Item = tuple[bytes, PushDone, Any]


class Outbox:
    """Pushes envelopes; keeps their order per endpoint.

    Args:
        link: the connection the pushes travel on.
        keys: key names.
        room: how much an inbox may hold.
        limit: most envelopes that may wait here; one more is answered `FULL`.
    """

    def __init__(self, link: Link, keys: Keys, room: Room, limit: int) -> None:
        self._link = link
        self._keys = keys
        self._room = room
        self._limit = limit
        self._queues: dict[EndpointId, list[_Item]] = {}
        self._waiting = 0
        self._busy = False
        self.error = ""

    def push(self, endpoint: EndpointId, envelope: bytes, done: PushDone, arg: Any) -> None:
        """Push one envelope with the next flush.

        Args:
            endpoint: whose inbox.
            envelope: encoded.
            done: called as `done(arg, result)`, once.
            arg: whatever the caller needs to know it by; saves a closure per message.
        """
        if self._waiting >= self._limit:
            done(arg, Push.FULL)
            return
        self._waiting += 1
        queue = self._queues.get(endpoint)
        if queue is None:
            self._queues[endpoint] = [(envelope, done, arg)]
        else:
            queue.append((envelope, done, arg))
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._flush)

    def post(self, endpoint: EndpointId, envelope: bytes) -> "asyncio.Future[Push]":
        """Push one envelope, as `push`; return its result as a future. Cancel-safe."""
        future: asyncio.Future[Push] = asyncio.get_running_loop().create_future()
        self.push(endpoint, envelope, _resolve, future)
        return future

    def tell(self, endpoint: EndpointId, envelope: bytes) -> bool:
        """Push one envelope now and ask for no reply, which saves both sides a wake-up.

        Args:
            endpoint: whose inbox; where it is closed or full the envelope is gone.
            envelope: encoded.

        Returns:
            Whether it was sent to the store.
        """
        push = pack_push(self._keys, endpoint, self._room, (envelope,))
        return self._link.tell(push)

    def _flush(self) -> None:
        while self._queues and not self._link.up:
            queues, self._queues = self._queues, {}
            for items in queues.values():
                self._finish(items, Push.UNSENT)
        if not self._queues:
            self._busy = False
            return
        queues, self._queues = self._queues, {}
        flight: list[list[_Item]] = []
        commands: list[bytes] = []
        for endpoint, items in queues.items():
            now = self._take(endpoint, items)
            flight.append(now)
            envelopes = [item[0] for item in now]
            commands.append(pack_push(self._keys, endpoint, self._room, envelopes))

        def replied(replies: list[Any] | None) -> None:
            again = self._settle(flight, commands, replies)
            if again:
                self._reload(*again)
            else:
                self._flush_after(_ROUNDS if self._queues else 0)

        self._link.send(b"".join(commands), len(commands), replied)

    def _flush_after(self, rounds: int) -> None:
        """Let those who were just answered send again first: one push instead of two."""
        if rounds:
            asyncio.get_running_loop().call_soon(self._flush_after, rounds - 1)
        else:
            self._flush()

    def _take(self, endpoint: EndpointId, items: list[_Item]) -> list[_Item]:
        """Return what goes now; what is too much for one push goes first in the next flush."""
        count, size = 0, 0
        for envelope, _, _ in items[:MAX_PUSH]:
            size += len(envelope)
            if count and size > _MAX_PUSH_BYTES:
                break
            count += 1
        if count < len(items):
            self._queues[endpoint] = items[count:]
        return items[:count]

    def _reload(self, flight: list[list[_Item]], commands: list[bytes]) -> None:
        """The store lost the scripts, so these have not run: load them, then push once more."""

        def replied(replies: list[Any] | None) -> None:
            rest = None if replies is None else replies[len(scripts.ALL) :]
            for items, _ in zip(*self._settle(flight, commands, rest) or ((), ()), strict=True):
                self.error = "NOSCRIPT it does not keep our scripts"
                self._finish(items, Push.REFUSED)
            self._flush()

        data = scripts.LOAD_ALL + b"".join(commands)
        self._link.send(data, len(scripts.ALL) + len(commands), replied)

    def _settle(
        self, flight: list[list[_Item]], commands: list[bytes], replies: list[Any] | None
    ) -> tuple[list[list[_Item]], list[bytes]] | None:
        """Tell who waits what became of it; return what ran into NOSCRIPT, None if nothing did."""
        if replies is None:
            for items in flight:
                self._finish(items, Push.LOST)
            return None
        again: tuple[list[list[_Item]], list[bytes]] = ([], [])
        for items, command, reply in zip(flight, commands, replies, strict=True):
            if is_noscript(reply):
                again[0].append(items)
                again[1].append(command)
            else:
                self._finish(items, self._meaning(reply))
        return again if again[0] else None

    def _meaning(self, reply: Any) -> Push:
        if type(reply) is ReplyError:
            self.error = str(reply)
            return Push.FULL if self.error.startswith("OOM") else Push.REFUSED
        if reply == NOT_OPEN:
            return Push.NOT_OPEN
        return Push.FULL if reply == FULL else Push.PUSHED

    def _finish(self, items: list[_Item], result: Push) -> None:
        self._waiting -= len(items)
        for _, done, arg in items:
            done(arg, result)


def _resolve(future: asyncio.Future[Push], result: Push) -> None:
    if not future.done():
        future.set_result(result)
