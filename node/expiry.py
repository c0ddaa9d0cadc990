"""Sessions whose token ends: told in time, renewed in place, closed when it has ended."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

import structlog

from node.auth import Gate
from node.auth.tickets import Tickets, is_ticket
from node.disconnects import EXPIRED
from node.frames import ErrorFrame, Expiring, Refreshed, RefreshFrame
from node.identity import Identity
from node.inbound import error_frame
from node.session import ClientSession
from node.wheel import Wheel
from router.counts import Counts
from router.errors import Forbidden, SwitchboardError
from router.service import Services

_TICK_S: Final = 0.5
_NOTICE_S: Final = 60.0
_SLICE: Final = 500
_log = structlog.get_logger()


class Expiry:
    """Watches over the end of what sessions came in with.

    Args:
        gate: says whom a new token belongs to.
        leeway_s: how long after its end a token still counts.
        services: own the loops.
        counts: of the process.
        tickets: knows those who come with one; None where there are none.
    """

    def __init__(
        self,
        gate: Gate,
        leeway_s: float,
        services: Services,
        counts: Counts,
        tickets: Tickets | None = None,
    ) -> None:
        self._gate = gate
        self._tickets = tickets
        self._leeway_s = leeway_s
        self._counts = counts
        self._notices: Wheel[ClientSession] = Wheel()
        self._ends: Wheel[ClientSession] = Wheel()
        self._renewing: dict[ClientSession, asyncio.Task[None]] = {}
        self._services = [services.add("expiry", self._run)]
        if gate.refresher is not None:
            self._services.append(services.add("fetching keys", gate.refresher))

    def start(self) -> None:
        """Begin to watch, and to keep the keys of the gate up to date."""
        for service in self._services:
            service.start()

    async def stop(self) -> None:
        """Watch no more."""
        for service in self._services:
            await service.stop()
        tasks = list(self._renewing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def watch(self, session: ClientSession) -> None:
        """Note when a session ends; it is new, or was renewed."""
        ends_at = session.identity.expires_at
        if math.isinf(ends_at):
            self.drop(session)
            return
        if self._gate.renews:
            # The wheel knows whole seconds, and a notice that comes too late is none.
            self._notices.put(session, ends_at - notice_s(ends_at - time.time()) - 1)
        self._ends.put(session, ends_at + self._leeway_s)

    def drop(self, session: ClientSession) -> None:
        """Forget a session; it has ended. Idempotent."""
        self._notices.remove(session)
        self._ends.remove(session)

    def refresh(self, session: ClientSession, frame: RefreshFrame) -> None:
        """Renew a session by the token in a frame, or answer why not; one at a time."""
        if session in self._renewing:
            words = "another token of this session is being looked at; wait for its answer"
            session.send(ErrorFrame("too_many", words, frame.ref))
            return
        task = asyncio.create_task(self._renew(session, frame), name="renew")
        self._renewing[session] = task
        task.add_done_callback(lambda task: self._renewed(session, task))

    async def _renew(self, session: ClientSession, frame: RefreshFrame) -> None:
        try:
            identity = await self._holder_of(frame.token)
            if identity.user != session.user:
                raise Forbidden("token: it is another user's; connect again with it")
            if identity.device not in {None, session.device}:
                raise Forbidden(f"token: it is for the device '{identity.device}'; connect again")
        except SwitchboardError as exc:
            session.send(error_frame(exc, frame.ref))
            return
        if not session.closed:
            session.identity = identity
            self.watch(session)
            session.send(Refreshed(identity.expires_at, frame.ref))

    async def _holder_of(self, token: str) -> Identity:
        # A page that fetches tickets has nothing else to be renewed with.
        if self._tickets is not None and is_ticket(token):
            return await self._tickets.take(token)
        return await self._gate.renew(token)

    def _renewed(self, session: ClientSession, task: "asyncio.Task[None]") -> None:
        del self._renewing[session]
        if not task.cancelled() and task.exception() is not None:
            self._counts.failed("expiry")
            _log.error("a token could not be looked at", exc_info=task.exception())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self._in_slices(self._notices.due(time.time()), self._tell)
            await self._in_slices(self._ends.due(time.time()), self._end)

    async def _in_slices(
        self, sessions: list[ClientSession], act: Callable[[ClientSession], None]
    ) -> None:
        """Many tokens may end in one second; others are not to wait for all of them."""
        for number, session in enumerate(sessions):
            if not session.closed:
                act(session)
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)

    def _tell(self, session: ClientSession) -> None:
        session.send(Expiring(session.identity.expires_at))

    def _end(self, session: ClientSession) -> None:
        session.close(EXPIRED)


def notice_s(life_s: float) -> float:
    """Return how long before its end a client is told that its token ends.

    Args:
        life_s: how long the token counts, from now on.
    """
    return min(_NOTICE_S, max(0.0, life_s) / 4)
