import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.frames import (
    CODECS,
    JSON,
    JSON_PROTOCOL,
    MAX_USERS_PER_FRAME,
    MSGPACK,
    MSGPACK_PROTOCOL,
    AckFrame,
    BadFrame,
    CallFrame,
    Codec,
    ErrorFrame,
    Expiring,
    Goodbye,
    Message,
    OutcomeFrame,
    OutcomesFrame,
    OutFrame,
    PingFrame,
    Pong,
    Refreshed,
    RefreshFrame,
    Reply,
    SendFrame,
    Welcome,
    data_of,
    read,
)


def packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def refused(codec: Codec, payload: bytes | str) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        read(codec, payload)
    return caught.value


# ---- out ----------------------------------------------------------------------------------------

FRAMES_AND_THEIR_JSON: list[tuple[OutFrame, dict[str, Any]]] = [
    (Expiring(7.5), {"type": "expiring", "expires_at": 7.5}),
    (Refreshed(7.5, "r"), {"type": "refreshed", "expires_at": 7.5, "ref": "r"}),
    (Refreshed(7.5), {"type": "refreshed", "expires_at": 7.5}),
    (Reply(None, 7), {"type": "reply", "data": None, "ref": 7}),
    (Reply(msgspec.Raw(b"[1]")), {"type": "reply", "data": [1]}),
    (
        Welcome("s1", "alice", "n1", "web", resumed=False, offset="", max_message_bytes=65_536),
        {
            "type": "welcome",
            "session": "s1",
            "user": "alice",
            "node": "n1",
            "device": "web",
            "resumed": False,
            "offset": "",
            "max_message_bytes": 65_536,
        },
    ),
    (
        Message("m1", "bob", msgspec.Raw(b'{"order":42}'), 1.5),
        {"type": "message", "id": "m1", "from": "bob", "data": {"order": 42}, "sent_at": 1.5},
    ),
    (
        OutcomeFrame("m1", "bob", "delivered", "7"),
        {"type": "outcome", "ref": "7", "id": "m1", "user": "bob", "outcome": "delivered"},
    ),
    (
        OutcomeFrame("m1", "bob", "unknown", reason="why"),
        {"type": "outcome", "id": "m1", "user": "bob", "outcome": "unknown", "reason": "why"},
    ),
    (
        OutcomesFrame("m1", {"bob": "accepted", "eve": "offline"}, 7),
        {
            "type": "outcome",
            "ref": 7,
            "id": "m1",
            "outcomes": {"bob": "accepted", "eve": "offline"},
        },
    ),
    (
        ErrorFrame("too_large", "data: too large", "7", "data"),
        {
            "type": "error",
            "code": "too_large",
            "message": "data: too large",
            "ref": "7",
            "field": "data",
        },
    ),
    (ErrorFrame("bad_frame", "no"), {"type": "error", "code": "bad_frame", "message": "no"}),
    (
        Goodbye("node stopping", 1_830),
        {"type": "goodbye", "reason": "node stopping", "reconnect_after_ms": 1_830},
    ),
    (Goodbye("kicked"), {"type": "goodbye", "reason": "kicked"}),
    (Pong(), {"type": "pong"}),
]


@pytest.mark.parametrize(("frame", "expected"), FRAMES_AND_THEIR_JSON)
def test_each_frame_looks_in_json_as_the_contract_says(
    frame: OutFrame, expected: dict[str, Any]
) -> None:
    assert json.loads(JSON.encode(frame)) == expected


def test_the_same_objects_go_out_in_msgpack() -> None:
    frame = Message("m1", "bob", MSGPACK.value(b'{"order":[42,"x",null]}'), 1.5)
    assert msgspec.msgpack.decode(MSGPACK.encode(frame)) == {
        "type": "message",
        "id": "m1",
        "from": "bob",
        "data": {"order": [42, "x", None]},
        "sent_at": 1.5,
    }


def test_json_data_goes_out_byte_for_byte_as_it_came_in() -> None:
    odd = b'{"b": 1.50, "a":[ 1e2,"\\u00e9"], "b":2}'
    assert odd in JSON.encode(Message("m1", "", JSON.value(odd), 0.0))


def test_both_subprotocols_are_found_by_name() -> None:
    assert CODECS == {JSON_PROTOCOL: JSON, MSGPACK_PROTOCOL: MSGPACK}
    assert (JSON.binary, MSGPACK.binary) == (False, True)


