"""An endpoint's private list: pushing to it, and reading it as its own journal.

Nothing is popped before it is dealt with. The reader peeks (BLMOVE of the head onto the head,
which changes nothing and blocks until there is one), reads the rest of the batch, hands it over,
and only then removes it, by absolute position. After any doubt (a lost reply, a refused trim, a
reconnect) it reads the position again and starts from the head.
Sources: https://redis.io/docs/latest/commands/blmove/ and docs/protocol.md, section 4.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hiredis import ReplyError

from router.keys import Keys
from router.model import EndpointId
from router.settings import InboxSettings
from router.store import scripts
from router.store.connect import Connector, is_full, is_garbage, is_noscript, is_on_its_way
from router.store.link import Link
from router.store.resp import NO_REPLY, Command, pack
from router.store.wire import Done

NOT_OPEN: Final = -1
FULL: Final = -2
# Most envelopes in one push: Lua's unpack() ends at 8,000 values, and a batch is read by 512.
MAX_PUSH: Final = 512
# Most bytes of an envelope beside its data: 500 users of 128 characters, of at most 4 bytes each,
# their numbers, and the header.
ENVELOPE_BYTES: Final = 320 * 1024
_GRACE_S: Final = 5.0
_PEEK_REPLIES: Final = 3  # the head, the rest of the batch, the position
_LOOK_REPLIES: Final = 2  # the batch, the position
_LOOK_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Room:
    """How much an inbox may hold.

    Args:
        max_length: envelopes.
        max_bytes: of the store's memory; looked at only above `unweighed` envelopes.
        unweighed: so many envelopes, each the largest there is, are within `max_bytes`.
    """

    max_length: int
    max_bytes: int
    unweighed: int

    @classmethod
    def of(cls, settings: InboxSettings, max_message_bytes: int) -> "Room":
        """Return what the settings leave: inboxes are mostly short, and weighing is a command."""
        unweighed = settings.max_bytes // (max_message_bytes + ENVELOPE_BYTES)
        return cls(settings.max_length, settings.max_bytes, unweighed)


def pack_push(
    keys: Keys,
    endpoint: EndpointId,
    room: Room,
    envelopes: Sequence[bytes],
    *,
    whole: bool = False,
) -> Command:
    """Return the packed command that pushes envelopes to one endpoint.

    Its reply is the inbox's new length, `NOT_OPEN` or `FULL`; all of them are pushed, in order, or
    none.

    Args:
        keys: key names.
        endpoint: whose inbox.
        room: how much it may hold afterwards.
        envelopes: encoded, at most `MAX_PUSH`.
        whole: bring the script along; see `Script.pack_whole`.
    """
    names = (keys.open(endpoint), keys.inbox(endpoint))
    packed = scripts.PUSH.pack_whole if whole else scripts.PUSH.pack
    return packed(names, room.max_length, room.max_bytes, room.unweighed, *envelopes)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries read from the head of an inbox, to be given back with `InboxReader.dealt`.

    Args:
        entries: as they lie in the list, head first.
        read_before: how many of the first were already handed out once, before a doubt. What
            became of them then is not known, so nothing may be called `offline` for them.
        position: absolute position of the first.
        reading: which start of the reader this belongs to.
    """

    entries: list[bytes]
    read_before: int
    position: int
    reading: int


def _position(done: Any) -> int | None:
    """Return the position that the store holds; None for what is none."""
    if done is None:
        return 0
    return int(done) if isinstance(done, bytes) and done.isdigit() and len(done) < 16 else None


