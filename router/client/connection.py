"""One WebSocket, from its welcome to its end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from router.client.arrivals import Arrivals
from router.client.backlog import Backlog
from router.client.frames import (
    PING,
    ErrorFrame,
    Expiring,
    Goodbye,
    MessageFrame,
    OutcomeFrame,
    Welcome,
    read,
    refresh,
)
from router.client.policy import BYE, LOST, Ending
from router.client.sends import Sends
from router.client.words import Options

CLOSE_S: Final = 2.0
_PATIENCE: Final = 2.5  # ping intervals of silence
_log = structlog.get_logger()


class Connection:
    """A WebSocket that was welcomed.

    Args:
        socket: open.
        welcome: the node's first frame.
        arrivals: takes messages.
        sends: has what is to be written, takes answers.
        backlog: where messages wait for the application.
        options: of the client.
    """

    def __init__(
        self,
        socket: ClientConnection,
        welcome: Welcome,
        arrivals: Arrivals,
        sends: Sends,
        backlog: Backlog,
        options: Options,
    ) -> None:
        self.welcome = welcome
        self._socket = socket
        self._arrivals = arrivals
        self._sends = sends
        self._backlog = backlog
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._heard_at = self._loop.time()
        self._goodbye: Goodbye | None = None
        self._ping_wanted = False
        self._expiring = asyncio.Event()
        self._wake = asyncio.Event()
        self._wake.set()
        self._ack_at = 0.0
        self._ack_wanted = False
        self._ack_timer: asyncio.TimerHandle | None = None

    # ---- from the client --------------------------------------------------------------------

    def flush(self) -> None:
        """There is something to send."""
        self._wake.set()

    def handled(self) -> None:
        """There is something to acknowledge: at once, if the last time was long enough ago."""
        if self._ack_timer is None and self._arrivals.untold:
            at = max(self._loop.time(), self._ack_at)
            self._ack_timer = self._loop.call_at(at, self._acknowledge)

    def _acknowledge(self) -> None:
        self._ack_timer = None
        self._ack_at = self._loop.time() + self._options.ack_interval_s
        self._ack_wanted = True
        self._wake.set()

    async def run(self, fetch: Callable[[], Awaitable[str]] | None = None) -> Ending:
        """Read and write until the connection ends, and say why it has.

        Cancelling it leaves the connection open: `close` it then.

        Args:
            fetch: asked for a new token when the one we came with ends soon; None without one.
        """
        jobs: list[Coroutine[Any, Any, Ending]] = [self._read(), self._write(), self._watch()]
        if fetch is not None:
            jobs.append(self._renew(fetch))
        tasks = [asyncio.create_task(self._until_closed(job)) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            endings = [task.result() for task in done]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._ack_timer is not None:
                self._ack_timer.cancel()
        return endings[0]

    async def close(self) -> None:
        """Acknowledge what was handled, and say goodbye."""
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for text in self._arrivals.tell():
                    await self._socket.send(text)
                await self._socket.close(BYE)
        self.abort()

    def abort(self) -> None:
        """End the connection without a word. Idempotent."""
        self._socket.transport.abort()

    # ---- its three jobs ---------------------------------------------------------------------

    async def _until_closed(self, job: Coroutine[Any, Any, Ending]) -> Ending:
        try:
            return await job
        except ConnectionClosed as exc:
            if exc.rcvd is None:
                return self._ending(LOST, "the connection was lost")
            return self._ending(exc.rcvd.code, exc.rcvd.reason)

    def _ending(self, code: int, reason: str) -> Ending:
        asked_ms = self._goodbye.reconnect_after_ms if self._goodbye is not None else None
        return Ending(
            code,
            reason or (self._goodbye.reason if self._goodbye is not None else f"code {code}"),
            None if asked_ms is None else max(0.0, asked_ms / 1_000),
            welcomed=True,
            held_s=self._loop.time() - self._opened_at,
        )

    async def _read(self) -> Ending:
        backlog = self._backlog
        while True:
            if backlog.is_full:
                await backlog.room()
            text = await self._socket.recv()
            self._heard_at = self._loop.time()
            try:
                self._take(text)
            except ValueError as exc:
                self.abort()
                return self._ending(LOST, f"the node said what makes no sense: {exc}")

    def _take(self, text: str | bytes) -> None:
        frame = read(text)
        if isinstance(frame, MessageFrame):
            message = self._arrivals.take(frame)
            if message is not None:
                self._backlog.put(message)
            elif self._arrivals.untold:
                self.handled()
        elif isinstance(frame, OutcomeFrame):
            self._sends.answered(frame)
        elif isinstance(frame, ErrorFrame):
            if not self._sends.refused(frame):
                _log.warning("the node objects", code=frame.code, message=frame.message)
        elif isinstance(frame, Goodbye):
            self._goodbye = frame
        elif isinstance(frame, Expiring):
            self._expiring.set()

    async def _write(self) -> Ending:
        limit_bytes = self.welcome.max_message_bytes
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._ack_wanted:
                self._ack_wanted = False
                for text in self._arrivals.tell():
                    await self._socket.send(text)
            for text in self._sends.unwritten(self._loop.time(), limit_bytes):
                await self._socket.send(text)
                self._backlog.changed()
            if self._ping_wanted:
                self._ping_wanted = False
                await self._socket.send(PING)

    async def _renew(self, fetch: Callable[[], Awaitable[str]]) -> Ending:
        """Send a new token whenever the old one ends soon; without one the node closes, in time."""
        while True:
            await self._expiring.wait()
            self._expiring.clear()
            try:
                token = await fetch()
            except Exception as exc:  # noqa: BLE001 - the program's own; asked again with 4401
                _log.warning("the token function has failed", error=repr(exc))
            else:
                await self._socket.send(refresh(token))

    async def _watch(self) -> Ending:
        """Ask a quiet connection whether it is there; give up a silent one."""
        interval_s = self._options.ping_interval_s
        while True:
            now = self._loop.time()
            if self._backlog.is_full:  # we do not listen now, so nothing can be heard
                self._heard_at = now
            silent_s = now - self._heard_at
            if silent_s >= _PATIENCE * interval_s:
                self.abort()
                return self._ending(LOST, f"nothing was heard for {silent_s:.1f} s")
            if silent_s >= interval_s:
                self._ping_wanted = True
                self._wake.set()
            await asyncio.sleep(interval_s / 2)
