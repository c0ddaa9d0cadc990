import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.measuring import websocket
from scripts.measuring.websocket import ProtocolError, pong, server_text, split_frames

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)


def proof() -> bytes:
    with pytest.raises(ProtocolError, match="Accept"):
        websocket.split_response(ACCEPTED % b"nonsense")
    return websocket.PROOF


def test_an_answer_with_the_proof_is_taken_and_the_rest_returned() -> None:
    assert websocket.split_response(ACCEPTED % proof() + b"rest") == b"rest"


def test_half_an_answer_is_waited_for() -> None:
    assert websocket.split_response((ACCEPTED % proof())[:-1]) is None


def test_a_refusal_is_an_error_that_names_it() -> None:
    with pytest.raises(ProtocolError, match="403 Forbidden"):
        websocket.split_response(b"HTTP/1.1 403 Forbidden\r\n\r\n")


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(1, 50))
def test_frames_are_found_however_they_are_cut(lengths: list[int], step: int) -> None:
    payloads = [bytes(length) for length in lengths]
    wire = b"".join(server_text(payload) for payload in payloads)
    found, rest = [], b""
    for start in range(0, len(wire), step):
        frames, rest = split_frames(rest + wire[start : start + step])
        found += frames
    assert found == [(websocket.TEXT, payload) for payload in payloads]
    assert rest == b""


@pytest.mark.parametrize("length", [125, 126, 65_535, 65_536])
def test_lengths_at_the_borders_survive(length: int) -> None:
    whole = server_text(b"x" * length)
    assert split_frames(whole) == ([(websocket.TEXT, b"x" * length)], b"")
    assert split_frames(whole[:-1]) == ([], whole[:-1])


@pytest.mark.parametrize("start", [b"\x01\x00", b"\xc1\x00", b"\x81\x80"])
def test_fragments_extensions_and_masks_are_refused(start: bytes) -> None:
    with pytest.raises(ProtocolError):
        split_frames(start)


def test_a_pong_is_masked_and_returns_the_pings_payload() -> None:
    assert pong(b"abc") == b"\x8a\x83\x00\x00\x00\x00abc"
