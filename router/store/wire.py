"""The connections of the hot paths: packed commands out, replies and pushes in, no retry.

redis-py opens each connection, so its TLS, AUTH and Sentinel code is used as it is; then this
protocol takes the transport over. What is gained: a reply costs one callback, no task and no lock.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
from hiredis import PushNotification, Reader, ReplyError
from redis.asyncio.connection import AbstractConnection

from router.counts import Counts
from router.store.trouble import known_kind

Done = Callable[[list[Any] | None], None]
"""Called once with the replies in order; with None if the connection was lost before them all."""

_MORE: Final = object()
_TICK_S: Final = 0.5
# SO_LINGER: whether, and for how many seconds, the kernel goes on sending after the close.
_DISCARD: Final = struct.pack("ii", 1, 0)
_DELIVER: Final = struct.pack("ii", 0, 0)
_log = structlog.get_logger()


class Wire(asyncio.Protocol):
    """One open connection to the store.

    Commands run in the order in which they were sent, and their replies come back in that order.
    Nothing is ever repeated: whoever sent a command knows whether it may run twice.

    What the store has not acknowledged by the end is dropped, also if this process is killed. Where
    packets were lost, the kernel would else go on sending it for minutes, and commands would run
    when nobody reckons with them any more: a route would be written for an endpoint that was
    cleaned up meanwhile.

    Args:
        connection: connected and authenticated by redis-py; it belongs to this wire from now on.
        on_push: takes RESP3 push messages, in order with the replies around them.
        on_lost: called once, after every waiting `Done`, when the connection has ended.
        reply_timeout_s: a connection that owes a reply and gives none for so long is given up.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        on_push: Callable[[list[Any]], None],
        on_lost: Callable[[str], None],
        reply_timeout_s: float,
        counts: Counts | None = None,
    ) -> None:
        self._counts = counts or Counts()
        self._connection = connection
        self._on_push = on_push
        self._on_lost = on_lost
        self._reader = Reader(notEnoughData=_MORE)
        self._waiting: deque[tuple[int, Done]] = deque()
        self._replies: list[Any] = []
        self._answered = 0
        self._quiet_ticks = 0
        self._allowed_ticks = max(1, round(reply_timeout_s / _TICK_S))
        self.reason = "closed by the store"  # why it is lost, when it is
        self._given_up = False
        self.lost = False
        untyped, loop = cast(Any, connection), asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, untyped._writer.transport)  # noqa: SLF001
        self._transport.set_protocol(self)
        self._linger(_DISCARD)
        self._watch = loop.call_later(_TICK_S, self._tick, 0)
        if self._transport.is_closing() or untyped._reader.at_eof():  # noqa: SLF001
            self._given_up = True
            self._transport.abort()
            loop.call_soon(self.connection_lost, None)  # redis-py's protocol was told, not this one

    def send(self, data: bytes, count: int, done: Done) -> None:
        """Write packed commands; `done` gets their replies.

        Args:
            data: one or more packed commands.
            count: how many commands `data` holds, at least one.
            done: see `Done`; a reply that is an error is in the list as `hiredis.ReplyError`.
        """
        if self.lost:
            done(None)
            return
        self._waiting.append((count, done))
        self._counts.round_trips += 1
        if not self._given_up:
            self._transport.write(data)

    def write(self, data: bytes) -> None:
        """Write packed commands that the store does not answer; on a lost connection do nothing."""
        if not self.lost and not self._given_up:
            self._counts.unanswered += 1
            self._transport.write(data)

    def expect(self, count: int, done: Done) -> None:
        """Announce who takes the first replies to the bytes of the next `send`.

        So several parties share one write: a second write costs a system call, and where a blocking
        command is among them, its reply must not hold up the others'.

        Args:
            count: how many of the replies.
            done: see `Done`.
        """
        self._waiting.append((count, done))

    def abort(self, reason: str, *, deliver: bool = False) -> None:
        """Give the connection up; every waiting `Done` gets None, in the loop's next round.

        Replies that have arrived already are not handed out any more.

        Args:
            reason: for the log and for `on_lost`; the first one stands.
            deliver: what the kernel has taken may still arrive.
        """
        if not self.lost and not self._given_up:
            if deliver:
                self._linger(_DELIVER)
            self._given_up = True
            self.reason = reason
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand each complete reply to whoever waits for it."""
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while not self._given_up:
                try:
                    reply = reader.gets()
                except Exception as exc:  # noqa: BLE001
                    # Not ProtocolError only: a map whose key cannot be hashed is a TypeError.
                    self.abort(f"not what a Redis server says: {exc}")
                    return
                if reply is _MORE:
                    return
                if type(reply) is PushNotification:
                    self._on_push(reply)
                    continue
                self._answered += 1
                if type(reply) is ReplyError:
                    self._counts.store_errors[known_kind(str(reply))] += 1
                count, done = waiting[0]
                if count == 1:
                    waiting.popleft()
                    done([reply])
                    continue
                self._replies.append(reply)
                if len(self._replies) == count:
                    waiting.popleft()
                    replies, self._replies = self._replies, []
                    done(replies)
        except IndexError:
            self.abort("not what a Redis server says: a reply that nobody asked for")
        except Exception as exc:  # noqa: BLE001
            # The edge of the loop: a fault in a callback must not leave the wire half-read. The
            # owner starts again from what the store holds.
            _log.exception("a reply could not be handled")
            self.abort(f"internal fault: {exc!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits, oldest first, then the owner; once."""
        if self.lost:
            return
        self.lost = True
        self._watch.cancel()
        # redis-py would warn of an open connection; its StreamWriter has no transport any more.
        cast(Any, self._connection)._writer = None  # noqa: SLF001
        if exc is not None:
            self.reason = str(exc) or type(exc).__name__
        while self._waiting:
            _, done = self._waiting.popleft()
            try:
                done(None)
            except Exception:  # noqa: BLE001  # the others must hear of it, and the owner connect again
                _log.exception("a lost reply could not be handled")
        self._on_lost(self.reason)

    def _tick(self, answered: int) -> None:
        """Notice a store that accepts commands and never answers."""
        quiet = self._waiting and answered == self._answered
        self._quiet_ticks = self._quiet_ticks + 1 if quiet else 0
        if self._quiet_ticks >= self._allowed_ticks:
            self.abort(f"no reply for {self._allowed_ticks * _TICK_S:g} s")
            return
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(_TICK_S, self._tick, self._answered)

    def _linger(self, option: bytes) -> None:
        end = self._transport.get_extra_info("socket")
        if end is not None and not self._transport.is_closing():  # else it has ended already
            with contextlib.suppress(OSError):  # the same, seen otherwise
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
