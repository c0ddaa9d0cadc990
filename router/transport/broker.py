"""A connection to RabbitMQ that is kept up; the only module that knows `aio-pika`.

Connecting and declaring is left to the library. The two hot paths go below it: it would make an
object and a task of each message, and a write of each publish.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import Channel
from aiormq.abc import AbstractConnection, ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.header import ContentHeader
from yarl import URL

from router.errors import Unavailable
from router.service import Services

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_CONNECT_S: Final = 5.0
_HEARTBEAT_S: Final = 10
# Frames that may wait between the library's reader of a connection and that of a channel.
_FRAMES: Final = 1_024
_log = structlog.get_logger()
Connection = AbstractConnection
"""One of the library's connections, below the face of `aio_pika`."""
Went = Callable[[str], None]
"""Told why a connection is of no use any more."""


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached; nothing was sent."""

    def __str__(self) -> str:
        return f"the broker at {self.address} is not available: {self.reason}"


class BrokerLink:
    """One connection to the broker for as long as its owner wants it.

    Args:
        url: `amqp://` or `amqps://`.
        name: for the log, and the broker's list of connections.
        set_up: awaited with each new connection before it counts as up, and with what to call
            when the connection is of no use any more, though it may still stand.
        on_down: called when a connection is lost.
        services: gets the loop that connects again.
    """

    def __init__(
        self,
        url: str,
        name: str,
        set_up: Callable[[Connection, Went], Awaitable[None]],
        on_down: Callable[[], None],
        services: Services,
    ) -> None:
        parsed = URL(url)
        self.address = f"{parsed.host}:{parsed.port}"
        self._url = parsed.update_query(heartbeat=_HEARTBEAT_S, name=f"switchboard-{name}")
        self._name = name
        self._set_up = set_up
        self._on_down = on_down
        self._opening = asyncio.Lock()
        self._connection: aio_pika.abc.AbstractConnection | None = None
        self._keeper = services.add(f"broker {name}", self._keep)
        self._lost = asyncio.Event()
        self.opened = False  # there was a connection once, so another one is being made if need be
        self._reason = "not connected yet"
        self.up = False

    async def open(self) -> None:
        """Connect for the first time and stay connected from then on; later calls only look.

        Raises:
            BrokerUnavailable: there is no connection at this moment.
        """
        async with self._opening:
            if not self.opened:
                await self._connect()
                self._keeper.start()
                self.opened = True
        if not self.up:
            raise self.down()

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        await self._keeper.stop()
        await self._end()

    def down(self) -> BrokerUnavailable:
        """Return the error that says why there is no connection."""
        return BrokerUnavailable(self.address, self._reason)

    async def _connect(self) -> None:
        """Connect and set up; raise BrokerUnavailable, with nothing left behind."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                connection = await aio_pika.connect(self._url)
                self._connection = connection
                assert connection.transport is not None
                below = connection.transport.connection
                went = partial(self._went, connection)
                self._lost.clear()
                await self._set_up(below, went)
        except CONNECTION_EXCEPTIONS as exc:
            await self._end()
            self._reason = str(exc) or f"it does not answer ({exc!r})"
            raise self.down() from exc
        except BaseException:
            await self._end()
            raise
        self.up = True
        _watch(below, went)

    async def _end(self) -> None:
        self.up = False
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _went(self, connection: aio_pika.abc.AbstractConnection, reason: str) -> None:
        if self.up and connection is self._connection:
            self.up = False
            self._reason = reason
            self._on_down()
            self._lost.set()

    async def _keep(self) -> None:
        """Connect again whenever the connection is lost, each time after a random pause."""
        while True:
            await self._lost.wait()
            _log.warning("broker connection lost", link=self._name, reason=self._reason)
            await self._end()
            pause_s = _FIRST_PAUSE_S
            while not self.up:
                await asyncio.sleep(random.uniform(0, pause_s))
                try:
                    await self._connect()
                except BrokerUnavailable:
                    pass
                except Exception as exc:  # noqa: BLE001
                    # The edge of the loop: a link that nobody keeps would be down for ever.
                    _log.exception("broker connection failed", link=self._name)
                    self._reason = repr(exc)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            _log.info("broker connection up again", link=self._name)


