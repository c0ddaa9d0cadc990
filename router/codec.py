"""Envelope <-> msgpack: what lies in an inbox.

An entry is one msgpack array whose first element is a small integer, version * 16 + kind. Decoding
checks the length first and then every type and arity in one pass (msgspec reads into the declared
types and stops at the first byte that does not fit, so hostile nesting costs nothing).

What lies in Redis may be read by a node of the version before or after: a change of a field is a
new version, and version N reads N-1. Who does not know a version can do nothing with it, so a new
one is first only read, by one release, and written by the next (docs/operations.md). Leases and
routes have no version: fields are only ever put behind those that are there.
"""

from enum import IntEnum
from ipaddress import IPv4Address
from typing import Annotated, Final

import msgspec

from router.errors import DecodeError
from router.model import DEFAULT_DEVICE, Confirm
from router.trace import TRACEPARENT, Trace
from router.vitals import UNKNOWN, Vitals

VERSION: Final = 1
# A data value has its own, smaller limit; this one keeps a hostile entry from costing memory.
MAX_ENVELOPE_BYTES: Final = 16 * 1024 * 1024
MAX_USERS_PER_ENVELOPE: Final = 500
MAX_HOPS: Final = 3
MAX_RECEIPT_ITEMS: Final = 3 * 4_096


class Answer(IntEnum):
    """What a receipt says of one copy of a message; the sender makes outcomes of it."""

    WRITTEN = 1
    DELIVERED = 2
    DROPPED = 3  # every session of the user was too slow or closing
    EXPIRED = 4
    NOT_HERE = 5  # this copy was the first and only one, and it found no session
    CLOSED = 6  # written, but the socket closed before it proved anything
    UNSURE = 7  # a copy that was sent on, or read twice: nobody can say what became of the others
    KICKED = 8  # the answer to a KickEnvelope: how many sessions were closed
    FAILED = 9  # its node could not handle it; it may have reached some sessions
    ACKED = 10  # a client's application acknowledged it


_Id = Annotated[str, msgspec.Meta(max_length=128)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,16}$")]
_Rate = Annotated[float, msgspec.Meta(ge=0, le=1e12)]  # which no NaN is
_Offset = Annotated[str, msgspec.Meta(pattern=r"^\d{1,20}-\d{1,20}$")]


class MessageEnvelope(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=0x11
):
    """A message on its way to the sessions of one endpoint.

    Args:
        id: the message's id; every repeat carries the same.
        sender: endpoint whose inbox takes the receipts; "" when none are wanted.
        origin: the user it is from, as the recipient's application will see it.
        confirm: how far the sender waits.
        hop: how often it was sent on already; 0 for a first copy.
        sent_at: seconds since 1970 by the sender's clock; for display only.
        expires_ms: by the store's clock, milliseconds since 1970; 0 for never.
        users: whom it is for; None for every session of the endpoint.
        refs: the sender's number for each of `users`, echoed in receipts; empty without a sender.
        data: the application's JSON value, encoded.
        offsets: of a durable message, its place in the mailbox of each of `users`; else empty.
        before: likewise the place of the message before it, so that a gap shows.
    """

    id: _Id
    sender: _Id
    origin: _Id
    confirm: Annotated[int, msgspec.Meta(ge=0, le=int(Confirm.ACKED))]
    hop: Annotated[int, msgspec.Meta(ge=0, le=MAX_HOPS)]
    sent_at: float
    expires_ms: _Count
    users: Annotated[list[_Id], msgspec.Meta(max_length=MAX_USERS_PER_ENVELOPE)] | None
    refs: Annotated[list[_Count], msgspec.Meta(max_length=MAX_USERS_PER_ENVELOPE)]
    data: bytes
    offsets: Annotated[list[_Offset], msgspec.Meta(max_length=MAX_USERS_PER_ENVELOPE)] = []
    before: Annotated[list[_Offset], msgspec.Meta(max_length=MAX_USERS_PER_ENVELOPE)] = []


class TracedEnvelope(MessageEnvelope, frozen=True, array_like=True, gc=False, tag=0x16):
    """A message that somebody watches; a kind of its own, so that all the others carry nothing.

    Args:
        trace: a W3C `traceparent`.
        noted: whether its steps are kept in the store for a minute.
    """

    trace: Annotated[str, msgspec.Meta(pattern=TRACEPARENT)] = ""
    noted: bool = False

    @property
    def watched(self) -> Trace:
        """Return `trace`, read."""
        found = Trace.parse(self.trace, noted=self.noted)
        return found or Trace("0" * 32, "0" * 16, sampled=False)


class StoredMessage(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=0x14
):
    """A durable message as it lies in a mailbox; see `MessageEnvelope` for the fields."""

    id: _Id
    origin: _Id
    sent_at: float
    expires_ms: _Count
    data: bytes


class ReceiptEnvelope(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=0x12
):
    """Answers to a sender: one envelope for all it is told at once.

    Args:
        items: flat triples of ref, `Answer`, number of sessions it speaks of; at most
            `MAX_RECEIPT_ITEMS` numbers.
    """

    items: Annotated[list[_Count], msgspec.Meta(max_length=MAX_RECEIPT_ITEMS)]


