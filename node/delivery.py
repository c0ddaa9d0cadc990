"""A batch of envelopes -> hub -> sockets -> receipts: the hot path of a node.

Nothing here waits or makes a task, and no message is logged.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from msgspec import UNSET, UnsetType

from node.disconnects import KICKED
from node.frames import JSON_PROTOCOL, Codec, Message
from node.hub import Hub
from node.proofs import Proof
from node.recent import RecentWrites
from node.session import ClientSession
from node.sockets import frame
from router.codec import Answer, KickEnvelope, MessageEnvelope
from router.counts import Counts
from router.model import Confirm, Offset, SessionId, UserId
from router.receipts import Receipts
from router.store.clock import StoreClock

_REMEMBERED_WRITES: Final = 65_536
_WRITTEN: Final = int(Confirm.WRITTEN)
_log = structlog.get_logger()


class NodeDelivery:
    """Writes messages to the sessions of this node; see `router.receiving.Recipient`.

    Args:
        hub: the sessions.
        receipts: takes the answers.
        clock: the store's time, for messages that expire.
        catch_up: has a session read its mailbox up to its newest message.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        hub: Hub[ClientSession],
        receipts: Receipts,
        clock: StoreClock,
        catch_up: Callable[[ClientSession], None],
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._hub = hub
        self._receipts = receipts
        self._clock = clock
        self._catch_up = catch_up
        self._recent = RecentWrites(_REMEMBERED_WRITES)
        self._touched: set[ClientSession] = set()
        self._sent_at: list[float] = []  # of what is written with the next flush

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        """See `Recipient.message`."""
        users = envelope.users
        if envelope.expires_ms and self._clock.now_ms() > envelope.expires_ms:
            self.counts.expired += len(users or ())
            return [(index, Answer.EXPIRED) for index in range(len(users or ()))]
        frames = _Frames(envelope)
        if users is None:
            self._to_everybody(envelope, frames)
            return ()
        missed: list[tuple[int, Answer]] = []
        for index, user in enumerate(users):
            sessions = self._hub.get(UserId(user))
            if not sessions:
                missed.append((index, Answer.NOT_HERE))
                continue
            to_user = self._durable_to_user if envelope.offsets else self._to_user
            if not to_user(envelope, index, sessions, frames):
                self.counts.dropped += 1
                missed.append((index, Answer.DROPPED))
        return missed

    def _to_user(
        self,
        envelope: MessageEnvelope,
        index: int,
        sessions: Sequence[ClientSession],
        frames: "_Frames",
    ) -> bool:
        """Write to each session of one user; return whether any took it, now or before."""
        proof = self._proof(envelope, index) if envelope.confirm > _WRITTEN else None
        written = 0
        sender = envelope.origin or envelope.sender
        for session in sessions:
            if not self._recent.add(envelope.origin, envelope.id, session.id):
                self.counts.repeats += 1
            elif not session.put(frames.for_codec(session.codec), sender):
                self._recent.forget(envelope.origin, envelope.id, session.id)
                continue
            written += 1
            self._touched.add(session)
            if proof is not None:  # the next pong proves what was written before, too
                session.expect(proof, envelope.id)
        if not written:
            return False
        self.counts.delivered += 1
        self._sent_at.append(envelope.sent_at)
        if envelope.confirm == _WRITTEN:
            self._receipts.add(envelope.sender, envelope.refs[index], Answer.WRITTEN, written)
        return True

    def _proof(self, envelope: MessageEnvelope, index: int) -> Proof | None:
        if not envelope.sender:
            return None
        ref, confirm = envelope.refs[index], Confirm(envelope.confirm)
        return Proof(self._receipts, envelope.sender, ref, confirm)

    def _durable_to_user(
        self,
        envelope: MessageEnvelope,
        index: int,
        sessions: Sequence[ClientSession],
        frames: "_Frames",
    ) -> bool:
        """Write to each session that has all before it; the others read their mailbox first.

        Returns:
            Whether any session took it, now or before, or will.
        """
        proof = self._proof(envelope, index) if envelope.confirm else None
        offset = Offset.parse(envelope.offsets[index])
        before = Offset.parse(envelope.before[index])
        written = False
        for session in sessions:
            position = session.place.position
            if position is not None and offset <= position:
                self.counts.repeats += 1
                if proof is not None:
                    session.expect(proof, envelope.id, offset)
            elif session.closed:
                continue
            elif position is None or session.place.replaying or before > position:
                self._read_later(session, offset, proof)
            else:
                whole = frames.durable(session.codec, offset)
                if not session.fits(len(whole)):
                    self._read_later(session, offset, proof)
                elif session.put_durable(envelope.id, offset, whole):
                    self._sent_at.append(envelope.sent_at)
                    if proof is not None:
                        session.expect(proof, envelope.id, offset)
                else:
                    continue
            written = True
            self._touched.add(session)
        self.counts.delivered += written
        return written

    def _read_later(self, session: ClientSession, offset: Offset, proof: Proof | None) -> None:
        """Have a session read up to this message from its mailbox, when it is its turn."""
        session.place.note(offset, proof)
        self._catch_up(session)

    def _to_everybody(self, envelope: MessageEnvelope, frames: "_Frames") -> None:
        for session in self._hub:
            if self._recent.add(envelope.origin, envelope.id, session.id):
                if session.put(frames.for_codec(session.codec)):
                    self.counts.delivered += 1
                    self._touched.add(session)

    def flush(self) -> None:
        """See `Recipient.flush`."""
        touched, self._touched = self._touched, set()
        for session in touched:
            try:
                session.flush()
            except Exception:  # noqa: BLE001
                # One broken socket must not hold up the batch: it would be read again for ever.
                self.counts.failed("delivery")
                _log.exception("session could not be written to", session=session.id)
                session.abort()
        if self._sent_at:
            self._time()

    def _time(self) -> None:
        """Note how long what was just written has been under way; one look at the clock for all."""
        sent_at, self._sent_at = self._sent_at, []
        if self.counts.timing:
            self.counts.written_s.add_since(sent_at, time.time())

    def kick(self, envelope: KickEnvelope) -> int:
        """See `Recipient.kick`."""
        closed = 0
        for session in self._hub.get(UserId(envelope.user)):
            if envelope.session in ("", session.id):
                session.close(KICKED, envelope.reason)
                closed += 1
        return closed

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        """See `Recipient.sessions_of`."""
        return [session.id for session in self._hub.get(user)]


class _Frames:
    """The frames of one message, built once for each subprotocol that is really needed."""

    __slots__ = ("_envelope", "_json", "_other")

    def __init__(self, envelope: MessageEnvelope) -> None:
        self._envelope = envelope
        self._json: bytes | None = None
        self._other: bytes | None = None

    def for_codec(self, codec: Codec) -> bytes:
        """Return the frame of the message in one subprotocol."""
        if codec.protocol == JSON_PROTOCOL:
            if self._json is None:
                self._json = self._build(codec)
            return self._json
        if self._other is None:
            self._other = self._build(codec)
        return self._other

    def durable(self, codec: Codec, offset: Offset) -> bytes:
        """Return the frame of the message at one place of one mailbox."""
        return self._build(codec, str(offset))

    def _build(self, codec: Codec, offset: str | UnsetType = UNSET) -> bytes:
        e = self._envelope
        message = Message(
            id=e.id, origin=e.origin, data=codec.value(e.data), sent_at=e.sent_at, offset=offset
        )
        return frame(codec.encode(message), binary=codec.binary)
