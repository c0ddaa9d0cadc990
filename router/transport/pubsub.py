"""What the two Redis Pub/Sub modes share: publishing by group commit, one subscriber connection.

Pub/Sub keeps nothing: what is published while a node is not connected is gone, and the publisher
cannot know. https://redis.io/docs/latest/develop/pubsub/
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from hiredis import ReplyError

from router.codec import MAX_USERS_PER_ENVELOPE, MessageEnvelope, encode
from router.errors import Unavailable
from router.keys import Keys
from router.model import Outcome
from router.store.answers import NoReply
from router.store.connect import Connector
from router.store.link import Link
from router.store.registry import Registry
from router.store.resp import Command, keyed, pack
from router.store.store import Store
from router.transport.base import ACCEPTED_ONLY, Deliver, Delivery
from router.transport.holding import Holding

_SLICE: Final = 500
_ALIVE_S: Final = 2.0


class Publisher:
    """Publishes messages; while one pipeline is under way the next one fills.

    Args:
        store: the way they travel.
        changed: called with a delivery whenever something was told to it.
    """

    def __init__(self, store: Store, changed: Callable[[Delivery], None]) -> None:
        self._store = store
        self._changed = changed
        self._waiting: list[tuple[Command, Sequence[Delivery]]] = []
        self._busy = False

    def publish(
        self, channel: str, parcel: MessageEnvelope, deliveries: Sequence[Delivery]
    ) -> None:
        """Publish one message for some users on one channel, at most 500 users to an envelope."""
        for first in range(0, len(deliveries), MAX_USERS_PER_ENVELOPE):
            part = deliveries[first : first + MAX_USERS_PER_ENVELOPE]
            envelope = msgspec.structs.replace(parcel, users=[d.user for d in part])
            for delivery in part:
                delivery.unpushed += 1
            self._waiting.append((keyed("PUBLISH", channel, encode(envelope)), part))
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if not self._waiting:
            self._busy = False
            return
        flight, self._waiting = self._waiting, []

        def replied(replies: list[Any]) -> None:
            for (_, deliveries), reply in zip(flight, replies, strict=True):
                self._told(deliveries, reply)
            self._flush()

        self._store.send([item[0] for item in flight], replied)

    def _told(self, deliveries: Sequence[Delivery], reply: Any) -> None:
        for delivery in deliveries:
            if type(reply) is NoReply and reply.sent:
                delivery.refused(Outcome.UNKNOWN, "the store was lost on the way")
            elif type(reply) is NoReply:
                delivery.error = reply.error
            elif type(reply) is ReplyError:
                delivery.error = self._store.explain(reply)
            else:
                delivery.pushed()
            self._changed(delivery)


class Subscriber:
    """One connection that listens; it subscribes again, in slices, after it was lost.

    Args:
        connector: opens it.
        deliver: takes each message's envelope.
        flush: called once per round of the event loop in which messages came.
    """

    def __init__(self, connector: Connector, deliver: Deliver, flush: Callable[[], None]) -> None:
        self._deliver = deliver
        self._flush_now = flush
        self._scheduled = False
        self._opening = asyncio.Lock()
        self._wanted: set[str] = set()
        # Of the present connection: subscriptions under way, each channel's in the order sent,
        # and those that stand.
        self._asked: dict[str, deque[asyncio.Future[None]]] = {}
        self._standing: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._opened = False
        self._alive = connector.services.add("subscriber ping", self._ask_for_life)
        self._link = Link(
            connector,
            "subscriber",
            on_up=self._subscribe_again,
            on_down=self._lost,
            on_push=self._pushed,
        )

    async def _open(self) -> None:
        """Connect, with the first subscription: a process that only sends never needs to."""
        async with self._opening:
            if not self._opened:
                await self._link.open()
                self._alive.start()
                self._opened = True

    async def close(self) -> None:
        """Stop listening."""
        await self._alive.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._link.close()

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Listen to `channels` too; returns when the store has confirmed them all.

        Raises:
            Unavailable: the connection is away; those wanted before are subscribed when it is back.
        """
        missing = [c for c in dict.fromkeys(channels) if c not in self._standing]
        if not missing:
            return
        await self._open()
        if not self._link.up:
            raise Unavailable(self._link.address, "the subscriber is not connected")
        # One that was given up since it was asked for needs to be asked for again.
        to_ask = [c for c in missing if c not in self._wanted or self._idle(c)]
        self._wanted.update(missing)
        self._ask(to_ask)
        # Also for what another one has asked for: it is no more confirmed for us than for them.
        waiting = [self._asked[c][-1] for c in missing if c in self._asked]
        if waiting:
            await asyncio.wait(waiting)  # which does not cancel them, should we be cancelled
        for future in waiting:
            future.result()

    def unsubscribe(self, channel: str) -> None:
        """Listen to `channel` no longer; when away, it is simply not subscribed again."""
        self._wanted.discard(channel)
        self._standing.discard(channel)
        self._link.write(pack("UNSUBSCRIBE", channel))

    def _ask(self, channels: Sequence[str]) -> None:
        """Send one SUBSCRIBE; the store confirms each channel by itself, in this order."""
        if not channels:
            return
        loop = asyncio.get_running_loop()
        for channel in channels:
            self._asked.setdefault(channel, deque()).append(loop.create_future())
        self._link.write(pack("SUBSCRIBE", *channels))

    def _confirmed(self, channel: str) -> None:
        asked = self._asked.get(channel)
        if asked is None:
            return
        asked.popleft().set_result(None)
        if not asked:
            del self._asked[channel]
            if channel in self._wanted:  # else its UNSUBSCRIBE is on the way
                self._standing.add(channel)

    def _pushed(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == b"message":
            self._deliver(message[2])
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._flush)
        elif kind == b"subscribe":
            self._confirmed(message[1].decode("utf-8", "replace"))

    def _flush(self) -> None:
        self._scheduled = False
        self._flush_now()

    def _lost(self) -> None:
        self._standing.clear()
        asked, self._asked = self._asked, {}
        error = Unavailable(self._link.address, "the subscriber was disconnected")
        for futures in asked.values():
            for future in futures:
                future.set_exception(error)
                future.exception()  # nobody need wait for it

    def _subscribe_again(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._subscribe_all(), name="subscribe again")

    async def _subscribe_all(self) -> None:
        channels = list(self._wanted)
        for first in range(0, len(channels), _SLICE):
            part = channels[first : first + _SLICE]
            self._ask([c for c in part if c in self._wanted and self._idle(c)])
            await asyncio.sleep(0)

    def _idle(self, channel: str) -> bool:
        return channel not in self._standing and channel not in self._asked

    async def _ask_for_life(self) -> None:
        """Ping: a connection that only listens would not notice that nobody speaks any more."""
        while True:
            await asyncio.sleep(_ALIVE_S)
            self._link.send(pack("PING"), 1, _ignore)


class PubSubTransport:
    """What is alike in every mode over Pub/Sub; see `transport.base.Transport`.

    Args:
        connector: opens the subscriber's connection.
        store: the way publishes travel.
        keys: channel names.
        registry: who is where, for listing only.
        changed: called with a delivery whenever something was told to it.
        deliver: takes each envelope for users of this process.
        flush: called after the envelopes that came together.
    """

    confirms = ACCEPTED_ONLY
    durable = False

    def __init__(
        self,
        connector: Connector,
        store: Store,
        keys: Keys,
        registry: Registry,
        changed: Callable[[Delivery], None],
        deliver: Deliver,
        flush: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._publisher = Publisher(store, changed)
        self._subscriber = Subscriber(connector, deliver, flush)
        self._holding = Holding()

    async def open(self) -> None:
        """See `Transport.open`; the subscriber connects with the first session."""

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._subscriber.close()

    def release(self, delivery: Delivery) -> None:
        """See `Transport.release`; there are no keys in this mode."""
        delivery.settled(delivery)

    def store_is_back(self) -> None:
        """See `Transport.store_is_back`; the subscriber looks after itself."""


def _ignore(_: list[Any] | None) -> None:
    """The wire notices by itself when the answer does not come."""
