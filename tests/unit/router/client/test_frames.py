"""What nodes say and hear is what the node's own module says and hears."""

import math

import msgspec
import pytest

from node import frames as node_frames
from router.client.frames import (
    MessageFrame,
    OutcomeFrame,
    SendFrame,
    Welcome,
    acknowledge,
    acknowledge_one,
    read,
    write,
)


def said(frame: node_frames.OutFrame) -> bytes:
    return node_frames.JSON.encode(frame)


def test_a_welcome() -> None:
    text = said(node_frames.Welcome("s1", "alice", "n1", "web", True, "5-0", 100))
    assert read(text) == Welcome("s1", "n1", True, "5-0", 100)


def test_messages() -> None:
    plain = node_frames.Message("a", "bob", {"x": 1}, 1.5)
    assert read(said(plain)) == MessageFrame("a", "bob", {"x": 1}, 1.5)
    stored = node_frames.Message("a", "bob", None, 1.5, "5-0", True)
    assert read(said(stored)) == MessageFrame("a", "bob", None, 1.5, "5-0", True)


@pytest.mark.parametrize(
    ("number", "nearest"),
    [
        ("1e999", math.inf),
        ("-1e999", -math.inf),
        ("9" * 400, int("9" * 400)),
        ("9" * 5_000, math.inf),
        ("1" + "0" * 50 + "e-50", 1.0),
    ],
)
def test_a_number_beyond_all_bounds_is_the_nearest_that_there_is(
    number: str, nearest: float
) -> None:
    text = b'{"type":"message","id":"a","from":"b","sent_at":1,"data":{"x":%b}}' % number.encode()
    frame = read(text)
    assert isinstance(frame, MessageFrame)
    assert frame.data == {"x": nearest}


def test_what_goes_too_deep_is_an_error() -> None:
    for inner in (b"1", b"1e999"):
        data = b"[" * 100_000 + inner + b"]" * 100_000
        with pytest.raises(ValueError, match="too deep"):
            read(b'{"type":"message","id":"a","from":"b","sent_at":1,"data":%b}' % data)


def test_outcomes() -> None:
    one = node_frames.OutcomeFrame("a", "bob", "written", 7)
    assert read(said(one)) == OutcomeFrame("a", 7, "written")
    many = node_frames.OutcomesFrame("a", {"bob": "written"}, 7)
    assert read(said(many)) == OutcomeFrame("a", 7, outcomes={"bob": "written"})


def test_what_a_later_version_says_is_none() -> None:
    assert read('{"type":"weather","sunny":true}') is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"type":7}',
        '{"type":"welcome"}',
        '{"type":"message","id":"a","from":"b","data":1,"sent_at":1,"offset":"late"}',
        b"\xff",
    ],
)
def test_what_makes_no_sense_is_an_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_a_node_understands_what_we_say() -> None:
    sent = SendFrame(1, ["bob"], msgspec.Raw(b'{"a":1}'), True, "written", 2.5, "k")
    frame = node_frames.read(node_frames.JSON, write(sent))
    assert isinstance(frame, node_frames.SendFrame)
    assert (frame.to, bytes(frame.data), frame.ref) == (["bob"], b'{"a":1}', 1)
    assert (frame.durable, frame.confirm, frame.ttl_s, frame.key) == (True, "written", 2.5, "k")
    up_to = node_frames.read(node_frames.JSON, acknowledge("5-0"))
    assert up_to == node_frames.AckFrame(offset="5-0")
    one = node_frames.read(node_frames.JSON, acknowledge_one("a"))
    assert one == node_frames.AckFrame(id="a")