class KickEnvelope(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=0x13
):
    """An order to close a user's sessions on one endpoint.

    Args:
        sender: endpoint whose inbox takes the receipt.
        ref: the sender's number for this order.
        user: whose sessions.
        session: only this one; "" for all.
        reason: told to the client.
    """

    sender: _Id
    ref: _Count
    user: _Id
    session: _Id
    reason: Annotated[str, msgspec.Meta(max_length=120)]


class DrainEnvelope(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=0x15):
    """An order to a node to leave; fields of later versions behind these are passed over.

    Args:
        endpoint: who shall leave; any other that reads this does nothing.
    """

    endpoint: _Id


Envelope = MessageEnvelope | TracedEnvelope | ReceiptEnvelope | KickEnvelope | DrainEnvelope


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """What an endpoint says of itself with each heartbeat; see `model.Endpoint` for the fields.

    Fields that a later version puts behind these are passed over: while a cluster is renewed node
    by node, the old ones must still see that the new ones live.
    """

    role: _Word
    pid: _Count
    address: Annotated[str, msgspec.Meta(pattern=r"^[\w.:%\[\]-]{0,128}$")]
    state: _Word
    sessions: _Count
    received: _Count
    delivered: _Count
    received_per_second: _Rate
    delivered_per_second: _Rate
    vitals: Vitals = UNKNOWN


class RouteEntry(msgspec.Struct, frozen=True, array_like=True):
    """What the registry keeps of one session; see `model.Session` for the fields.

    So it was written before; `encode_route` writes a `_PackedRoute`, and both are read. Fields that
    a later version puts behind these are passed over, as those of a lease are.
    """

    device: _Id
    address: _Id
    since: Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class _PackedRoute(msgspec.Struct, frozen=True, array_like=True):
    """A `RouteEntry` in half the bytes: there are as many as there are sessions.

    Args:
        since: whole seconds.
        address: of IPv4 as a number, any other as it is.
        device: left out if it is the default.
    """

    since: Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
    address: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] | _Id
    device: _Id = DEFAULT_DEVICE


_encoder = msgspec.msgpack.Encoder()
_envelope_decoder: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(Envelope)
_lease_decoder = msgspec.msgpack.Decoder(Lease)
_route_decoder = msgspec.msgpack.Decoder(_PackedRoute)
_old_route_decoder = msgspec.msgpack.Decoder(RouteEntry)
_stored_decoder = msgspec.msgpack.Decoder(StoredMessage)

# msgspec lets the error of a string that is not UTF-8 through as it is.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

encode = _encoder.encode


def decode_envelope(entry: bytes) -> Envelope:
    """Return the envelope in an inbox entry.

    Args:
        entry: bytes from an inbox; treated as hostile.

    Raises:
        DecodeError: too long, not msgpack, another version, or a field of the wrong type.
    """
    if len(entry) > MAX_ENVELOPE_BYTES:
        raise DecodeError(f"an entry of {len(entry)} bytes is over {MAX_ENVELOPE_BYTES}")
    try:
        envelope: Envelope = _envelope_decoder.decode(entry)
    except _UNREADABLE as exc:
        raise DecodeError(f"not an envelope of version {VERSION}: {exc}") from exc
    if isinstance(envelope, TracedEnvelope) and not envelope.trace:
        raise DecodeError("a watched message has no trace")
    if isinstance(envelope, MessageEnvelope) and envelope.sender and envelope.users is not None:
        if len(envelope.users) != len(envelope.refs):
            raise DecodeError("users and refs differ in number")
    if isinstance(envelope, MessageEnvelope) and (envelope.offsets or envelope.before):
        users = envelope.users or ()
        if not len(users) == len(envelope.offsets) == len(envelope.before):
            raise DecodeError("users and offsets differ in number")
    return envelope


def decode_stored(value: bytes) -> StoredMessage:
    """Return what a mailbox entry holds; raise DecodeError if it is not one of ours."""
    if len(value) > MAX_ENVELOPE_BYTES:
        raise DecodeError(f"a stored message of {len(value)} bytes is over {MAX_ENVELOPE_BYTES}")
    try:
        return _stored_decoder.decode(value)
    except _UNREADABLE as exc:
        raise DecodeError(f"not a stored message: {exc}") from exc


def decode_lease(value: bytes) -> Lease:
    """Return what a lease holds; raise DecodeError if it is not one of ours."""
    try:
        return _lease_decoder.decode(value)
    except _UNREADABLE as exc:
        raise DecodeError(f"not a lease: {exc}") from exc


def encode_route(entry: RouteEntry) -> bytes:
    """Return the bytes that the registry keeps of a session."""
    place = (int(entry.since), _packed_address(entry.address))
    return encode(place if entry.device == DEFAULT_DEVICE else (*place, entry.device))


def decode_route(value: bytes) -> RouteEntry:
    """Return what a routes field holds; raise DecodeError if it is not one of ours."""
    try:
        packed = _route_decoder.decode(value)
    except _UNREADABLE:
        try:
            return _old_route_decoder.decode(value)
        except _UNREADABLE as exc:
            raise DecodeError(f"not a route: {exc}") from exc
    return RouteEntry(packed.device, _address(packed.address), float(packed.since))


def _packed_address(address: str) -> int | str:
    """Return an address as it is kept; as it is, unless it can be read back exactly so."""
    try:
        packed = int(IPv4Address(address))
    except ValueError:
        return address
    return packed if _address(packed) == address else address


def _address(packed: int | str) -> str:
    return packed if isinstance(packed, str) else str(IPv4Address(packed))
