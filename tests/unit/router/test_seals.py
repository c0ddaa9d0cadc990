"""A seal is worth something for one place and one key, and for nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.codec import (
    ReceiptEnvelope,
    StoredMessage,
    decode_envelope,
    decode_stored,
    encode,
)
from router.errors import DecodeError, InvalidSettings
from router.model import EndpointId, UserId
from router.seals import Seals
from router.settings import RedisSettings

OLD, NEW = b"o" * 32, b"n" * 32
N1, N2 = EndpointId("n1.aa"), EndpointId("n2.bb")
ALICE, BOB = UserId("alice"), UserId("bob")
RECEIPT = ReceiptEnvelope([1, 2, 1])
STORED = StoredMessage("m1", "bob", 1.0, 0, b'"hello"')


def test_without_keys_everything_is_as_it_was() -> None:
    seals = Seals()
    assert not seals.on
    assert seals.decoder(N1) is decode_envelope
    assert seals.writer()(ALICE, STORED) == encode(STORED)
    assert seals.reader(ALICE)(encode(STORED)) == STORED


def test_what_is_sealed_is_read_where_it_is_for() -> None:
    seals = Seals([NEW])
    assert seals.decoder(N1)(seals.seal(N1, encode(RECEIPT))) == RECEIPT
    assert seals.reader(ALICE)(seals.writer()(ALICE, STORED)) == STORED


def test_it_is_refused_anywhere_else() -> None:
    seals = Seals([NEW])
    with pytest.raises(DecodeError, match="for another place"):
        seals.decoder(N2)(seals.seal(N1, encode(RECEIPT)))
    with pytest.raises(DecodeError, match="for another place"):
        seals.reader(BOB)(seals.writer()(ALICE, STORED))
    inbox_of_a_user = EndpointId(ALICE)
    with pytest.raises(DecodeError):
        seals.reader(ALICE)(seals.seal(inbox_of_a_user, encode(STORED)))


@pytest.mark.parametrize("entry", [b"", b"\xc1", b"\xc1\x01", b"\xc1\x01short", encode(RECEIPT)])
def test_what_has_no_seal_is_refused(entry: bytes) -> None:
    with pytest.raises(DecodeError, match="no seal"):
        Seals([NEW]).decoder(N1)(entry)


def test_who_has_no_keys_cannot_read_what_is_sealed_and_says_so() -> None:
    seals = Seals([NEW])
    with pytest.raises(DecodeError):
        decode_envelope(seals.seal(N1, encode(RECEIPT)))
    with pytest.raises(DecodeError):
        decode_stored(seals.writer()(ALICE, STORED))


@given(st.data())
def test_whatever_byte_is_changed_is_noticed(data: st.DataObject) -> None:
    seals = Seals([NEW])
    sealed = bytearray(seals.seal(N1, encode(RECEIPT)))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecodeError):
        seals.decoder(N1)(bytes(sealed))


def test_keys_can_be_changed_one_after_the_other() -> None:
    before, during, after = Seals([OLD, NEW]), Seals([NEW, OLD]), Seals([NEW])
    for one in (before, during):
        for other in (before, during):
            assert one.decoder(N1)(other.seal(N1, encode(RECEIPT))) == RECEIPT
    assert after.decoder(N1)(during.seal(N1, encode(RECEIPT))) == RECEIPT
    with pytest.raises(DecodeError, match="seal is wrong"):
        after.decoder(N1)(before.seal(N1, encode(RECEIPT)))


def test_keys_come_from_the_settings_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(NEW + b"\n\n  " + OLD + b"\r\n")
    given_here = Seals.of(RedisSettings(envelope_keys=(NEW.decode(), OLD.decode())))
    from_file = Seals.of(RedisSettings(envelope_keys_file=str(file)))
    assert from_file.decoder(N1)(given_here.seal(N1, encode(RECEIPT))) == RECEIPT
    assert given_here.seal(N1, b"x") == from_file.seal(N1, b"x")
    assert not Seals.of(RedisSettings()).on


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory; name a file that can be read"),
        (b"", "needs a key of at least 32 bytes on each line"),
        (NEW + b"\nshort-secret\n", "needs a key of at least 32 bytes on each line"),
    ],
)
def test_a_file_that_will_not_do_is_one_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettings) as caught:
        Seals.of(RedisSettings(envelope_keys_file=str(file)))
    assert words in str(caught.value)
    assert "redis.envelope_keys_file" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_key_is_shown() -> None:
    settings = RedisSettings(envelope_keys=(NEW.decode(),))
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {Seals.of(settings)!r}"
    assert NEW.decode() not in shown