# ---- in -----------------------------------------------------------------------------------------


def test_a_refresh_and_a_call_are_read() -> None:
    assert read(JSON, '{"type":"refresh","token":"a.b.c","ref":7}') == RefreshFrame("a.b.c", 7)
    call = read(JSON, '{"type":"call","data":[1, 2]}')
    assert isinstance(call, CallFrame)
    assert (bytes(call.data), call.ref) == (b"[1, 2]", None)


def test_a_send_frame_needs_only_a_user_and_data() -> None:
    frame = read(JSON, '{"type":"send","to":"bob","data":{"a":1}}')
    assert isinstance(frame, SendFrame)
    assert (frame.to, bytes(frame.data), frame.ref, frame.durable) == (
        "bob",
        b'{"a":1}',
        None,
        False,
    )
    assert (frame.confirm, frame.ttl_s, frame.key) == (None, None, None)


def test_a_send_frame_carries_everything_the_contract_names() -> None:
    frame = read(
        JSON,
        '{"type":"send","ref":"7","to":["bob","eve"],"data":1,"durable":true,'
        '"confirm":"written","ttl_s":60,"key":"k"}',
    )
    assert isinstance(frame, SendFrame)
    assert (frame.to, frame.ref, frame.durable) == (["bob", "eve"], "7", True)
    assert (frame.confirm, frame.ttl_s, frame.key) == ("written", 60, "k")


def test_the_same_frames_come_in_as_msgpack() -> None:
    frame = read(MSGPACK, packed({"type": "send", "ref": 7, "to": "bob", "data": {"a": [1, "x"]}}))
    assert isinstance(frame, SendFrame)
    assert (frame.to, frame.ref) == ("bob", 7)
    assert bytes(data_of(MSGPACK, frame)) == b'{"a":[1,"x"]}'


def test_acknowledgements_and_pings_are_read() -> None:
    assert read(JSON, '{"type":"ack","offset":"5-0"}') == AckFrame(offset="5-0")
    assert read(JSON, '{"type":"ack","id":"m1"}') == AckFrame(id="m1")
    assert read(JSON, '{"type":"ping"}') == PingFrame()
    assert read(MSGPACK, packed({"type": "ping"})) == PingFrame()


def test_fields_we_do_not_know_are_left_for_later_versions() -> None:
    assert read(JSON, '{"type":"ping","extra":1}') == PingFrame()


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "hello",
        '{"type":"ping"} x',
        '{"type":"send","to":"bob","data":01}',
        '{"type":"send","to":"bob","data":NaN}',
        '{"type":"send","to":"bob","data":"\\q"}',
        '{"type":"send","to":"bob","data":"a\x01b"}',
        '{"type":"send","to":"\\ud800","data":1}',
        '{"type":"send","to":"bob","data":' + "[" * 30_000 + "]" * 30_000 + "}",
        b'{"type":"send","to":"bob\xff","data":1}',
        b'{"type":"send","to":"bob","data":"\xff"}',
    ],
)
def test_what_is_not_json_is_a_bad_frame(payload: bytes | str) -> None:
    error = refused(JSON, payload)
    assert (error.code, error.ref) == ("bad_frame", None)
    assert "not JSON" in error.message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x83\xa4type",
        b"\x81\xa4type\xa4ping\x01",
        b"\x83\xa4type\xa4send\xa2to\xa1a\xa4data" + b"\x91" * 60_000 + b"\x01",
        '{"type":"ping"}',
    ],
)
def test_what_is_not_msgpack_is_a_bad_frame(payload: bytes | str) -> None:
    error = refused(MSGPACK, payload)
    assert (error.code, error.ref) == ("bad_frame", None)
    assert "not MessagePack" in error.message


