"""The fields of a user's routes: which session on which endpoint, as few bytes as it can be.

A million users' routes lie in the store at once, and a few bytes more or less decide how large the
blocks are that it takes for them. Ids as our own processes make them are random digits, and are
packed: `name`, a zero byte, the epoch and the session as bytes. Any others stay text,
`endpoint/session`, as all of them were before; both are read.
"""

import re
from typing import Final

from router.codec import RouteEntry, encode_route
from router.model import EndpointId, Session, SessionId
from router.store.resp import id_of

_EPOCH_BYTES: Final = 5
_SESSION_BYTES: Final = 8
_PACKED_BYTES: Final = _EPOCH_BYTES + _SESSION_BYTES
_ENDPOINT: Final = re.compile(rf"(.+)\.([0-9a-f]{{{2 * _EPOCH_BYTES}}})")
_SESSION: Final = re.compile(rf"[0-9a-f]{{{2 * _SESSION_BYTES}}}")


def route_field(endpoint: EndpointId, session: SessionId) -> bytes:
    """Return the field of one session in its user's routes."""
    text, packed = route_prefixes(endpoint)
    if packed != text and _SESSION.fullmatch(session):
        return packed + bytes.fromhex(session)
    return text + session.encode()


def route_entry(session: Session) -> bytes:
    """Return what its user's routes hold of a session."""
    return encode_route(RouteEntry(session.device, session.address, session.since))


def route_prefixes(endpoint: EndpointId) -> tuple[bytes, bytes]:
    """Return what every field of an endpoint begins with: the text, and packed.

    Both are the same where the endpoint's id cannot be packed.
    """
    text = f"{endpoint}/".encode()
    parts = _ENDPOINT.fullmatch(endpoint)
    if parts is None:
        return text, text
    return text, parts[1].encode() + b"\0" + bytes.fromhex(parts[2])


def split_route_field(field: bytes) -> tuple[EndpointId, SessionId] | None:
    """Return endpoint and session of a field; None for one that is not of ours."""
    name, packed = field[:-_PACKED_BYTES], field[-_PACKED_BYTES:]
    if name.endswith(b"\0"):
        text = id_of(name[:-1])
        epoch, session = packed[:_EPOCH_BYTES].hex(), packed[_EPOCH_BYTES:].hex()
        return None if text is None else (EndpointId(f"{text}.{epoch}"), SessionId(session))
    endpoint, _, session = (id_of(field) or "").rpartition("/")
    return (EndpointId(endpoint), SessionId(session)) if endpoint else None
