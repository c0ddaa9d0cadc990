"""The client half of RFC 6455, as little of it as a load client needs.

Pure: bytes in, frames out. Fragments and extensions are not offered, so a server that uses
them is an error and not a case.
"""

import base64
import hashlib
import struct

TEXT = 0x1
CLOSE = 0x8
PING = 0x9

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = base64.b64encode(b"switchboardbench")  # a nonce guards caches; there is none on loopback
PROOF = base64.b64encode(hashlib.sha1(_KEY + _GUID, usedforsecurity=False).digest())
_FINAL = 0x80
_MASK = 0x80


class ProtocolError(Exception):
    """The server sent what it may not, or what this client does not speak."""


def handshake(host: str, port: int, path: str, bearer: str = "") -> bytes:
    """Return the request that opens a WebSocket; `bearer` says who we are, where nodes ask."""
    known = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{known}Upgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY.decode()}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def split_response(data: bytes) -> bytes | None:
    """Return what follows the answer to `handshake`; None while it is incomplete.

    Raises:
        ProtocolError: the server refused, or did not prove that it understood.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    status = head.split(b"\r\n", 1)[0]
    if b" 101 " not in status + b" ":
        raise ProtocolError(f"the server answered {status.decode(errors='replace')}")
    if PROOF not in head:
        raise ProtocolError("the server's Sec-WebSocket-Accept is missing or wrong")
    return rest


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the whole frames in `data` as (opcode, payload), and the bytes left over.

    Raises:
        ProtocolError: a fragment, a masked frame or a reserved bit.
    """
    frames: list[tuple[int, bytes]] = []
    start, end = 0, len(data)
    while end - start >= 2:
        first, length = data[start], data[start + 1]
        if not first & _FINAL or first & 0x70 or length & _MASK:
            raise ProtocolError(f"cannot read a frame that starts with {data[start : start + 2]!r}")
        body = start + 2
        if length == 126:
            body += 2
            if body > end:
                break
            (length,) = struct.unpack_from("!H", data, body - 2)
        elif length == 127:
            body += 8
            if body > end:
                break
            (length,) = struct.unpack_from("!Q", data, body - 8)
        if body + length > end:
            break
        start = body + length
        frames.append((first & 0x0F, data[body:start]))
    return frames, data[start:]


def pong(payload: bytes) -> bytes:
    """Return the answer to a ping, masked with zeros.

    The mask protects proxies from chosen bytes (RFC 6455 section 10.3); on loopback there is
    none, and a mask of zeros costs the client nothing.
    """
    return bytes((_FINAL | 0xA, _MASK | len(payload), 0, 0, 0, 0)) + payload


def goodbye() -> bytes:
    """Return the close frame of a client that has done with it (1000), masked with zeros."""
    return bytes((_FINAL | CLOSE, _MASK | 2, 0, 0, 0, 0)) + struct.pack("!H", 1000)


def server_text(payload: bytes) -> bytes:
    """Return `payload` as one unmasked text frame, as a server sends it."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL | TEXT, length)) + payload
    if length < 65_536:
        return struct.pack("!BBH", _FINAL | TEXT, 126, length) + payload
    return struct.pack("!BBQ", _FINAL | TEXT, 127, length) + payload


def client_text(payload: bytes) -> bytes:
    """Return `payload` as one text frame, masked with zeros, as a client sends it."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL | TEXT, _MASK | length, 0, 0, 0, 0)) + payload
    return struct.pack("!BBHI", _FINAL | TEXT, _MASK | 126, length, 0) + payload