@pytest.mark.parametrize("value", [[1], "send", 5, None, True])
@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_what_is_not_an_object_is_refused(codec: Codec, value: Any) -> None:
    payload = packed(value) if codec.binary else json.dumps(value)
    error = refused(codec, payload)
    assert (error.code, error.ref) == ("invalid_request", None)
    assert "object" in error.message


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        ({"type": "shout"}, "shout"),
        ({"type": 5}, "type"),
        ({}, "type"),
        ({"type": "send", "to": "bob"}, "data"),
        ({"type": "send", "data": 1}, "to"),
        ({"type": "send", "to": 5, "data": 1}, "to"),
        ({"type": "send", "to": [], "data": 1}, "to"),
        ({"type": "send", "to": ["bob", 5], "data": 1}, "to"),
        ({"type": "send", "to": ["u"] * (MAX_USERS_PER_FRAME + 1), "data": 1}, "to"),
        ({"type": "send", "to": "bob", "data": 1, "durable": "yes"}, "durable"),
        ({"type": "send", "to": "bob", "data": 1, "confirm": 1}, "confirm"),
        ({"type": "send", "to": "bob", "data": 1, "ttl_s": "soon"}, "ttl_s"),
        ({"type": "send", "to": "bob", "data": 1, "key": 1}, "key"),
        ({"type": "ack", "offset": 1}, "offset"),
    ],
)
@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_an_object_that_is_no_frame_is_refused_naming_the_field_and_echoing_its_ref(
    codec: Codec, frame: dict[str, Any], named: str
) -> None:
    for ref in ("7", 7):
        value = {**frame, "ref": ref}
        error = refused(codec, packed(value) if codec.binary else json.dumps(value))
        assert (error.code, error.ref) == ("invalid_request", ref)
        assert named in error.message


@pytest.mark.parametrize("ref", [1.5, None, ["7"], "x" * 65])
def test_a_ref_that_is_none_of_ours_is_not_echoed(ref: Any) -> None:
    assert refused(JSON, json.dumps({"type": "shout", "ref": ref})).ref is None


def test_a_ref_behind_what_cannot_be_read_is_not_looked_for() -> None:
    assert refused(JSON, '{"type":"send","ref":"7","to":').ref is None


def test_a_ref_that_is_no_text_is_not_echoed() -> None:
    frame = b"\x82\xa4type\xa3nay\xa3ref\xa1\xff"
    assert refused(MSGPACK, frame).code == "invalid_request"
    assert refused(MSGPACK, frame).ref is None


@given(st.binary(max_size=200))
def test_no_bytes_at_all_do_more_than_be_refused(payload: bytes) -> None:
    for codec in (JSON, MSGPACK):
        try:
            frame = read(codec, payload)
            if isinstance(frame, SendFrame):
                data_of(codec, frame)
        except BadFrame:
            pass


# ---- between the two ----------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), children, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_json_value_survives_the_way_through_msgpack_and_back(value: Any) -> None:
    there = MSGPACK.value(json.dumps(value).encode())
    frame = SendFrame(to="bob", data=there)
    assert json.loads(bytes(data_of(MSGPACK, frame))) == value


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", float(2**64)),
        (b"-9223372036854775809", float(-(2**63) - 1)),
        (b"9" * 5_000, float("inf")),
        (b"1e999", float("inf")),
    ],
)
def test_a_number_too_large_for_msgpack_becomes_the_nearest_float(
    number: bytes, expected: float
) -> None:
    value = MSGPACK.value(b'{"n":' + number + b"}")
    assert msgspec.msgpack.decode(value) == {"n": expected}


@pytest.mark.parametrize(
    "value",
    [
        packed(msgspec.msgpack.Ext(5, b"x")),
        packed({(1, 2): 3}),
        packed({None: 1}),
        b"\xa1\xff",  # a text that is not UTF-8
    ],
)
def test_msgpack_data_that_json_cannot_say_is_refused_with_its_ref(value: bytes) -> None:
    payload = b"\x84\xa4type\xa4send\xa3ref\x07\xa2to\xa3bob\xa4data" + value
    frame = read(MSGPACK, payload)
    assert isinstance(frame, SendFrame)
    with pytest.raises(BadFrame, match="not a JSON value") as caught:
        data_of(MSGPACK, frame)
    assert (caught.value.code, caught.value.ref) == ("invalid_request", 7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\xff\x00", b'"/wA="'),
        (datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00Z"'),
        (float("nan"), b"null"),
        ({1: 2}, b'{"1":2}'),
    ],
)
def test_msgpack_data_beyond_json_is_said_in_jsons_words(value: Any, expected: bytes) -> None:
    frame = read(MSGPACK, packed({"type": "send", "to": "bob", "data": value}))
    assert isinstance(frame, SendFrame)
    assert bytes(data_of(MSGPACK, frame)) == expected
