"""The loop of one inbox.

Decode a batch, hand it to whoever holds the sockets, send on what found nobody, then remove it.

What a batch sends on is sent before the batch is removed, and a negative answer leaves only after:
until then a rescuer may still deliver the copy.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
import structlog

from router.codec import (
    MAX_HOPS,
    Answer,
    Envelope,
    KickEnvelope,
    MessageEnvelope,
    ReceiptEnvelope,
    decode_envelope,
    encode,
)
from router.errors import DecodeError, SwitchboardError
from router.keys import Keys
from router.model import EndpointId, SessionId, UserId
from router.receipts import Receipts
from router.settings import InboxSettings
from router.store.connect import Connector
from router.store.inbox import Batch, InboxReader
from router.store.link import Link
from router.store.registry import Registry
from router.store.resp import pack
from router.transport.outbox import Outbox, Push

_DEAD_LETTERS: Final = 1_000
_LOG_EVERY_S: Final = 60.0
_log = structlog.get_logger()


class Recipient(Protocol):
    """Whoever holds sockets: what a receiver hands its messages to."""

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        """Write a message to the sessions of its users here.

        Good news it answers by itself. Repeats of what a session was written before are dropped.

        Returns:
            For each user it was not written for: the index in `envelope.users`, and NOT_HERE,
            DROPPED or EXPIRED.
        """

    def kick(self, envelope: KickEnvelope) -> int:
        """Close sessions; return how many."""

    def flush(self) -> None:
        """Write what the batch's messages have collected for each socket."""

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        """Return the user's sessions here that are alive."""


class Nobody:
    """A recipient without sockets: a process that only sends."""

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        """Find nobody."""
        return [(index, Answer.NOT_HERE) for index in range(len(envelope.users or ()))]

    def kick(self, envelope: KickEnvelope) -> int:
        """Close nothing."""
        return 0

    def flush(self) -> None:
        """Write nothing."""

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        """Know nobody."""
        return ()


@dataclass(slots=True)
class _Dealings:
    """What one batch leaves to be done after its messages were written."""

    bounced: list[tuple[MessageEnvelope, list[int], bool]] = field(default_factory=list)
    negatives: list[tuple[str, int, Answer]] = field(default_factory=list)


