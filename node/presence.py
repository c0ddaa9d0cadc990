"""Keeps the registry's picture of this node's sessions right: arriving, leaving, healing."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from node.disconnects import TRY_ANOTHER
from node.frames import OutFrame
from node.hub import Hub
from node.replay import Replays
from node.rounds import Rounds
from node.session import ClientSession
from router.errors import SwitchboardError
from router.member import Member
from router.model import START, EndpointId, UserId

_SLICE: Final = 500
_TICK_S: Final = 1.0
_AGAIN_S: Final = 0.05
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_MAX_GHOSTS: Final = 100_000
_DOUBTED_S: Final = 60.0  # so long ago a store that is back may not have lost what it had done
_log = structlog.get_logger()


class Presence:
    """Registers sessions, refreshes them in slices, and removes them by name.

    Args:
        member: this process's part of the cluster.
        hub: the sessions.
        replays: brings sessions up to the newest message of their mailbox.
        welcome: makes the first frame of a session.
        refresh_s: within how long every session is registered once more.
        check_s: within how long every client is pinged once.
    """

    def __init__(
        self,
        member: Member,
        hub: Hub[ClientSession],
        replays: Replays,
        welcome: Callable[[ClientSession], OutFrame],
        *,
        refresh_s: float,
        check_s: float,
    ) -> None:
        self._member = member
        self.counts = member.counts
        self._hub = hub
        self._replays = replays
        self._welcome = welcome
        self._to_refresh: Rounds[ClientSession] = Rounds(refresh_s)
        self._to_check: Rounds[ClientSession] = Rounds(check_s)
        self._tasks: set[asyncio.Task[None]] = set()
        # Routes that are wrong by now: of sessions that left while the store was away, and of open
        # ones under an epoch that has ended. They are removed when all is registered again.
        self._ghosts: set[tuple[ClientSession, EndpointId]] = set()
        # Routes that were removed lately, and when. A store that comes back with another master, or
        # from its file, may have lost the last of that, so they are removed once more then.
        self._removed: deque[tuple[float, ClientSession, EndpointId]] = deque(maxlen=_MAX_GHOSTS)
        self._sweeper = member.services.add("sweep", self._sweep_forever)
        self._again: asyncio.Task[bool] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._pause_s = _FIRST_PAUSE_S

    def start(self) -> None:
        """Begin to refresh and to ping."""
        self._sweeper.start()

    async def stop(self, deadline_s: float) -> None:
        """Stop refreshing; let what is under way finish: the last goodbyes.

        A goodbye that the store did not answer is said again: once the endpoint is closed in order,
        nobody would remove the route.

        Args:
            deadline_s: how long that may take, seconds.
        """
        await self._sweeper.stop()
        again, self._again = self._again, None
        if self._retry is not None:
            self._retry.cancel()
        if again is not None:
            again.cancel()
            await asyncio.wait([again])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                if self._tasks:
                    await asyncio.wait(self._tasks)
                while self._ghosts:
                    if self._member.store.up:
                        await self._remove_ghosts()
                    await asyncio.sleep(_AGAIN_S)

    def arrive(self, session: ClientSession) -> None:
        """Take a new session in and register it; it is welcomed when that has succeeded."""
        self._hub.add(session)
        self.counts.opened += 1
        self._to_refresh.join(session)
        self._to_check.join(session)
        self._spawn(self._register(session))

    def leave(self, session: ClientSession) -> None:
        """Let a session go and remove its route; safe at any moment, also while it registers."""
        if not self._hub.remove(session):
            return
        self.counts.closed[session.closed_with] += 1
        if session.attached is not None:
            self._spawn(self._unregister(session, session.attached))

    def store_back(self) -> None:
        """Register every session again, and remove once more what was removed lately."""
        for _, session, endpoint in self._removed:
            self._haunt(session, endpoint)
        self._removed.clear()
        self.register_all()

    def register_all(self, then: Callable[[], None] = lambda: None) -> None:
        """Register every session again, under a new epoch for example, until that has succeeded.

        Args:
            then: called when the first try has ended, well or not.
        """
        if self._retry is not None:
            self._retry.cancel()
        if self._again is not None and not self._again.done():
            self._again.cancel()
        self._again = asyncio.create_task(self._register_again(), name="register again")
        self._again.add_done_callback(lambda task: self._registered_again(task, then))

    def _registered_again(self, task: asyncio.Task[bool], then: Callable[[], None]) -> None:
        then()
        if task is not self._again or task.cancelled():
            return  # it has begun anew, or we stop
        if task.exception() is not None:
            self.counts.failed("presence")
            _log.error("registering again failed", exc_info=task.exception())
        elif task.result():
            self._pause_s = _FIRST_PAUSE_S
            return
        # One master of several may be away, or its replica not be a master yet: nobody tells when
        # that is over, and a sweep takes a minute.
        pause_s = self._pause_s * random.uniform(0.5, 1)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._retry = asyncio.get_running_loop().call_later(pause_s, self.register_all)

    # ---- one session ------------------------------------------------------------------------

    async def _register(self, session: ClientSession) -> None:
        try:
            await self._attach([session])
        except SwitchboardError as exc:
            self.counts.failed("presence")
            _log.warning("session could not be registered", session=session.id, error=str(exc))
            session.close(TRY_ANOTHER, after_ms=random.randint(500, 3_000))

    async def _attach(self, sessions: Sequence[ClientSession]) -> bool:
        """Register sessions; those that closed meanwhile are removed again.

        Returns:
            False when the endpoint turned out to be fenced: the next epoch registers them.
        """
        endpoint = self._member.endpoint.id
        if endpoint is None:
            return False
        for session in sessions:
            if session.attached not in (None, endpoint):
                self._haunt(session, session.attached)
            session.attached = endpoint
        entries = [(session.user, session.entry(endpoint)) for session in sessions]
        self.counts.registered += len(entries)
        registered = await self._member.transport.attach(entries)
        if not registered:
            self._member.endpoint.check_now()
            return False
        newest = dict(zip(sessions, registered.newest, strict=True))
        await self._replays.resume([s for s in sessions if s.place.position is None])
        for session in sessions:
            if session.closed:
                await self._unregister(session, endpoint)
                continue
            if not session.welcomed:
                session.welcome(self._welcome(session))
            # Noted first: a replay that is under way may have looked at the end already.
            session.place.note(newest[session] or START, None)
            if session.place.behind():
                self._replays.catch_up(session)
        return True

    async def _unregister(self, session: ClientSession, endpoint: EndpointId) -> None:
        last_here = endpoint != self._member.endpoint.id or not self._hub.get(session.user)
        try:
            await self._member.transport.detach(
                UserId(session.user), endpoint, session.id, last_here=last_here
            )
        except SwitchboardError:
            self._haunt(session, endpoint)
        else:
            self.counts.unregistered += 1
            self._ghosts.discard((session, endpoint))
            self._removed.append((asyncio.get_running_loop().time(), session, endpoint))

    def _haunt(self, session: ClientSession, endpoint: EndpointId) -> None:
        if len(self._ghosts) < _MAX_GHOSTS:
            self._ghosts.add((session, endpoint))

    # ---- all of them ------------------------------------------------------------------------

    async def _register_again(self) -> bool:
        """Register every open session, in slices, then remove the routes that are wrong by now.

        Returns:
            False when it gave up at a slice.
        """
        sessions = list(self._hub)
        for first in range(0, len(sessions), _SLICE):
            part = [s for s in sessions[first : first + _SLICE] if not s.closed]
            if not await self._attach_patiently(part):
                return False
            await asyncio.sleep(random.uniform(0, 0.05))
        await self._remove_ghosts()
        return True

    async def _remove_ghosts(self) -> None:
        ghosts = list(self._ghosts)
        for first in range(0, len(ghosts), _SLICE):
            await asyncio.gather(*(self._unregister(*g) for g in ghosts[first : first + _SLICE]))

    async def _refresh(self, sessions: Sequence[ClientSession]) -> None:
        """Refresh a slice; what is not as it should be is registered again."""
        endpoint = self._member.endpoint.id
        if endpoint is None:
            return
        known = [s for s in sessions if s.attached == endpoint and s.welcomed]
        try:
            fine = await self._member.registry.refresh(
                [(session.user, session.entry(endpoint)) for session in known]
            )
        except SwitchboardError as exc:
            self.counts.failed("presence")
            _log.warning("sessions could not be refreshed", count=len(known), error=str(exc))
            return
        done = {session for session, well in zip(known, fine, strict=True) if well}
        self.counts.registered += len(done)
        again = [session for session in sessions if session not in done and not session.closed]
        if again:
            await self._attach_patiently(again)

    async def _attach_patiently(self, sessions: Sequence[ClientSession]) -> bool:
        """Register a slice; False when a later epoch or a later return of the store must do it."""
        try:
            return await self._attach(sessions)
        except SwitchboardError as exc:
            self.counts.failed("presence")
            _log.warning("sessions could not be registered", count=len(sessions), error=str(exc))
            return False

    async def _sweep_forever(self) -> None:
        """Each second a slice: refresh TTLs, heal what the registry lost, ping quiet clients."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(_TICK_S * random.uniform(0.8, 1.2))
            now = loop.time()
            passed_s, last = now - last, now
            try:
                for session in self._to_check.due(passed_s):
                    session.check()
                due = self._to_refresh.due(passed_s)
                for first in range(0, len(due), _SLICE):
                    await self._refresh(due[first : first + _SLICE])
                if self._member.store.up:
                    await self._remove_ghosts()
                    self._forget(now - _DOUBTED_S)
            except Exception:  # noqa: BLE001
                # The edge of the loop: without it, every session here would fade after the TTL.
                self.counts.failed("presence")
                _log.exception("sweep failed")

    def _forget(self, before: float) -> None:
        while self._removed and self._removed[0][0] < before:
            self._removed.popleft()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.counts.failed("presence")
            _log.error("registering failed", exc_info=task.exception())
