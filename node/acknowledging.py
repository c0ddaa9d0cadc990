"""Acknowledgements on their way to the mailboxes: collected, and one pipeline for all."""

import asyncio
from typing import Any, Final

import structlog
from hiredis import ReplyError

from router.counts import Counts
from router.model import Offset, UserId
from router.store.answers import NoReply
from router.store.mailbox import Mailbox
from router.store.store import Store

_COLLECT_S: Final = 0.05
_RETRY_S: Final = 1.0
_SLICE: Final = 500
_POLL_S: Final = 0.01
_log = structlog.get_logger()
_Batch = dict[tuple[UserId, str], Offset]


class Acknowledging:
    """Moves the cursors of devices, at most 20 times a second.

    Acknowledgements are cumulative, so of several of one device the last one counts; what the store
    did not take is kept and told again. One that is lost with this process is made up for by the
    device, which is written the message once more.

    Args:
        store: where to tell.
        mailbox: packs the commands.
        counts: of the process; None for its own.
    """

    def __init__(self, store: Store, mailbox: Mailbox, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self._store = store
        self._mailbox = mailbox
        self._waiting: _Batch = {}
        self._under_way = 0
        self._scheduled = False

    def add(self, user: UserId, device: str, offset: Offset) -> None:
        """Note that a device has everything up to `offset`; returns at once."""
        self._keep((user, device), offset)
        self._schedule(_COLLECT_S)

    async def finish(self, deadline_s: float) -> None:
        """Tell the store now, and wait until it has answered, or `deadline_s` has passed."""
        self._flush()
        try:
            async with asyncio.timeout(deadline_s):
                while self._under_way or (self._waiting and self._store.up):
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            pass

    def _keep(self, device: tuple[UserId, str], offset: Offset) -> None:
        known = self._waiting.get(device)
        if known is None or known < offset:
            self._waiting[device] = offset

    def _schedule(self, after_s: float) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(after_s, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._under_way or not self._waiting:
            return
        batch = dict(list(self._waiting.items())[:_SLICE])
        for device in batch:
            del self._waiting[device]
        commands = [self._mailbox.pack_ack(*device, offset) for device, offset in batch.items()]

        def replied(replies: list[Any]) -> None:
            self._under_way = 0
            again = self._refused(batch, replies)
            for device, offset in again.items():
                self._keep(device, offset)
            if self._waiting:
                self._schedule(_RETRY_S if again else _COLLECT_S)

        self._under_way = len(batch)
        self._store.send(commands, replied)

    def _refused(self, batch: _Batch, replies: list[Any]) -> _Batch:
        """Return those of a batch that the store did not take."""
        errors = [reply for reply in replies if type(reply) is ReplyError]
        if errors:
            self.counts.failed("acknowledging")
            _log.warning("acknowledgements were refused", count=len(errors), error=str(errors[0]))
        told = zip(batch.items(), replies, strict=True)
        return dict(item for item, reply in told if type(reply) in (ReplyError, NoReply))
