"""Keys that tokens are checked with: read from secrets, PEM files and JWK sets."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from router.settings.auth import SECRET_BYTES, too_short

# A token without `kid` is tried with every key: more of them, and strangers could keep us busy.
MAX_KEYS: Final = 32
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
# Below it can be broken, above it one check takes a noticeable part of a second.
_RSA_BITS: Final = range(2_048, 8_193)
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it may be used for.

    Args:
        material: as the library takes it.
        algorithms: that go with this kind of key and are allowed here.
        kid: its name; None when it has none.
    """

    material: Any = field(repr=False)
    algorithms: Sequence[str]
    kid: str | None = None


class KeyRing:
    """The keys of one moment.

    Args:
        keys: in the order in which they are tried.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def candidates(self, algorithm: str, kid: str | None) -> list[Key]:
        """Return the keys that may have signed a token.

        Args:
            algorithm, kid: what its header says.
        """
        return [
            key
            for key in self._keys
            if algorithm in key.algorithms and (None in {kid, key.kid} or kid == key.kid)
        ]


def from_secrets(secrets: Iterable[str], algorithms: Sequence[str]) -> KeyRing:
    """Return the keys that secrets are, all of them live.

    Raises:
        ValueError: a secret is too short, or no secret.
    """
    wanted = max(SECRET_BYTES[name] for name in algorithms)
    keys = []
    for secret in secrets:
        material = secret.encode()
        if len(material) < wanted:
            raise ValueError(f"a secret {too_short(len(material), wanted)}")
        if b"-----BEGIN" in material:
            raise ValueError("holds a PEM key, which is no secret: choose RS256, ES256 or EdDSA")
        keys.append(Key(material, algorithms))
    if not keys:
        raise ValueError("holds no secret: write one into it, in one line")
    return KeyRing(keys)


def from_pem(text: bytes, algorithms: Sequence[str]) -> KeyRing:
    """Return the public keys of a PEM file.

    Raises:
        ValueError: there is none for `algorithms`, or a private one, too.
    """
    keys = []
    for block in _PEM.finditer(text):
        if b"PRIVATE" in block[1]:
            raise ValueError(
                "holds a private key, and whoever reads it can be anybody: leave that with who "
                "signs, and put here what `openssl pkey -in FILE -pubout` prints"
            )
        if b"PUBLIC KEY" not in block[1]:
            raise ValueError(
                f"holds a {block[1].decode().lower()}, which is no public key: put here what "
                "`openssl x509 -in FILE -noout -pubkey` prints"
            )
        try:
            material = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise ValueError("holds a public key that cannot be read") from exc
        keys.append(Key(material, usable(material, algorithms)))
    return _ring(keys, algorithms)


def from_jwks(document: bytes, algorithms: Sequence[str]) -> KeyRing:
    """Return the public keys of a JWK set (RFC 7517); those for other things are passed over.

    Raises:
        ValueError: there is none for `algorithms`, or a private one, too.
    """
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise ValueError('is no JWK set like {"keys":[...]}') from exc
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"has no list of at most {MAX_KEYS} keys")
    return _ring((_from_jwk(each, algorithms) for each in listed), algorithms)


def _from_jwk(described: Any, algorithms: Sequence[str]) -> Key:
    none = Key(None, ())
    if not isinstance(described, dict):
        return none
    if "d" in described:
        raise ValueError("publishes a private key: take it away and make a new one")
    alg, kid, uses = described.get("alg"), described.get("kid"), described.get("key_ops")
    for_signatures = described.get("use", "sig") == "sig" and (
        uses is None or (isinstance(uses, list) and "verify" in uses)
    )
    named = algorithms if alg is None else [name for name in algorithms if name == alg]
    if described.get("kty") == "oct" or not for_signatures or not named:
        return none
    try:
        material = jwt.PyJWK(described).key
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, UnsupportedAlgorithm):
        return none  # of a kind that we do not know; others of the set may be for us
    return Key(material, usable(material, named), kid if isinstance(kid, str) else None)


def _ring(found: Iterable[Key], algorithms: Sequence[str]) -> KeyRing:
    keys = [key for key in found if key.algorithms]
    if not keys or len(keys) > MAX_KEYS:
        many = f"more than {MAX_KEYS} public keys" if keys else "no public key"
        raise ValueError(f"has {many} for {' or '.join(algorithms)} (auth.algorithms)")
    return KeyRing(keys)


def usable(material: Any, algorithms: Sequence[str]) -> list[str]:
    """Return which of `algorithms` go with a key."""
    fitting: Sequence[str] = ()
    if isinstance(material, RSAPublicKey) and material.key_size in _RSA_BITS:
        fitting = _RSA
    elif isinstance(material, EllipticCurvePublicKey):
        fitting = (_CURVES.get(material.curve.name, ""),)
    elif isinstance(material, (Ed25519PublicKey, Ed448PublicKey)):
        fitting = ("EdDSA",)
    return [name for name in algorithms if name in fitting]
