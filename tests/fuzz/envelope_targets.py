"""What lies in the store: envelopes in inboxes, and the values of routes, leases, mailboxes."""

import contextlib
from typing import Final

from router import codec
from router.codec import KickEnvelope, Lease, MessageEnvelope, ReceiptEnvelope, RouteEntry
from router.codec import StoredMessage as Stored
from router.errors import DecodeError
from router.model import EndpointId
from router.store import mailbox, registry
from router.store.routes import parse_routes

ENVELOPES: Final = tuple(
    codec.encode(envelope)
    for envelope in (
        MessageEnvelope("m1", "n1.ab", "bob", 2, 0, 1.5, 0, ["alice"], [7], b'{"a":1}'),
        MessageEnvelope("m2", "", "", 0, 3, 1.5, 9, None, [], b"1"),
        MessageEnvelope("m3", "n1.ab", "", 1, 1, 1.5, 0, ["a", "b"], [1, 2], b"1", ["1-0"] * 2),
        ReceiptEnvelope([1, 2, 1, 2, 5, 0]),
        KickEnvelope("n1.ab", 5, "alice", "", "why"),
    )
)
VALUES: Final = (
    *(codec.encode(Stored("m1", "bob", 1.5, 0, b"1")), codec.encode(RouteEntry("web", "::1", 1.5))),
    codec.encode_route(RouteEntry("web", "10.0.0.1", 1.5)),
    codec.encode(Lease("node", 1, "127.0.0.1:8001", "live", 0, 0, 0, 0.0, 0.0)),
    *(b"n1\0" + bytes(13), b"n1.ab12/s1", b"n1.ab12/", b"/", b"1795419635120-0"),
)


def envelopes(data: bytes) -> None:
    """Decode an inbox entry; what decodes must encode to the same again."""
    try:
        envelope = codec.decode_envelope(data)
    except DecodeError:
        return
    again = codec.encode(envelope)
    assert codec.encode(codec.decode_envelope(again)) == again


def store_values(data: bytes) -> None:
    """Read a value as each kind of value that there is, and as the name of a field."""
    for decode in (codec.decode_stored, codec.decode_lease):
        try:
            value = decode(data)
        except DecodeError:
            continue
        again = codec.encode(value)
        assert codec.encode(decode(again)) == again
    with contextlib.suppress(DecodeError):
        entry = codec.decode_route(data)
        again = codec.encode_route(entry)
        assert codec.encode_route(codec.decode_route(again)) == again
    route = codec.encode_route(RouteEntry("web", "::1", 1.5))
    for field, value_of_field in ((data, route), (b"n1.ab/s", data), (data, data)):
        for session in registry._sessions({field: value_of_field}):
            assert session.endpoint
    assert EndpointId("") not in parse_routes([data, b"n1.ab/s"]).endpoints
    mailbox.parse_stored(codec.decode_stored, [b"message", data])
    mailbox.parse_stored(codec.decode_stored, [data, data, data])
