"""The loop of one inbox.

Decode a batch, hand it to whoever holds the sockets, send on what found nobody, then remove it.

What a batch sends on is sent before the batch is removed, and a negative answer leaves only after:
until then a rescuer may still deliver the copy.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from router.codec import (
    Answer,
    DrainEnvelope,
    Envelope,
    KickEnvelope,
    MessageEnvelope,
    ReceiptEnvelope,
    decode_envelope,
)
from router.counts import Counts
from router.deadletters import DeadLetters
from router.errors import DecodeError, SwitchboardError
from router.forwarding import Answered, Copy, Forwarder
from router.keys import Keys
from router.model import EndpointId, UserId
from router.receipts import Receipts
from router.recipient import Nobody, Recipient
from router.seals import Decoder, Seals
from router.settings import InboxSettings
from router.store.connect import Connector
from router.store.inbox import Batch, InboxReader
from router.watching import Arrivals

_log = structlog.get_logger()


@dataclass(slots=True)
class _Dealings:
    """What one batch leaves to be done after its messages were written."""

    bounced: list[Copy] = field(default_factory=list)
    negatives: list[Answered] = field(default_factory=list)


class Receiver:
    """Reads this process's inbox.

    Args:
        connector: opens the inbox's connection.
        keys: key names.
        settings: of the inbox.
        forwarder: sends on what found nobody.
        dead: keeps what cannot be read.
        receipts: takes the answers to senders.
        on_receipts: takes the answers to this process's own sends.
        on_fenced: called when the inbox turns out to be closed.
        counts: of the process; None for its own.
        arrivals: told of the messages that somebody watches; None for nobody.
        seals: looked at on what the inbox holds; None for none.
    """

    def __init__(
        self,
        connector: Connector,
        keys: Keys,
        settings: InboxSettings,
        forwarder: Forwarder,
        dead: DeadLetters,
        receipts: Receipts,
        on_receipts: Callable[[Sequence[int]], None],
        on_fenced: Callable[[], None],
        counts: Counts | None = None,
        arrivals: Arrivals | None = None,
        seals: Seals | None = None,
    ) -> None:
        self._seals = seals or Seals()
        self._decode: Decoder = decode_envelope
        self._arrivals = arrivals
        self._logs = arrivals is not None and arrivals.logs
        self.counts = counts or Counts()
        self._forwarder = forwarder
        self._dead = dead
        self._receipts = receipts
        self._on_receipts = on_receipts
        self._reader = InboxReader(connector, keys, settings, self._batch, on_fenced)
        self._sending_on: set[asyncio.Task[None]] = set()
        self._endpoint = EndpointId("")
        self.recipient: Recipient = Nobody()
        self.on_drain: Callable[[], None] = lambda: None

    async def open(self, endpoint: EndpointId) -> None:
        """Read the inbox of `endpoint` from now on. Raises as `InboxReader.open`."""
        self._endpoint = endpoint
        self._decode = self._seals.decoder(endpoint)
        await self._reader.open(endpoint)

    def restart(self, reason: str) -> None:
        """Read the inbox anew, from its head; what was not dealt with comes again.

        Args:
            reason: for the log.
        """
        self._reader.again(reason)

    async def close(self) -> None:
        """Stop reading; a batch that is not done with stays in the inbox."""
        await self._reader.close()
        for task in self._sending_on:
            task.cancel()
        if self._sending_on:
            await asyncio.wait(self._sending_on)

    def _batch(self, batch: Batch) -> None:
        left = _Dealings()
        self.counts.batch.add(len(batch.entries))
        for position, entry in enumerate(batch.entries):
            try:
                envelope = self._decode(entry)
            except DecodeError as exc:
                self._dead.bury(entry, exc)
                continue
            try:
                self._take(envelope, position >= batch.read_before, left)
            except Exception as exc:  # noqa: BLE001
                # What its reader cannot stand would be read again for ever, and all behind it
                # would wait for ever.
                self._failed(entry, envelope, exc, left)
        self.flush()
        if left.bounced:
            # More than one at a time: after a doubt the batch is read again while the first is
            # still at it; what it says then counts for nothing.
            task = asyncio.create_task(self._send_on_all(batch, left), name="send on")
            self._sending_on.add(task)
            task.add_done_callback(self._sending_on.discard)
        else:
            self._dealt(batch, left)

    def deliver(self, entry: bytes) -> None:
        """Take one envelope that came by another way than the inbox, and keeps nothing."""
        try:
            envelope = decode_envelope(entry)
        except DecodeError as exc:
            self._dead.bury(entry, exc)
            return
        if isinstance(envelope, MessageEnvelope):
            try:
                self._message(envelope)
            except Exception as exc:  # noqa: BLE001
                # The connection it came by brings the messages of all others, too.
                self._dead.bury(entry, exc)

    def flush(self) -> None:
        """Write what the envelopes handed to `deliver` have collected."""
        self.recipient.flush()
        if self._arrivals is not None:
            self._arrivals.written()

    def _message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        self.counts.received += 1
        if type(envelope) is MessageEnvelope and not self._logs:  # nearly all of them
            return self.recipient.message(envelope)
        arrivals = self._arrivals
        if arrivals is None or not arrivals.wanted(envelope):
            return self.recipient.message(envelope)
        began = time.time()
        missed = self.recipient.message(envelope)
        away = {index for index, _ in missed}
        here = [user for i, user in enumerate(envelope.users or ()) if i not in away]
        sessions = sum(len(self.recipient.sessions_of(UserId(user))) for user in here)
        arrivals.taken(envelope, began, sessions)
        return missed

    def _take(self, envelope: Envelope, first: bool, left: _Dealings) -> None:
        if isinstance(envelope, MessageEnvelope):
            missed = self._message(envelope)
            if missed:
                self._sort(envelope, missed, first, left)
        elif type(envelope) is ReceiptEnvelope:
            self._on_receipts(envelope.items)
        elif type(envelope) is KickEnvelope:
            closed = self.recipient.kick(envelope)
            self._receipts.add(envelope.sender, envelope.ref, Answer.KICKED, closed)
        elif type(envelope) is DrainEnvelope and envelope.endpoint == self._endpoint:
            self.on_drain()

    def _failed(self, entry: bytes, envelope: Envelope, error: Exception, left: _Dealings) -> None:
        """Keep an envelope that could not be handled; whoever waits for it hears so."""
        self._dead.bury(entry, error)
        if isinstance(envelope, MessageEnvelope) and envelope.sender:
            left.negatives += [(envelope.sender, ref, Answer.FAILED) for ref in envelope.refs]

    def _sort(
        self,
        envelope: MessageEnvelope,
        missed: Sequence[tuple[int, Answer]],
        first: bool,
        left: _Dealings,
    ) -> None:
        """Part what must be sent on from what can only be answered."""
        refs = envelope.refs
        # Of any copy but the first nobody knows what became of an earlier one.
        sure = first and envelope.hop == 0
        gone = [index for index, answer in missed if answer is Answer.NOT_HERE]
        if gone:
            left.bounced += [Copy(envelope, index, sure) for index in gone]
        if envelope.sender:
            left.negatives += [
                (envelope.sender, refs[index], answer if sure else Answer.UNSURE)
                for index, answer in missed
                if answer is not Answer.NOT_HERE
            ]

    def _dealt(self, batch: Batch, left: _Dealings) -> None:
        negatives = left.negatives
        if not negatives:
            self._reader.dealt(batch)
            return

        def removed(certain: bool) -> None:
            if certain:
                for sender, ref, answer in negatives:
                    self._receipts.add(sender, ref, answer, 0)

        self._reader.dealt(batch, removed)

    # ---- sending on -------------------------------------------------------------------------

    async def _send_on_all(self, batch: Batch, left: _Dealings) -> None:
        """Follow the users that are not here, then deal with the batch as any other."""
        endpoint = self._endpoint
        try:
            alive = self.recipient.sessions_of
            left.negatives += await self._forwarder.send_on_all(left.bounced, endpoint, alive)
        except SwitchboardError as exc:
            # Nothing is lost: the batch is still in the inbox, and is read again.
            self._reader.again(f"could not send on: {exc}")
        except Exception as exc:  # noqa: BLE001 - the edge of a loop
            _log.exception("could not send on")
            self._reader.again(f"could not send on: {exc!r}")
        else:
            self._dealt(batch, left)
