"""Seals on what lies in the store: only who has a key can write it, and only for one place.

A seal is a keyed hash (BLAKE2b, RFC 7693: a third of the time of HMAC-SHA-256 on messages of this
size) of the place and the bytes behind it. The place is the endpoint whose inbox it is for, or the
user whose mailbox: so what was sealed for one is worth nothing in another. The first key seals, all
of them are tried on what is read; so keys can be changed while everything runs.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Self

from router.codec import (
    Envelope,
    StoredMessage,
    decode_envelope,
    decode_stored,
    encode,
)
from router.errors import DecodeError, InvalidSettings
from router.model import EndpointId, UserId
from router.settings import RedisSettings

# No MessagePack value begins with 0xc1, so what is sealed is an error to who expects none. Then the
# version of the seal.
_MARK: Final = b"\xc1\x01"
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = len(_MARK) + _TAG_BYTES
_KEY_BYTES: Final = 32

Decoder = Callable[[bytes], Envelope]


class Seals:
    """Seals, and looks at seals; without keys it does neither, and costs nothing.

    Args:
        secrets: the keys, the one that seals first; none of them is shorter than 32 bytes.
    """

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self._keys = tuple(
            hashlib.blake2b(secret, digest_size=_KEY_BYTES, person=b"switchboard").digest()
            for secret in secrets
        )

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        """Return what the settings ask for.

        Raises:
            InvalidSettings: the file of the keys cannot be used.
        """
        secrets = [key.get_secret_value().encode() for key in settings.envelope_keys]
        if settings.envelope_keys_file:
            secrets += _read(settings.envelope_keys_file)
        return cls(secrets)

    @property
    def on(self) -> bool:
        """Say whether there are keys."""
        return bool(self._keys)

    def seal(self, endpoint: EndpointId, envelope: bytes) -> bytes:
        """Return an envelope for the inbox of `endpoint`, sealed."""
        return self._sealed(b"inbox " + endpoint.encode(), envelope)

    def decoder(self, endpoint: EndpointId) -> Decoder:
        """Return what reads the entries of one inbox; raising DecodeError as `decode_envelope`."""
        if not self._keys:
            return decode_envelope
        place = b"inbox " + endpoint.encode()
        return lambda entry: decode_envelope(self._opened(place, entry))

    def writer(self) -> Callable[[UserId, StoredMessage], bytes]:
        """Return what makes the value of a mailbox entry."""
        if not self._keys:
            return lambda user, message: encode(message)
        return lambda user, message: self._sealed(b"mail " + user.encode(), encode(message))

    def reader(self, user: UserId) -> Callable[[bytes], StoredMessage]:
        """Return what reads the values in one user's mailbox; raising DecodeError."""
        if not self._keys:
            return decode_stored
        place = b"mail " + user.encode()
        return lambda value: decode_stored(self._opened(place, value))

    def _sealed(self, place: bytes, data: bytes) -> bytes:
        return _MARK + _tag(self._keys[0], place, data) + data

    def _opened(self, place: bytes, entry: bytes) -> bytes:
        """Return what is behind a seal.

        Raises:
            DecodeError: there is none, or none of our keys has made it for this place.
        """
        tag, data = entry[len(_MARK) : _HEAD_BYTES], entry[_HEAD_BYTES:]
        if not entry.startswith(_MARK) or len(tag) < _TAG_BYTES:
            raise DecodeError("it has no seal")
        for key in self._keys:
            if hmac.compare_digest(tag, _tag(key, place, data)):
                return data
        raise DecodeError("its seal is wrong: of another key, or for another place")


def _tag(key: bytes, place: bytes, data: bytes) -> bytes:
    # The length in front: no two pairs of a place and data are the same bytes.
    hashed = hashlib.blake2b(len(place).to_bytes(2, "big") + place, key=key, digest_size=_TAG_BYTES)
    hashed.update(data)
    return hashed.digest()


def _read(path: str) -> list[bytes]:
    """Return the keys in a file, one a line."""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as exc:
        raise InvalidSettings(
            [f"redis.envelope_keys_file: {path}: {exc.strerror}; name a file that can be read"]
        ) from exc
    secrets = [line.strip() for line in lines if line.strip()]
    if not secrets or any(len(secret) < _KEY_BYTES for secret in secrets):
        raise InvalidSettings(
            [
                f"redis.envelope_keys_file: {path}: needs a key of at least {_KEY_BYTES} bytes on "
                "each line, such as `openssl rand -hex 32` makes"
            ]
        )
    return secrets
