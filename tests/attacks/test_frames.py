"""WebSocket frames that break the rules, never end, or unpack to more than they seem."""

import asyncio
import contextlib
import json
import secrets
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import pytest
from websockets.frames import Frame

from tests.attacks.conftest import Victim
from tests.support.clients import parse_frames
from tests.support.tokens import token

_DEADLINE_S: Final = 30.0
_MIB: Final = 1024 * 1024
_JSON: Final = "switchboard.v1.json"
_MSGPACK: Final = "switchboard.v1.msgpack"


class Raw:
    """A WebSocket whose frames are written by hand; the handshake is done.

    Args:
        reader, writer: of its connection.
        head: of the answer to the handshake.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self._reader = reader
        self._heard = b""
        self.writer = writer
        self.head = head

    def say(self, data: bytes) -> None:
        """Write something."""
        self.writer.write(data)

    async def hear(self, kind: str) -> list[dict[str, Any]]:
        """Wait for a frame of this kind; return all frames so far."""
        async with asyncio.timeout(_DEADLINE_S):
            while all(each["type"] != kind for each in self._frames()):
                got = await self._reader.read(65_536)
                assert got, (kind, self._frames())
                self._heard += got
        return self._frames()

    async def end(self) -> int | None:
        """Wait for the end; return the close code, None for none."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(_DEADLINE_S):
                while got := await self._reader.read(65_536):
                    self._heard += got
        closes = [bytes(each.data) for each in self._parsed() if each.opcode == 8]
        return struct.unpack("!H", closes[0][:2])[0] if closes and closes[0] else None

    def _parsed(self) -> list[Frame]:
        try:
            return parse_frames(self._heard)
        except EOFError:  # the last one is not whole yet
            return []

    def _frames(self) -> list[dict[str, Any]]:
        decode: dict[int, Callable[[bytes], Any]] = {1: json.loads, 2: msgspec.msgpack.decode}
        return [decode[f.opcode](bytes(f.data)) for f in self._parsed() if f.opcode in decode]


