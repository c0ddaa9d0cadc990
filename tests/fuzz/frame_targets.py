"""Frames: what clients send to a node in both subprotocols, and what a node says to the SDK."""

import json
from typing import Final

import msgspec
from msgspec import Raw

from node import frames
from node.frames import CODECS, BadFrame, Codec, Message, SendFrame
from router.client import frames as sdk
from router.errors import InvalidRequest
from router.results import encode_data

_SENT: Final = (
    {"type": "send", "ref": "7", "to": "bob", "data": {"a": [1, 2.5, None, True, "ä"]}},
    {"type": "send", "ref": 1, "to": ["bob", "eve"], "data": "x", "durable": True, "key": "k"},
    {"type": "send", "to": "bob", "data": 1, "confirm": "acked", "ttl_s": 60.0},
    {"type": "ack", "offset": "1795419635120-0"},
    {"type": "ack", "id": "abc"},
    {"type": "ping"},
)
JSON_SENT: Final = tuple(json.dumps(frame).encode() for frame in _SENT)
MSGPACK_SENT: Final = tuple(msgspec.msgpack.encode(frame) for frame in _SENT)
JSON_SAID: Final = (
    b'{"type":"welcome","session":"s","user":"alice","node":"n1","device":"web","resumed":true,'
    b'"offset":"1-0","max_message_bytes":65536}',
    b'{"type":"message","id":"m","from":"bob","data":[1],"sent_at":1.5,"offset":"2-0"}',
    b'{"type":"outcome","ref":"7","id":"m","user":"bob","outcome":"delivered"}',
    b'{"type":"outcome","ref":7,"id":"m","outcomes":{"bob":"offline"}}',
    b'{"type":"error","code":"too_large","message":"m","ref":"7"}',
    b'{"type":"goodbye","reason":"drain","reconnect_after_ms":1830}',
    b'{"type":"pong"}',
    b'{"type":"later","what":{}}',
)
WORDS: Final = (
    *(b'"type":', b'"send"', b'"ack"', b'"ping"', b'"to":', b'"data":', b'"ref":', b'"ttl_s":'),
    *(b"1e999", b"-1e-999", b"18446744073709551616", b"-9223372036854775809", b"NaN", b"-0"),
    *(b"[" * 64, b"]" * 64, b'{"a":' * 64, b"9" * 400, b'"\\ud800"', b'"\\u0000"', b"\xed\xa0\x80"),
    *(b"\x91" * 64, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc7\xff\x05", b"\xd6\xff"),
    *(b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"\xcb\x7f\xf8"),
)


def client_json(data: bytes) -> None:
    """Read a client's payload as text, where it is text, and as a binary frame."""
    _client(CODECS[frames.JSON_PROTOCOL], data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return  # Tornado ends the connection of a text frame that is not UTF-8
    _client(CODECS[frames.JSON_PROTOCOL], text)


def client_msgpack(data: bytes) -> None:
    """Read a client's payload as MessagePack; a text frame in this subprotocol is text."""
    _client(CODECS[frames.MSGPACK_PROTOCOL], data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    _client(CODECS[frames.MSGPACK_PROTOCOL], text)


def _client(codec: Codec, payload: bytes | str) -> None:
    try:
        frame = frames.read(codec, payload)
        if not isinstance(frame, SendFrame):
            return
        data = encode_data(frames.data_of(codec, frame))
    except (BadFrame, InvalidRequest):
        return
    json.loads(data)
    for other in CODECS.values():  # whoever it is for must be able to hear it
        said = other.encode(Message("m", "bob", other.value(data), 1.0))
        if other.binary:
            msgspec.msgpack.decode(said)
        else:
            json.loads(said)
            assert isinstance(sdk.read(said), sdk.MessageFrame)


def node_frames(data: bytes) -> None:
    """Read what a node said, as the SDK does: text, or bytes of it."""
    try:
        frame = sdk.read(data)
    except ValueError:
        return
    assert frame is None or isinstance(frame, sdk.InFrame)
    if isinstance(frame, sdk.ErrorFrame | sdk.OutcomeFrame) and frame.ref is not None:
        sdk.write(sdk.SendFrame(ref=1, to="bob", data=Raw(b"1"), key=str(frame.ref)))
