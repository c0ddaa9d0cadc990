"""Envelopes on their way to inboxes: group commit, one push per endpoint and flush.

No timers: what is handed over in one round of the event loop leaves together, and while one flush
is under way the next one fills. Each server of the store has flushes of its own, so one that is
silent holds up nobody but those whose inboxes it has.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from typing import Any, Final

from hiredis import ReplyError

from router.counts import Counts
from router.errors import StoreRefused, SwitchboardError, Unavailable
from router.keys import Keys
from router.model import EndpointId
from router.seals import Seals
from router.store.answers import NoReply
from router.store.connect import is_full
from router.store.inbox import FULL, MAX_PUSH, NOT_OPEN, Room, pack_push
from router.store.resp import Command
from router.store.store import Store

_MAX_PUSH_BYTES: Final = 1024 * 1024
# Who hears that a push is done often sends again, but not in the same round of the loop: a caller
# wakes in the next one, and who waits for that caller in the one after.
_ROUNDS: Final = 3
# So often what is told without a reply brings its script along: nobody would hear of a NOSCRIPT.
_WHOLE_EVERY_S: Final = 0.1


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


class _Lane:
    """What goes to one server of the store: one flush at a time."""

    __slots__ = ("busy", "queues")

    def __init__(self) -> None:
        self.busy = False
        self.queues: dict[EndpointId, deque[_Item]] = {}


class Outbox:
    """Pushes envelopes; keeps their order per endpoint.

    Args:
        store: the way the pushes take.
        keys: key names.
        room: how much an inbox may hold.
        limit: most envelopes that may wait here; one more is answered `FULL`.
        counts: of the process; None for its own.
    """

    def __init__(
        self, store: Store, keys: Keys, room: Room, limit: int, counts: Counts | None = None
    ) -> None:
        self._counts = counts or Counts()
        self._store = store
        self._keys = keys
        self._room = room
        self._limit = limit
        self._lanes: dict[str, _Lane] = {}
        # Where an endpoint's envelopes are, queued or under way. Should its slot move meanwhile,
        # they stay together: the order counts, and the store's way finds the slot by itself.
        self._lane_of: dict[EndpointId, _Lane] = {}
        self._waiting = 0
        self._whole_at = 0.0
        self._full = ""
        self.error: SwitchboardError = StoreRefused("")
        self.store_full = False  # what the last push that was answered `FULL` by the store ran into

    def push(self, endpoint: EndpointId, envelope: bytes, done: PushDone, arg: Any) -> None:
        """Push one envelope with the next flush.

        Args:
            endpoint: whose inbox.
            envelope: encoded.
            done: called as `done(arg, result)`, once.
            arg: whatever the caller needs to know it by; saves a closure per message.
        """
        if self._waiting >= self._limit:
            self._full = f"{self._waiting} pushes wait for the store here"
            self._counts.limit("pushes waiting")
            done(arg, Push.FULL)
            return
        self._waiting += 1
        self._counts.pushes += 1
        lane = self._lane_of.get(endpoint)
        if lane is None:
            lane = self._lane_of[endpoint] = self._lane(endpoint)
        queue = lane.queues.get(endpoint)
        if queue is None:
            lane.queues[endpoint] = deque(((envelope, done, arg),))
        else:
            queue.append((envelope, done, arg))
        if not lane.busy:
            lane.busy = True
            asyncio.get_running_loop().call_soon(self._flush, lane)

    def _lane(self, endpoint: EndpointId) -> _Lane:
        place = self._store.place(self._keys.inbox(endpoint))
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane()
        return lane

    def post(
        self,
        endpoint: EndpointId,
        envelope: bytes,
        failures: list[SwitchboardError] | None = None,
    ) -> "asyncio.Future[Push]":
        """Push one envelope, as `push`; return its result as a future. Cancel-safe.

        Args:
            endpoint, envelope: see `push`.
            failures: takes why the envelope may not be in the inbox; see `failure`.
        """
        future: asyncio.Future[Push] = asyncio.get_running_loop().create_future()

        def done(_: Any, result: Push) -> None:
            failure = self.failure(endpoint, result)
            if failure is not None and failures is not None:
                failures.append(failure)
            if not future.done():
                future.set_result(result)

        self.push(endpoint, envelope, done, None)
        return future

    def tell(self, endpoint: EndpointId, envelope: bytes) -> bool:
        """Push one envelope now and ask for no reply, which saves both sides a wake-up.

        A store that has forgotten the script is given it again within a tenth of a second.

        Args:
            endpoint: whose inbox; where it is closed or full the envelope is gone.
            envelope: encoded.

        Returns:
            Whether it was sent to the store.
        """
        now = time.monotonic()
        whole = now >= self._whole_at
        if whole:
            self._whole_at = now + _WHOLE_EVERY_S
        push = pack_push(self._keys, endpoint, self._room, (envelope,), whole=whole)
        return self._store.tell(push)

    def why_full(self, endpoint: EndpointId) -> str:
        """Return why a push to `endpoint` was answered `FULL`, in the moment in which it is."""
        return self._full or f"the inbox of {endpoint} is full"

    def failure(self, endpoint: EndpointId, result: Push) -> SwitchboardError | None:
        """Return why an envelope may not be in the inbox; None if it is, or the inbox is closed.

        Args:
            endpoint: whose inbox.
            result: what was told of the push, in this moment.
        """
        if result is Push.FULL:
            return StoreRefused(self.why_full(endpoint))
        if result is Push.REFUSED:
            return self.error
        if result is Push.LOST:
            return Unavailable(self._store.address, "the reply to a push was lost, it may have run")
        if result is Push.UNSENT:
            return Unavailable(self._store.address, "the connection is down")
        return None

    def reaches(self, endpoint: EndpointId) -> bool:
        """Say whether a push to an endpoint can be sent now."""
        return self._store.reaches(self._keys.inbox(endpoint))

    def _flush(self, lane: _Lane) -> None:
        while lane.queues and not self._store.up:
            queues, lane.queues = lane.queues, {}
            for items in queues.values():
                self._finish(items, Push.UNSENT)
            self._leave(lane, queues)
        if not lane.queues:
            lane.busy = False
            return
        queues, lane.queues = lane.queues, {}
        flight: list[tuple[EndpointId, Collection[_Item]]] = []
        commands: list[Command] = []
        for endpoint, items in queues.items():
            now = self._take(lane, endpoint, items)
            flight.append((endpoint, now))
            envelopes = [item[0] for item in now]
            commands.append(pack_push(self._keys, endpoint, self._room, envelopes))

        def replied(replies: list[Any]) -> None:
            for (endpoint, items), reply in zip(flight, replies, strict=True):
                # What waits behind one without a reply must not overtake it when it goes again.
                behind = lane.queues.pop(endpoint, ()) if type(reply) is NoReply else ()
                self._finish(items, self._meaning(reply))
                self._finish(behind, Push.UNSENT)
            self._leave(lane, queues)
            self._flush_after(lane, _ROUNDS if lane.queues else 0)

        self._store.send(commands, replied)

    def _leave(self, lane: _Lane, endpoints: Iterable[EndpointId]) -> None:
        """Forget the lane of those for whom nothing more has come; the next time it may differ."""
        for endpoint in endpoints:
            if endpoint not in lane.queues:
                del self._lane_of[endpoint]

    def _flush_after(self, lane: _Lane, rounds: int) -> None:
        """Let those who were just answered send again first: one push instead of two."""
        if rounds:
            asyncio.get_running_loop().call_soon(self._flush_after, lane, rounds - 1)
        else:
            self._flush(lane)

    def _take(self, lane: _Lane, endpoint: EndpointId, items: deque[_Item]) -> Collection[_Item]:
        """Return what goes now; what is too much for one push goes first in the next flush."""
        if len(items) <= MAX_PUSH and sum([len(item[0]) for item in items]) <= _MAX_PUSH_BYTES:
            return items
        now = [items.popleft()]
        size = len(now[0][0])
        while items and len(now) < MAX_PUSH:
            size += len(items[0][0])
            if size > _MAX_PUSH_BYTES:
                break
            now.append(items.popleft())
        if items:
            lane.queues[endpoint] = items
        return now

    def _meaning(self, reply: Any) -> Push:
        if type(reply) is NoReply:
            return Push.LOST if reply.sent else Push.UNSENT
        if type(reply) is ReplyError:
            self.error = self._store.explain(reply)
            if not is_full(reply):
                return Push.REFUSED
            self._full = f"the store is full: {reply}"
            self.store_full = True
            return Push.FULL
        if reply == NOT_OPEN:
            return Push.NOT_OPEN
        if reply == FULL:
            self._full = ""
            self.store_full = False
            return Push.FULL
        return Push.PUSHED

    def _finish(self, items: Collection[_Item], result: Push) -> None:
        self._waiting -= len(items)
        for _, done, arg in items:
            done(arg, result)


class SealedOutbox(Outbox):
    """An outbox that seals each envelope for the inbox it goes to.

    Args:
        seals: with keys.
        pushes: see `Outbox`.
    """

    def __init__(self, seals: Seals, *pushes: Any) -> None:
        super().__init__(*pushes)
        self._seal = seals.seal

    def push(self, endpoint: EndpointId, envelope: bytes, done: PushDone, arg: Any) -> None:
        """See `Outbox.push`."""
        super().push(endpoint, self._seal(endpoint, envelope), done, arg)

    def tell(self, endpoint: EndpointId, envelope: bytes) -> bool:
        """See `Outbox.tell`."""
        return super().tell(endpoint, self._seal(endpoint, envelope))
