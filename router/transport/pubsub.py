"""What the two Redis Pub/Sub modes share: publishing by group commit, one subscriber connection.

Pub/Sub keeps nothing: what is published while a node is not connected is gone, and the publisher
cannot know. https://redis.io/docs/latest/develop/pubsub/
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog
from hiredis import ReplyError

from router.codec import MAX_USERS_PER_ENVELOPE, MessageEnvelope, encode
from router.errors import StoreRefused, Unavailable
from router.model import Confirm, Outcome
from router.store.connect import Connector
from router.store.link import Link
from router.store.resp import pack
from router.transport.base import Delivery

Deliver = Callable[[bytes], None]
"""Takes one envelope as it came, and writes it to whoever holds its users here."""

_SLICE: Final = 500
_ALIVE_S: Final = 2.0
_log = structlog.get_logger()


class Publisher:
    """Publishes messages; while one pipeline is under way the next one fills.

    Args:
        link: the connection they travel on.
        changed: called with a delivery whenever something was told to it.
    """

    def __init__(self, link: Link, changed: Callable[[Delivery], None]) -> None:
        self._link = link
        self._changed = changed
        self._waiting: list[tuple[bytes, Sequence[Delivery]]] = []
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
            self._waiting.append((pack("PUBLISH", channel, encode(envelope)), part))
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if not self._waiting:
            self._busy = False
            return
        flight, self._waiting = self._waiting, []

        def replied(replies: list[Any] | None) -> None:
            for (_, deliveries), reply in zip(flight, replies or [None] * len(flight), strict=True):
                self._told(deliveries, reply)
            self._flush()

        if self._link.up:
            self._link.send(b"".join(item[0] for item in flight), len(flight), replied)
            return
        error = Unavailable(self._link.address, "the connection is down")
        for _, deliveries in flight:
            for delivery in deliveries:
                delivery.error = error
                self._changed(delivery)
        self._flush()

    def _told(self, deliveries: Sequence[Delivery], reply: Any) -> None:
        for delivery in deliveries:
            if reply is None:
                delivery.refused(Outcome.UNKNOWN, "the store was lost on the way")
            elif type(reply) is ReplyError:
                delivery.error = StoreRefused(str(reply))
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
        self._channels: set[str] = set()
        self._confirming: dict[bytes, list[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._alive: asyncio.Task[None] | None = None
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
            if self._alive is None:
                await self._link.open()
                self._alive = asyncio.create_task(self._ask_for_life(), name="subscriber ping")

    async def close(self) -> None:
        """Stop listening."""
        tasks = [task for task in (self._task, self._alive) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._link.close()

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Listen to `channels` too; returns when the store has confirmed them.

        Raises:
            Unavailable: the connection is away; they are subscribed when it is back.
        """
        fresh = [channel for channel in dict.fromkeys(channels) if channel not in self._channels]
        if not fresh:
            return
        await self._open()
        if not self._link.up:
            raise Unavailable(self._link.address, "the subscriber is not connected")
        futures = [self._confirmation(channel) for channel in fresh]
        self._channels.update(fresh)
        self._link.write(pack("SUBSCRIBE", *fresh))
        await asyncio.gather(*futures)

    def unsubscribe(self, channel: str) -> None:
        """Listen to `channel` no longer; when away, it is simply not subscribed again."""
        self._channels.discard(channel)
        self._link.write(pack("UNSUBSCRIBE", channel))

    def _confirmation(self, channel: str) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirming.setdefault(channel.encode(), []).append(future)
        return future

    def _pushed(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == b"message":
            self._deliver(message[2])
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._flush)
        elif kind == b"subscribe":
            for future in self._confirming.pop(message[1], ()):
                if not future.done():
                    future.set_result(None)

    def _flush(self) -> None:
        self._scheduled = False
        self._flush_now()

    def _lost(self) -> None:
        confirming, self._confirming = self._confirming, {}
        error = Unavailable(self._link.address, "the subscriber was disconnected")
        for futures in confirming.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)

    def _subscribe_again(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._subscribe_all(), name="subscribe again")

    async def _subscribe_all(self) -> None:
        channels = list(self._channels)
        for first in range(0, len(channels), _SLICE):
            self._link.write(pack("SUBSCRIBE", *channels[first : first + _SLICE]))
            await asyncio.sleep(0)

    async def _ask_for_life(self) -> None:
        """Ping: a connection that only listens would not notice that nobody speaks any more."""
        while True:
            await asyncio.sleep(_ALIVE_S)
            self._link.send(pack("PING"), 1, _ignore)


def _ignore(_: list[Any] | None) -> None:
    """The wire notices by itself when the answer does not come."""


ACCEPTED_ONLY: Final = frozenset({Confirm.ACCEPTED})