class Outlet:
    """Publishes to one exchange: many messages are one write.

    Fire and forget, as the classic recipe has it: not mandatory, not persistent, not confirmed.

    Args:
        channel: open.
        exchange: declared.
    """

    def __init__(self, channel: Channel, exchange: str) -> None:
        self._channel = channel
        self._connection = channel.connection
        self._publish = marshal(Basic.Publish(exchange=exchange), channel.number)

    def write(self, bodies: Sequence[bytes]) -> "asyncio.Future[None]":
        """Hand messages to the connection.

        Returns:
            A future that is done when the system has them; with an error, or cancelled, when the
            connection is lost before.

        Raises:
            asyncio.QueueFull: too much waits already; nothing was written.
        """
        number, most = self._channel.number, self._channel.max_content_size
        parts = []
        for body in bodies:
            parts.append(self._publish)
            parts.append(marshal(ContentHeader(0, len(body), _PROPERTIES), number))
            parts += [
                marshal(ContentBody(body[first : first + most]), number)
                for first in range(0, len(body), most)
            ]
        drained: asyncio.Future[None] = self._channel.create_future()
        frame = ChannelFrame(b"".join(parts), should_close=False, drain_future=drained)
        self._connection.write_queue.put_nowait(frame)
        return drained


class Inlet(Channel):
    """A channel whose messages go straight to a function, without a task for each."""

    deliver: Callable[[bytes], None]

    async def _on_deliver_frame(self, frame: Basic.Deliver) -> None:
        header = await self._get_frame()
        assert isinstance(header, ContentHeader)
        left = header.body_size
        parts: list[bytes] = []
        while left > 0:
            part = await self._get_frame()
            assert isinstance(part, ContentBody)
            parts.append(part.value)
            left -= len(part.value)
        self.deliver(parts[0] if len(parts) == 1 else b"".join(parts))


async def open_outlet(connection: Connection, went: Went, exchange: str) -> Outlet:
    """Declare a fanout exchange and return what publishes to it."""
    channel = Channel(connection, 1, publisher_confirms=False)
    await _open(channel, went)
    await channel.exchange_declare(exchange, exchange_type="fanout")
    return Outlet(channel, exchange)


async def open_inlet(
    connection: Connection,
    went: Went,
    exchange: str,
    most: int,
    deliver: Callable[[bytes], None],
) -> None:
    """Have a queue of this connection's own that gets everything sent to a fanout exchange.

    Args:
        connection: the queue ends with it.
        went: called when the broker takes the queue or the channel away.
        exchange: declared if it is not there.
        most: messages that may wait in the queue; then the oldest ones are dropped.
        deliver: takes each message. It comes without acknowledgement, so a prefetch would mean
            nothing: what holds the broker back is the TCP connection.
    """
    inlet = Inlet(connection, 1, publisher_confirms=False, frame_buffer=_FRAMES)
    inlet.deliver = deliver
    inlet.on_consumer_cancel_callbacks.add(lambda _: went("the broker has removed the queue"))
    await _open(inlet, went)
    await inlet.exchange_declare(exchange, exchange_type="fanout")
    declared = await inlet.queue_declare(
        exclusive=True, auto_delete=True, arguments={"x-max-length": most}
    )
    assert declared.queue is not None
    await inlet.queue_bind(declared.queue, exchange)
    await inlet.basic_consume(declared.queue, _unused, no_ack=True)


async def _open(channel: Channel, went: Went) -> None:
    """Open a connection's only channel; the library's own way knows no other class of channels."""
    channel.connection.channels[channel.number] = channel
    await channel.open()
    _watch(channel, went)


def _watch(part: Connection | Channel, went: Went) -> None:
    """Call `went` when a connection or a channel has ended."""

    def ended(closing: "asyncio.Future[Any]") -> None:
        error = None if closing.cancelled() else closing.exception()
        went(str(error or "") or "the connection was closed")

    part.closing.add_done_callback(ended)


async def _unused(_: object) -> None:
    """Stand where the library wants a consumer; `Inlet` delivers before it is asked."""


_PROPERTIES: Final = Basic.Properties(delivery_mode=1)
