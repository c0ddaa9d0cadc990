"""What nodes say and hear is what the node's own module says and hears."""

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
