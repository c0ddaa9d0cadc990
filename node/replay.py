"""Reading a user's mailbox to a session, until it has everything and can be told the rest live."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from node.frames import Message
from node.session import ClientSession
from node.sockets import frame
from router.codec import StoredMessage
from router.counts import Counts
from router.errors import SwitchboardError
from router.model import Offset
from router.store.clock import StoreClock
from router.store.mailbox import Mailbox

_BATCH: Final = 64
_ROOM_POLL_S: Final = 0.02
_RETRY_S: Final = 1.0
_json: Final = msgspec.json.Decoder(msgspec.Raw)
_log = structlog.get_logger()


class Replays:
    """Brings sessions up to the newest message of their mailbox.

    Guarantees: a session is written its durable messages in the order of their offsets, without a
    hole; reading consumes nothing; a client that reads slowly is waited for.

    Args:
        mailbox: where the messages are.
        clock: the store's time, for messages that expire.
        counts: of the process; None for its own.
    """

    def __init__(self, mailbox: Mailbox, clock: StoreClock, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self._mailbox = mailbox
        self._clock = clock
        self._tasks: dict[ClientSession, asyncio.Task[None]] = {}

    async def stop(self) -> None:
        """Read on for nobody; what a session has not had stays in the mailbox."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def resume(self, sessions: Sequence[ClientSession]) -> None:
        """Find out where new sessions go on.

        Those whose user has no mailbox yet, too: the place of their device is held from now on, or
        it would miss what another device of the user has had by the time it comes back.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        devices = [(session.user, session.device, session.place.asked) for session in sessions]
        found = await self._mailbox.resume(devices)
        for session, resumed in zip(sessions, found, strict=True):
            # Asked twice, when all are registered again meanwhile: it may be further by now.
            if session.place.position is None:
                session.resume(resumed.after, whole=resumed.whole)

    def catch_up(self, session: ClientSession) -> None:
        """Read the mailbox to a session, unless that is under way; returns at once."""
        if session.place.position is None or session.closed or session in self._tasks:
            return  # a session without a position catches up when it has one
        session.place.replaying = True
        task = asyncio.create_task(self._read_all(session), name=f"replay {session.id}")
        self._tasks[session] = task
        task.add_done_callback(lambda done: self._ended(session, done))

    def _ended(self, session: ClientSession, task: asyncio.Task[None]) -> None:
        del self._tasks[session]
        session.place.replaying = False
        if task.cancelled() or session.closed:
            return
        if task.exception() is not None:
            self.counts.failed("replay")
            _log.error("replay failed", session=session.id, exc_info=task.exception())
            session.abort()  # it reads the mailbox again when it returns
        elif session.place.behind():
            self.catch_up(session)  # seen live after the last look at the mailbox

    async def _read_all(self, session: ClientSession) -> None:
        while not session.closed:
            try:
                if await self._read_some(session):
                    return
            except SwitchboardError as exc:
                _log.warning("replay interrupted", session=session.id, error=str(exc))
                await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))

    async def _read_some(self, session: ClientSession) -> bool:
        """Read a batch; return whether it was the last."""
        place = session.place
        assert place.position is not None
        seen = place.newest
        entries = await self._mailbox.read(session.user, place.position, _BATCH)
        for offset, message in entries:
            frames = None if message is None else self._frames(session, offset, message)
            if message is None or frames is None or self._expired(message):
                place.pass_over(offset)
            elif not await self._write(session, offset, message, frames):
                return True
        session.flush()
        if len(entries) == _BATCH:
            return False
        if not entries:
            # What was seen before this look and is not there has been removed meanwhile. What was
            # seen after it is there at the next.
            place.give_up(seen)
        return not place.behind()

    def _frames(
        self, session: ClientSession, offset: Offset, message: StoredMessage
    ) -> bytes | None:
        """Return what is written of a message; None if its data is none that we have stored."""
        codec = session.codec
        try:
            if not codec.binary:  # else it is read anyway
                _json.decode(message.data.decode())
            value = codec.value(message.data)
        except Exception:  # noqa: BLE001 - whatever it is: it must not end every replay of this user
            self.counts.garbage += 1
            return None
        out = Message(
            id=message.id,
            origin=message.origin,
            data=value,
            sent_at=message.sent_at,
            offset=str(offset),
            replay=True,
        )
        return frame(codec.encode(out), binary=codec.binary)

    async def _write(
        self, session: ClientSession, offset: Offset, message: StoredMessage, frames: bytes
    ) -> bool:
        """Write one message when there is room for it; return whether it was written."""
        while not session.fits(len(frames)):
            session.flush()
            await asyncio.sleep(_ROOM_POLL_S)
            if session.closed:
                return False
        self.counts.replayed += 1
        return session.put_durable(message.id, offset, frames)

    def _expired(self, message: StoredMessage) -> bool:
        return bool(message.expires_ms) and self._clock.now_ms() > message.expires_ms