@contextlib.asynccontextmanager
async def opened(
    victim: Victim, *lines: str, protocol: str = _JSON, deadline_s: float = _DEADLINE_S
) -> AsyncIterator[Raw]:
    """A WebSocket that was welcomed."""
    host, _, port = victim.address.rpartition(":")
    user = f"u{secrets.token_hex(4)}"
    head = [
        *("GET /ws HTTP/1.1", f"Host: {victim.address}", "Connection: Upgrade"),
        *("Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Sec-WebSocket-Protocol: {protocol}"),
        *(f"Authorization: Bearer {token(user, aud='chat')}", *lines),
    ]
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write("\r\n".join([*head, "", ""]).encode())
        async with asyncio.timeout(deadline_s):
            answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer
        raw = Raw(reader, writer, answer)
        await raw.hear("welcome")
        yield raw
    finally:
        writer.transport.abort()


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """Return a frame as a client writes it, or as none may."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    length = len(payload)
    masked = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", first, masked | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, masked | 126, length)
    else:
        head = struct.pack("!BBQ", first, masked | 127, length)
    return head + (b"\0\0\0\0" if mask else b"") + payload


def announced(length: int) -> bytes:
    """Return the beginning of a text frame of this length."""
    return struct.pack("!BBQ", 0x81, 0xFF, length) + b"\0\0\0\0"


PING: Final = b'{"type":"ping"}'
BOMB: Final = zlib.compress(b"\0" * 50 * _MIB)[2:-4]
# What a node may answer: a close code (None: the connection ends without one).
BROKEN: Final[dict[str, tuple[bytes, set[int | None]]]] = {
    "not masked": (frame(1, PING, mask=False), {1002, None}),
    "a reserved bit": (frame(1, PING, rsv=2), {1002, None}),
    "compressed, though nobody agreed": (frame(1, BOMB, rsv=4), {1002, 1009, None}),
    "an opcode nobody knows": (frame(3, b"x"), {1002, None}),
    "a control opcode nobody knows": (frame(11, b"x"), {1002, None}),
    "a ping that is too long": (frame(9, b"x" * 126), {1002, None}),
    "a ping in pieces": (frame(9, b"x", fin=False), {1002, None}),
    "a continuation of nothing": (frame(0, b"x"), {1002, None}),
    "a text within a text": (frame(1, b"x", fin=False) + frame(1, PING), {1002, None}),
    "text that is no UTF-8": (frame(1, b"\xff\xfe"), {1007, 1008, None}),
    "a frame of 2^63 bytes": (announced(2**63), {1002, 1009, None}),
    "a frame of 2^62 bytes": (announced(2**62), {1002, 1009, None}),
    "a frame of a GiB": (announced(2**30), {1009, None}),
    "one byte more than allowed": (frame(1, b"x" * (70 * 1024)), {1009, None}),
    "a close without a code": (frame(8, b""), {1000, 1005, None}),
    "a close with half a code": (frame(8, b"\x03"), {1000, 1002, None}),
    "a close with a code nobody may send": (
        frame(8, struct.pack("!H", 1005)),
        {1000, 1002, 1005, None},
    ),
    "a close with a reason that is no UTF-8": (frame(8, b"\x03\xe8\xff"), {1000, 1002, 1007, None}),
    "random bytes": (bytes(range(256)) * 40, {1002, 1007, 1009, None}),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_frames_that_break_the_rules_end_their_own_connection_only(
    victim: Victim, name: str
) -> None:
    said, codes = BROKEN[name]
    before = victim.rss_bytes
    async with opened(victim) as raw:
        raw.say(said)
        raw.say(frame(8, struct.pack("!H", 1000)))
        assert await raw.end() in codes | {1000}
    assert victim.rss_bytes - before < 16 * _MIB


async def test_a_message_in_pieces_that_never_ends_is_cut(victim: Victim) -> None:
    before = victim.rss_bytes
    async with opened(victim) as raw:
        raw.say(frame(1, b"x", fin=False))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(_DEADLINE_S):
                for _ in range(4_000):
                    raw.say(frame(0, b"x" * 8_192, fin=False))
                    await raw.writer.drain()
        assert await raw.end() in {1009, None}
    assert victim.rss_bytes - before < 16 * _MIB


async def test_compression_is_not_agreed_to(victim: Victim) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15"
    async with opened(victim, offer) as raw:
        assert b"permessage-deflate" not in raw.head


def deep(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b'{"type":"send","to":"bob","data":' + opening * depth + b"1" + closing * depth + b"}"


SENSELESS: Final = {
    "deep arrays": deep(b"[", b"]", 20_000),
    "deep objects": deep(b'{"a":', b"}", 8_000),
    "deeper than said": b"[" * 60_000,
    "a number of many digits": b'{"type":"send","to":"bob","ttl_s":'
    + b"9" * 50_000
    + b',"data":1}',
    "many recipients": json.dumps({"type": "send", "to": ["b"] * 9_000, "data": 1}).encode(),
    "a recipient with braces": b'{"type":"send","to":"{bob}","data":1}',
    "a recipient with a new line": b'{"type":"send","to":"a\\nb","data":1}',
    "half a character": b'{"type":"send","to":"\\ud800","data":1}',
    "a type nobody knows": b'{"type":"\\u0000"}',
    "two types": b'{"type":"ping","type":"send"}',
    "an offset that is none": b'{"type":"ack","offset":"1-1; DEL"}',
    "an offset of many digits": b'{"type":"ack","offset":"' + b"9" * 4_000 + b'-1"}',
    "a key with a zero": b'{"type":"send","to":"bob","data":1,"durable":true,"key":"a\\u0000b"}',
    "not a number": b'{"type":"send","to":"bob","data":NaN}',
}


@pytest.mark.parametrize("name", SENSELESS)
async def test_a_frame_that_makes_no_sense_is_answered_with_an_error(
    victim: Victim, name: str
) -> None:
    before = victim.rss_bytes
    async with opened(victim) as raw:
        raw.say(frame(1, SENSELESS[name]) + frame(1, PING))
        said = await raw.hear("pong")  # and the session lives on
    assert [each["type"] for each in said] == ["welcome", "error", "pong"], said
    assert victim.rss_bytes - before < 16 * _MIB


MSGPACK_BOMBS: Final = {
    "arrays in arrays": b"\x91" * 60_000,
    "arrays of arrays": b"\xdd\xff\xff\xff\xff" * 12_000,
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "bytes of four thousand million": b"\xc6\xff\xff\xff\xff",
    "text of four thousand million": b"\xdb\xff\xff\xff\xff",
    "an extension": b"\xc7\x04\xff\x00\x00\x00\x00",
    "a time that is none": b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "data as bytes": msgspec.msgpack.encode({"type": "send", "to": "bob", "data": b"\xff" * 99}),
    "a map with a list for a key": b"\x81\x91\x01\x01",
    "text that is no UTF-8": b"\x81\xa4type\xa4\xff\xff\xff\xff",
    "a ref that is no UTF-8": b"\x82\xa4type\xa3nay\xa3ref\xa1\xff",
    "not a number": msgspec.msgpack.encode({"type": "send", "to": "bob", "data": 1, "ttl_s": "x"}),
}


@pytest.mark.parametrize("name", MSGPACK_BOMBS)
async def test_a_msgpack_bomb_is_answered_with_an_error(victim: Victim, name: str) -> None:
    before = victim.rss_bytes
    async with opened(victim, protocol=_MSGPACK) as raw:
        raw.say(frame(2, MSGPACK_BOMBS[name]))
        raw.say(frame(2, msgspec.msgpack.encode({"type": "ping"})))
        said = await raw.hear("pong")
    kinds = [each["type"] for each in said]
    assert kinds.count("error") == 1 or name == "data as bytes", said
    assert victim.rss_bytes - before < 16 * _MIB


async def test_a_session_that_only_talks_nonsense_is_ended_and_others_go_on(
    victim: Victim,
) -> None:
    async with opened(victim) as other, opened(victim) as raw:
        for _ in range(30):
            raw.say(frame(1, b"{"))
        assert await raw.end() == 1008
        other.say(frame(1, PING))
        assert [each["type"] for each in await other.hear("pong")] == ["welcome", "pong"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Sec-WebSocket-Version: 12"],
        ["Sec-WebSocket-Key: x"],
        ["Upgrade: h2c"],
        ["Connection: close"],
        ["Content-Length: 5"],
        ["Transfer-Encoding: chunked"],
        ["Expect: 100-continue"],
        ["Sec-WebSocket-Protocol: " + ",".join(["x"] * 3_000)],
    ],
    ids=lambda lines: lines[0][:30],
)
async def test_a_handshake_with_something_else_in_it_disturbs_nobody(
    victim: Victim, lines: list[str]
) -> None:
    with contextlib.suppress(AssertionError, TimeoutError, asyncio.IncompleteReadError):
        async with opened(victim, *lines, deadline_s=1.0) as raw:
            raw.say(frame(8, struct.pack("!H", 1000)))
            await raw.end()
    async with opened(victim) as raw:
        raw.say(frame(1, PING))
        assert [each["type"] for each in await raw.hear("pong")] == ["welcome", "pong"]
