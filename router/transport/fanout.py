"""A fanout exchange of RabbitMQ: every node has a queue of its own, gets every message and filters.

The classic recipe for a cluster of WebSocket servers.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from router.codec import MAX_USERS_PER_ENVELOPE, MessageEnvelope, encode
from router.errors import SwitchboardError
from router.model import EndpointId, Outcome, Registered, Session, SessionId, UserId
from router.service import Services
from router.store.registry import Registry
from router.transport.base import ACCEPTED_ONLY, Deliver, Delivery
from router.transport.broker import (
    BrokerLink,
    BrokerUnavailable,
    Connection,
    Outlet,
    Went,
    open_inlet,
    open_outlet,
)
from router.transport.holding import Holding

_MAX_WRITE_BYTES: Final = 1024 * 1024
_Flight = list[tuple[bytes, Sequence[Delivery]]]


class FanoutTransport:
    """See `transport.base.Transport` for what is promised; this mode only knows `accepted`.

    Here that says: written to the broker, which confirms nothing. The two connections (publishers
    are held back one by one, so consumers need their own) are made with the first use of each.

    Args:
        url: of the broker.
        exchange: its name.
        max_length: messages that may wait for one node; then the oldest are dropped.
        registry: who is where, for listing only.
        changed: called with a delivery whenever something was told to it.
        deliver: takes each envelope.
        flush: called after the envelopes that came together.
        services: gets the loops that connect again.
    """

    confirms = ACCEPTED_ONLY
    durable = False

    def __init__(
        self,
        url: str,
        exchange: str,
        max_length: int,
        registry: Registry,
        changed: Callable[[Delivery], None],
        deliver: Deliver,
        flush: Callable[[], None],
        services: Services,
    ) -> None:
        self._exchange = exchange
        self._max_length = max_length
        self._registry = registry
        self._changed = changed
        self._deliver = deliver
        self._flush_now = flush
        self._flush_scheduled = False
        self._holding = Holding()
        self._publisher = BrokerLink(
            url, "publisher", self._publisher_up, self._publisher_down, services
        )
        self._consumer = BrokerLink(url, "consumer", self._consumer_up, lambda: None, services)
        self._outlet: Outlet | None = None
        self._waiting: _Flight = []
        self._busy = False
        self._connecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `Transport.open`; who only asks the registry needs no broker."""

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._publisher.close()
        await self._consumer.close()

    def release(self, delivery: Delivery) -> None:
        """See `Transport.release`; there are no keys in this mode."""
        delivery.settled(delivery)

    def store_is_back(self) -> None:
        """See `Transport.store_is_back`; nothing travels by the store."""

    # ---- sending ----------------------------------------------------------------------------

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        """See `Transport.publish`; while one write is under way the next one fills."""
        for first in range(0, len(deliveries), MAX_USERS_PER_ENVELOPE):
            part = deliveries[first : first + MAX_USERS_PER_ENVELOPE]
            envelope = msgspec.structs.replace(parcel, users=[d.user for d in part])
            for delivery in part:
                delivery.unpushed += 1
            self._waiting.append((encode(envelope), part))
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if not self._waiting:
            self._busy = False
        elif self._outlet is not None:
            self._write(self._outlet)
        elif self._publisher.opened:
            self._fail(self._publisher.down())
        else:
            self._connecting = asyncio.create_task(self._connect(), name="first connection")

    async def _connect(self) -> None:
        try:
            await self._publisher.open()
        except BrokerUnavailable as exc:
            self._fail(exc)
        else:
            self._flush()

    def _write(self, outlet: Outlet) -> None:
        flight = self._take()
        try:
            written = outlet.write([envelope for envelope, _ in flight])
        except asyncio.QueueFull:
            self._told(flight, Outcome.BUSY, "the connection to the broker is full")
            self._flush()
        else:
            written.add_done_callback(partial(self._written, flight))

    def _take(self) -> _Flight:
        """Return what goes with the next write: all that waits, or the first megabyte of it."""
        size, count = 0, 0
        for envelope, _ in self._waiting:
            size += len(envelope)
            if count and size > _MAX_WRITE_BYTES:
                break
            count += 1
        flight, self._waiting = self._waiting[:count], self._waiting[count:]
        return flight

    def _written(self, flight: _Flight, written: "asyncio.Future[None]") -> None:
        if written.cancelled() or written.exception() is not None:
            self._told(flight, Outcome.UNKNOWN, "the broker was lost on the way")
        else:
            self._told(flight, None, "")
        self._flush()

    def _told(self, flight: _Flight, refused: Outcome | None, reason: str) -> None:
        for _, deliveries in flight:
            for delivery in deliveries:
                if refused is None:
                    delivery.pushed()
                else:
                    delivery.refused(refused, reason)
                self._changed(delivery)

    def _fail(self, error: SwitchboardError) -> None:
        """Nothing that waits can be sent: tell all of them, then go on with what came meanwhile."""
        flight, self._waiting = self._waiting, []
        for _, deliveries in flight:
            for delivery in deliveries:
                delivery.error = error
                self._changed(delivery)
        self._flush()

    async def _publisher_up(self, connection: Connection, went: Went) -> None:
        self._outlet = await open_outlet(connection, went, self._exchange)

    def _publisher_down(self) -> None:
        self._outlet = None

    # ---- receiving --------------------------------------------------------------------------

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        """See `Transport.attach`: registered, and this node's queue bound.

        As with `ChannelTransport`, a session that is attached again waits for no connection.
        """
        registered = await self._registry.register(sessions)
        if not registered:
            return registered
        if fresh := self._holding.add(sessions):
            try:
                await self._consumer.open()
            except BaseException:
                for user, session in fresh:
                    self._holding.remove(user, session.endpoint, session.session)
                raise
        return registered

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None:
        """See `Transport.detach`; the queue stays, others need it."""
        self._holding.remove(user, endpoint, session)
        await self._registry.unregister(user, endpoint, session, last_here=last_here)

    async def _consumer_up(self, connection: Connection, went: Went) -> None:
        await open_inlet(connection, went, self._exchange, self._max_length, self._came)

    def _came(self, envelope: bytes) -> None:
        self._deliver(envelope)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_sockets)

    def _flush_sockets(self) -> None:
        self._flush_scheduled = False
        self._flush_now()