class Receiver:
    """Reads this process's inbox.

    Args:
        connector: opens the inbox's connection.
        link: for look-ups of what is sent on, and dead letters.
        keys: key names.
        settings: of the inbox.
        registry: where users are.
        outbox: pushes what is sent on.
        receipts: takes the answers to senders.
        on_receipts: takes the answers to this process's own sends.
        on_fenced: called when the inbox turns out to be closed.
    """

    def __init__(
        self,
        connector: Connector,
        link: Link,
        keys: Keys,
        settings: InboxSettings,
        registry: Registry,
        outbox: Outbox,
        receipts: Receipts,
        on_receipts: Callable[[Sequence[int]], None],
        on_fenced: Callable[[], None],
    ) -> None:
        self._link = link
        self._keys = keys
        self._registry = registry
        self._outbox = outbox
        self._receipts = receipts
        self._on_receipts = on_receipts
        self._reader = InboxReader(connector, keys, settings, self._batch, on_fenced)
        self._sending_on: asyncio.Task[None] | None = None
        self._endpoint = EndpointId("")
        self._logged_at = float("-inf")
        self.recipient: Recipient = Nobody()
        self.received = 0
        self.dead_letters = 0
        self.sent_on = 0

    async def open(self, endpoint: EndpointId) -> None:
        """Read the inbox of `endpoint` from now on. Raises as `InboxReader.open`."""
        self._endpoint = endpoint
        await self._reader.open(endpoint)

    async def close(self) -> None:
        """Stop reading; a batch that is not done with stays in the inbox."""
        await self._reader.close()
        if self._sending_on is not None:
            self._sending_on.cancel()
            await asyncio.wait([self._sending_on])

    def _batch(self, batch: Batch) -> None:
        left = _Dealings()
        for position, entry in enumerate(batch.entries):
            try:
                envelope = decode_envelope(entry)
            except DecodeError as exc:
                self._bury(entry, exc)
                continue
            try:
                self._take(envelope, position >= batch.read_before, left)
            except Exception as exc:  # noqa: BLE001
                # What its reader cannot stand would be read again for ever, and all behind it
                # would wait for ever.
                self._failed(entry, envelope, exc, left)
        self.recipient.flush()
        if left.bounced:
            self._sending_on = asyncio.create_task(self._send_on_all(batch, left), name="send on")
        else:
            self._dealt(batch, left)

    def deliver(self, entry: bytes) -> None:
        """Take one envelope that came by another way than the inbox, and keeps nothing."""
        try:
            envelope = decode_envelope(entry)
        except DecodeError as exc:
            self._bury(entry, exc)
            return
        if type(envelope) is MessageEnvelope:
            self.received += 1
            self.recipient.message(envelope)

    def flush(self) -> None:
        """Write what the envelopes handed to `deliver` have collected."""
        self.recipient.flush()

    def _take(self, envelope: Envelope, first: bool, left: _Dealings) -> None:
        if type(envelope) is MessageEnvelope:
            self.received += 1
            missed = self.recipient.message(envelope)
            if missed:
                self._sort(envelope, missed, first, left)
        elif type(envelope) is ReceiptEnvelope:
            self._on_receipts(envelope.items)
        elif type(envelope) is KickEnvelope:
            closed = self.recipient.kick(envelope)
            self._receipts.add(envelope.sender, envelope.ref, Answer.KICKED, closed)

    def _failed(self, entry: bytes, envelope: Envelope, error: Exception, left: _Dealings) -> None:
        """Keep an envelope that could not be handled; whoever waits for it hears so."""
        self._bury(entry, error)
        if type(envelope) is MessageEnvelope and envelope.sender:
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
        gone = [index for index, answer in missed if answer is Answer.NOT_HERE]
        if gone:
            left.bounced.append((envelope, gone, first and envelope.hop == 0))
        if envelope.sender:
            left.negatives += [
                (envelope.sender, refs[index], answer)
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
        try:
            for envelope, gone, sure in left.bounced:
                for index in gone:
                    answer = await self._send_on(envelope, index, sure)
                    if answer is not None and envelope.sender:
                        left.negatives.append((envelope.sender, envelope.refs[index], answer))
        except SwitchboardError as exc:
            # Nothing is lost: the batch is still in the inbox, and is read again.
            self._reader.again(f"could not send on: {exc}")
        except Exception as exc:  # noqa: BLE001 - the edge of a loop
            _log.exception("could not send on")
            self._reader.again(f"could not send on: {exc!r}")
        else:
            self._dealt(batch, left)

    async def _send_on(self, envelope: MessageEnvelope, index: int, sure: bool) -> Answer | None:
        """Send one user's copy through the registry again.

        Returns:
            What to tell the sender once the batch is removed; None when the copy is on its way.

        Raises:
            SwitchboardError: the store went away in the middle.
        """
        assert envelope.users is not None
        user = UserId(envelope.users[index])
        closed = self._endpoint
        for _ in range(MAX_HOPS):
            keep = self.recipient.sessions_of(user) if closed == self._endpoint else ()
            routes = await self._registry.forget(user, closed, keep)
            if not routes.endpoints:
                return Answer.NOT_HERE if sure else Answer.UNSURE
            if envelope.hop >= MAX_HOPS:
                return Answer.UNSURE
            sure = False
            onward = msgspec.structs.replace(
                envelope,
                hop=envelope.hop + 1,
                users=[user],
                refs=envelope.refs[index : index + 1],
            )
            results = await self._push_to(routes.endpoints, encode(onward))
            if Push.PUSHED in results:
                self.sent_on += 1
                return None
            if Push.NOT_OPEN not in results:
                return Answer.UNSURE  # full: the sender is told, nothing waits here
            closed = routes.endpoints[results.index(Push.NOT_OPEN)]
        return Answer.UNSURE

    async def _push_to(self, endpoints: Sequence[EndpointId], envelope: bytes) -> list[Push]:
        """Push one envelope to each endpoint; raise SwitchboardError when no reply came."""
        futures = [self._outbox.post(endpoint, envelope) for endpoint in endpoints]
        results = [await future for future in futures]
        if Push.LOST in results or Push.UNSENT in results:
            raise SwitchboardError("the store was lost while a message was sent on")
        return results

    # ---- what cannot be read ----------------------------------------------------------------

    def _bury(self, entry: bytes, error: Exception) -> None:
        """Keep what cannot be used for inspection, capped, and go on."""
        self.dead_letters += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.warning(
                "inbox entry cannot be used; kept as a dead letter",
                key=self._keys.dead,
                total=self.dead_letters,
                error=str(error),
                exc_info=None if isinstance(error, DecodeError) else error,
            )
        data = pack("RPUSH", self._keys.dead, entry[:65_536])
        data += pack("LTRIM", self._keys.dead, -_DEAD_LETTERS, -1)
        self._link.send(data, 2, _ignore)


def _ignore(_: list[Any] | None) -> None:
    """A dead letter that cannot be stored is counted and logged; more cannot be done."""
