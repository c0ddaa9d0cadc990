"""A user's durable messages: a stream, and how far each device has acknowledged it.

Guarantees: storing a message and looking its user up are one step; offsets rise; a message stays
until every device of the user has acknowledged it, or its time is up; reading consumes nothing, so
it can be repeated. Source: https://redis.io/docs/latest/develop/data-types/streams/
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.codec import StoredMessage
from router.errors import DecodeError
from router.keys import Keys
from router.model import MessageId, Offset, UserId
from router.seals import Seals
from router.settings import MailboxSettings
from router.store import scripts
from router.store.resp import Command, id_of
from router.store.store import Store


@dataclass(frozen=True, slots=True)
class Deposit:
    """What became of a message that was looked up with `Mailbox.pack_lookup`.

    Args:
        offset: where it is stored; None when it was not to be stored, or was not.
        before: the place of the message before it.
        first: the id of the earlier message with the same idempotency key; None if there is none.
        full: why the mailbox took no more, "" when it did.
    """

    offset: Offset | None = None
    before: Offset | None = None
    first: MessageId | None = None
    full: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a device goes on reading.

    Args:
        after: the offset behind which its messages begin.
        whole: whether everything behind what it asked for can still be read.
        newest: the newest offset in the mailbox.
    """

    after: Offset
    whole: bool
    newest: Offset


class Mailbox:
    """The mailboxes of all users.

    Args:
        store: where to ask.
        keys: key names.
        settings: how much is kept, and for how long.
        seals: on what is stored; None for none.
    """

    def __init__(
        self, store: Store, keys: Keys, settings: MailboxSettings, seals: Seals | None = None
    ) -> None:
        self._written = (seals or Seals()).writer()
        self._reader = (seals or Seals()).reader
        self._store = store
        self._keys = keys
        self._settings = settings
        self.min_replicas = settings.min_replicas
        self._ttl_ms = round(settings.ttl_s * 1000)
        self._key_ttl_ms = round(settings.key_ttl_s * 1000)

    def pack_lookup(
        self, user: UserId, message: StoredMessage, *, durable: bool, key: str | None, again: bool
    ) -> Command:
        """Return the packed command that looks a user up, and stores a message in the same step.

        Args:
            user: whom it is for.
            message: what to store.
            durable: whether to store it, or only to look at `key`.
            key: its idempotency key, `origin key`; None for none.
            again: it may have run before: look whether the message is stored already.
        """
        k, s = self._keys, self._settings
        keys: tuple[str, ...] = (k.routes(user), k.mail(user), k.cursors(user))
        if key is not None:
            keys += (k.key(user, key),)
        name = f"{message.origin} {message.id}"  # no user id has a space in it
        stored = self._written(user, message) if durable else b""
        limits = (s.max_length, s.max_bytes, self._ttl_ms, self._key_ttl_ms)
        return scripts.LOOKUP.pack(keys, message.id, name, stored, *limits, int(again))

    def pack_release(self, user: UserId, key: str, message: str) -> Command:
        """Return the packed command that forgets an idempotency key, if it is this message's."""
        return scripts.RELEASE.pack((self._keys.key(user, key),), message)

    async def resume(self, devices: Sequence[tuple[UserId, str, Offset | None]]) -> list[Resumed]:
        """Find out where devices go on reading; from then on nothing behind it is removed.

        Args:
            devices: user, device, and the offset it asks to go on after; None for its cursor.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        if not devices:
            return []
        k, most = self._keys, self._settings.max_devices
        replies = await self._store.answers(
            [
                scripts.RESUME.pack(
                    (k.cursors(user), k.mail(user)), device, str(since or ""), self._ttl_ms, most
                )
                for user, device, since in devices
            ]
        )
        return [
            Resumed(_offset(after), whole == 1, _offset(newest)) for after, whole, newest in replies
        ]

    async def read(
        self, user: UserId, after: Offset, count: int
    ) -> list[tuple[Offset, StoredMessage | None]]:
        """Return the next messages behind an offset, oldest first; [] at the end.

        An entry that is not of ours is None: its place is to be passed over.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        mail = self._keys.mail(user)
        entries = await self._store.command("XRANGE", mail, f"({after}", "+", "COUNT", count)
        decode = self._reader(user)
        found = [(_offset(offset), parse_stored(decode, fields)) for offset, fields in entries]
        self._store.counts.garbage += sum(1 for _, message in found if message is None)
        return found

    def pack_ack(self, user: UserId, device: str, offset: Offset) -> Command:
        """Return the packed command by which a device acknowledges all up to `offset`."""
        keys = (self._keys.cursors(user), self._keys.mail(user))
        return scripts.ACK.pack(keys, device, str(offset), self._ttl_ms)

    async def length(self, user: UserId) -> int:
        """Return how many durable messages are stored for a user."""
        return int(await self._store.command("XLEN", self._keys.mail(user)))


def parse_deposit(reply: Sequence[Any]) -> Deposit:
    """Return what the reply to `Mailbox.pack_lookup`, its route fields aside, says."""
    status, one, other = reply[:3]
    if status == b"duplicate":
        return Deposit(first=MessageId(id_of(one) or "unreadable"))
    if status == b"full":
        return Deposit(full=f"the mailbox holds {one} messages of {other} bytes")
    return Deposit(_offset(one), _offset(other)) if one else Deposit()


def parse_stored(
    decode: Callable[[bytes], StoredMessage], fields: Sequence[bytes]
) -> StoredMessage | None:
    """Return the message in the fields of a mailbox entry; None if it is none of ours."""
    try:
        return decode(dict(zip(fields[::2], fields[1::2], strict=True))[b"message"])
    except (DecodeError, KeyError, ValueError):
        return None


def parse_newest(reply: bytes | None) -> Offset | None:
    """Return the newest offset that the reply of register.lua names; None without a mailbox."""
    return None if reply is None else _offset(reply)


def _offset(raw: bytes) -> Offset:
    ms, _, seq = raw.partition(b"-")
    return Offset(int(ms), int(seq))
