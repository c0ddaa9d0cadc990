"""Tokens and the keys they are signed with."""

import base64
import functools
import json
import time
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

SECRET: Final = "a secret of the tests, which is long enough for HS512: 64 bytes!!"
OTHER_SECRET: Final = "another secret of the tests, which is just as long as the 1st one"
_Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@functools.cache
def private_key(algorithm: str, which: int = 0) -> _Private:
    """Return a key to sign with; one and the same for the same arguments."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65_537, 2_048)


def private_pem(algorithm: str, which: int = 0) -> bytes:
    """Return that key as a file."""
    key = private_key(algorithm, which)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(algorithm: str, which: int = 0) -> bytes:
    """Return its public half as a file."""
    public = private_key(algorithm, which).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(algorithm: str, kid: str | None = None, which: int = 0, **fields: Any) -> dict[str, Any]:
    """Return its public half as an entry of a JWK set."""
    kind = jwt.algorithms.get_default_algorithms()[algorithm]
    described: dict[str, Any] = kind.to_jwk(
        private_key(algorithm, which).public_key(), as_dict=True
    )
    described.pop("key_ops", None)
    return described | ({} if kid is None else {"kid": kid}) | fields


def jwks(*keys: dict[str, Any]) -> bytes:
    """Return a JWK set."""
    return json.dumps({"keys": keys}).encode()


def claims(user: str = "alice", life_s: float = 3_600, **fields: Any) -> dict[str, Any]:
    """Return what a token says; a field that is None is left out."""
    now = int(time.time())
    common = {"sub": user, "iat": now, "exp": now + life_s}
    return {name: value for name, value in {**common, **fields}.items() if value is not None}


def token(
    user: str = "alice",
    life_s: float = 3_600,
    *,
    algorithm: str = "HS256",
    key: Any = SECRET,
    headers: dict[str, Any] | None = None,
    **fields: Any,
) -> str:
    """Return a signed token; arguments as `claims`."""
    return jwt.encode(claims(user, life_s, **fields), key, algorithm, headers)


def signed_for(algorithm: str, which: int = 0, **fields: Any) -> str:
    """Return a token signed with `private_key`; arguments as `token`."""
    return token(algorithm=algorithm, key=private_key(algorithm, which), **fields)


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    """Return what looks like a token and says anything."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