class InboxReader:
    """Reads one endpoint's inbox, one batch at a time, each one round trip.

    Guarantees: entries come in the order in which they were pushed; an entry is removed only after
    `dealt`; entries that were handed out and not removed come again after a reconnect.

    Args:
        connector: opens the reader's own connection.
        keys: key names.
        settings: batch length and how long a peek blocks.
        on_batch: takes a batch; the next one comes only after `dealt`.
        on_fenced: called when a trim was refused, perhaps because the endpoint may not receive.
    """

    def __init__(
        self,
        connector: Connector,
        keys: Keys,
        settings: InboxSettings,
        on_batch: Callable[[Batch], None],
        on_fenced: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._block_s = settings.block_s
        self._batch_length = settings.batch  # the head, and up to batch - 1 behind it
        self._on_batch = on_batch
        self._on_fenced = on_fenced
        self._endpoint: EndpointId | None = None
        self._opened = False
        self._position = 0
        self._high = 0
        self._reading = 0
        self._peek = b""
        self._look = b""
        self._trim_keys: tuple[str, ...] = ()
        self._again: asyncio.TimerHandle | None = None
        self._link = Link(
            connector.towards(self._inbox),
            "inbox",
            on_up=self._start,
            reply_timeout_s=settings.block_s + _GRACE_S,
        )

    async def open(self, endpoint: EndpointId) -> None:
        """Read the inbox of `endpoint` from now on; a later call changes to another one.

        Raises:
            Unavailable, StoreRefused: the first connection failed.
        """
        self._endpoint = endpoint
        self._high = 0
        inbox = self._keys.inbox(endpoint)
        self._peek = pack("BLMOVE", inbox, inbox, "LEFT", "LEFT", self._block_s)
        self._peek += pack("LRANGE", inbox, 1, self._batch_length - 1)
        self._peek += pack("GET", self._keys.done(endpoint))
        self._look = pack("LRANGE", inbox, 0, self._batch_length - 1)
        self._look += pack("GET", self._keys.done(endpoint))
        self._trim_keys = (self._keys.open(endpoint), inbox, self._keys.done(endpoint))
        if self._opened:
            self._link.abort(f"reading {endpoint} from now on")
        else:
            await self._link.open()
            self._opened = True

    def _inbox(self) -> str:
        assert self._endpoint is not None
        return self._keys.inbox(self._endpoint)

    async def close(self) -> None:
        """Stop reading; what was not dealt with stays in the inbox."""
        self._reading += 1
        if self._again is not None:
            self._again.cancel()
        await self._link.close()

    def dealt(self, batch: Batch, then: Callable[[bool], None] | None = None) -> None:
        """Remove a batch that was dealt with, and read on.

        Args:
            batch: the one handed to `on_batch`.
            then: called with whether the batch is known to be removed; before that, a rescuer may
                still deliver its copies, so negative answers wait for it. None when nobody needs
                to know: the reply is not asked for then, which saves both sides a wake-up. That
                the trim was made shows in the position that comes with the next batch.
        """
        if batch.reading != self._reading or not self._link.up:
            if then is not None:
                then(False)
            return
        length = len(batch.entries)
        self._position += length
        trim = scripts.TRIM.pack(self._trim_keys, batch.position, length).packed
        if then is None:
            trim = NO_REPLY + trim
        else:
            self._link.expect(1, self._trimmed(batch, then))
        self._link.send(trim + self._peek, _PEEK_REPLIES, self._peeked)

    def _trimmed(self, batch: Batch, then: Callable[[bool], None]) -> Done:
        def trimmed(replies: list[Any] | None) -> None:
            removed = replies is not None and replies[0] == 1
            then(removed and batch.reading == self._reading)
            if replies is not None and not removed:
                self._refused(replies[0])

        return trimmed

    def again(self, reason: str) -> None:
        """Give the batch under way up: it stays in the inbox and is read again.

        Args:
            reason: for the log.
        """
        self._link.abort(reason)

    def _start(self) -> None:
        """Find out where the head is; the connection is new, so nothing else is known."""
        self._reading += 1
        assert self._endpoint is not None
        ask = pack("GET", self._keys.done(self._endpoint))
        self._link.send(ask, 1, self._positioned)

    def _positioned(self, replies: list[Any] | None) -> None:
        if replies is None:
            return
        position = _position(replies[0])
        if position is None:
            self._on_fenced()  # the heartbeat mends what is none of ours
            self._link.abort(f"the inbox's position cannot be read: {replies[0]!r}")
            return
        self._position = position
        self._link.send(self._peek, _PEEK_REPLIES, self._peeked)

    def _peeked(self, replies: list[Any] | None) -> None:
        if replies is None:
            return
        head, rest, done = replies
        if is_full(head):
            # A full store refuses BLMOVE, though it would add nothing. If inboxes are what fills
            # it, waiting for room would be waiting for ever.
            self._link.send(self._look, _LOOK_REPLIES, self._looked)
        elif not self._as_expected(replies, done):
            return
        elif head is None:
            # Time ran out. The range is thrown away: what was pushed between the two commands has
            # a head that was not read.
            self._link.send(self._peek, _PEEK_REPLIES, self._peeked)
        else:
            self._hand_over([head, *rest])

    def _looked(self, replies: list[Any] | None) -> None:
        """Take what a full store shows; with nothing there, ask again a little later."""
        if replies is None:
            return
        entries, done = replies
        if not self._as_expected(replies, done):
            return
        if entries:
            self._hand_over(entries)
        else:
            self._peek_later()

    def _peek_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(_LOOK_AGAIN_S, self._peek_again, self._reading)

    def _peek_again(self, reading: int) -> None:
        if reading == self._reading:
            self._link.send(self._peek, _PEEK_REPLIES, self._peeked)

    def _as_expected(self, replies: list[Any], done: Any) -> bool:
        """Say whether what was read can be used; if not, start again on a new connection."""
        error = next((reply for reply in replies if type(reply) is ReplyError), None)
        if is_on_its_way(error):
            self._peek_later()  # until the other server has it all, and we are told to go there
        elif error is not None:
            if is_garbage(error):
                self._on_fenced()  # the heartbeat mends it
            self._link.abort(f"the inbox cannot be read: {error}")
        elif _position(done) != self._position:
            # A trim was refused, or one of an earlier connection ran late.
            self._on_fenced()
            self._link.abort(f"the inbox is at {done}, not at {self._position}")
        else:
            return True
        return False

    def _hand_over(self, entries: list[bytes]) -> None:
        read_before = min(len(entries), max(0, self._high - self._position))
        self._high = max(self._high, self._position + len(entries))
        self._on_batch(Batch(entries, read_before, self._position, self._reading))

    def _refused(self, reply: Any) -> None:
        if is_noscript(reply):
            reason = "the scripts are gone"  # a new connection loads them
        elif reply == -1:
            reason = "the endpoint is fenced"
            self._on_fenced()
        else:
            reason = f"a trim was refused: {reply}"
        self._link.abort(reason)
