"""Inputs that were found once. A new one goes here, beside the test of its module."""

import pytest

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize(
    ("target", "data"),
    [
        # A map whose key cannot be hashed: hiredis raises TypeError.
        ("store-replies", b"%1\r\n>1\r\n+a\r\n+b\r\n"),
        # A frame of the wrong types whose ref is not UTF-8: looking for the ref raised.
        ("client-msgpack", b"\x82\xa4type\xa3nay\xa3ref\xa1\xff"),
        # A watched message without its trace: whoever it was sent on to could not read it.
        (
            "envelopes",
            b"\x9d\x16\xa2m2\xa0\xa0\x00\x03\xcb?\xf8\x00\x00\x00\x00\x00\x00\t\xc0\x90\xc4\x011\x90\x90",
        ),
        # A ticket in the store that is not UTF-8: whoever showed it was told of a fault of ours.
        ("tickets", b"\x81\xa4user\xa1\x80"),
        # A number that the client could not read: stored, it ended each of its connections.
        ("client-json", b'{"type":"send","to":"bob","data":1e999}'),
        ("node-frames", b"[" * 5_000),
        # More parameters than Tornado takes.
        ("api-queries", b"&a=1" * 1_001),
    ],
)
def test_it_is_stood_now(target: str, data: bytes) -> None:
    TARGETS[target].run(data)
