"""Tokens, keys of callers, tickets as they lie in the store, and key sets that are fetched."""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from tornado.httputil import HTTPInputError

from node.auth import Scope, apikeys, tickets
from node.auth.claims import Rules, identity_of
from node.auth.jwt import TokenGate
from node.auth.keys import from_jwks
from router.counts import Counts
from router.errors import Unauthenticated
from router.settings import AuthSettings
from tests.support.requests import handshake
from tests.support.tokens import SECRET, forged, jwks, public_pem, token

_ASYMMETRIC: Final = ("RS256", "ES256", "EdDSA")
_END: Final = 9_999_999_999  # the same inputs tomorrow, for the same seed
_CLAIMS: Final = {"sub": "alice", "iat": 1, "exp": _END}
_MORE: Final = {
    "aud": "app",
    "iss": "me",
    "device": "web",
    "can": ["send"],
    "to": ["b*b"],
    "nbf": 0,
}
TOKENS: Final = tuple(
    text.encode()
    for text in (
        token(iat=1, exp=_END),
        token("bob", key="x" * 64, headers={"kid": "../../etc/passwd"}, iat=1, exp=_END),
        *(forged({"alg": name, "kid": "a"}, _CLAIMS, b"x" * 64) for name in _ASYMMETRIC),
        forged({"alg": "none"}, _CLAIMS),
        forged({"alg": "HS256", "jwk": {}, "crit": ["b64"], "b64": False}, _CLAIMS, b"x"),
        token(headers={"jku": "http://127.0.0.1/keys", "x5u": "http://a/"}, iat=1, exp=_END),
    )
)
PAYLOADS: Final = tuple(
    json.dumps(_CLAIMS | more).encode()
    for more in (_MORE, {"aud": ["app", "other"]}, {"exp": 1e308, "iat": -1.5})
)
# Public keys of RFC 7517, appendix A.1, and RFC 8037, appendix A.2.
_EC: Final = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
_OKP: Final = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
_RSA: Final = {"kty": "RSA", "n": "_" * 342, "e": "AQAB"}
KEY_SETS: Final = (
    jwks(_EC | {"kid": "a"}, _OKP | {"use": "sig"}, _RSA | {"alg": "RS256"}),
    jwks(_EC | {"alg": "ES256", "key_ops": ["verify"]}),
)
HOLDERS: Final = (
    msgspec.msgpack.encode(
        {"user": "alice", "device": "web", "can": ["send"], "to": ["b*"], "expires_at": 9e9}
    ),
    msgspec.msgpack.encode({"user": "a", "device": None, "can": [], "to": [], "expires_at": None}),
)
WORDS: Final = (
    *(b'"alg"', b'"none"', b'"kid"', b'"exp":', b'"sub":', b'"aud":', b"1e999", b"NaN", b"null"),
    *(b"[" * 64, b'{"a":' * 64, b"9" * 400, b'"\\ud800"', b"\xed\xa0\x80", b"=", b".", b".."),
    *(b'"kty":', b'"oct"', b'"n":""', b'"e":"AQAB"', b'"crv":', b'"x":', b'"keys":', b'"d":""'),
)
_RULES: Final = Rules("app", "me", 10.0)
_loop: Final = asyncio.new_event_loop()


def _gates() -> list[TokenGate]:
    """Return a gate for each kind of key; what is signed with others must not pass."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[dict[str, Any]] = [{"mode": "jwt", "secret": SECRET}]
        for name in _ASYMMETRIC:
            file = Path(folder, name)
            file.write_bytes(public_pem(name))
            found.append({"mode": "jwt", "algorithms": [name], "key_file": str(file)})
        return [
            TokenGate(AuthSettings.model_validate(each), lambda *_: None, lambda _: True, Counts())
            for each in found
        ]


_GATES: Final = _gates()
_KEYS: Final = apikeys.ApiKeys(None)


def tokens(data: bytes) -> None:
    """Show a token at each gate; alice's own is all that may pass."""
    text = data.decode("latin-1")
    for gate in _GATES:
        try:
            identity = _loop.run_until_complete(gate.renew(text))
        except Unauthenticated:
            continue
        assert identity.user == "alice"
        assert gate is _GATES[0]
    try:
        request = handshake("", ("Authorization", f"Bearer {text}"))
    except HTTPInputError:
        return  # Tornado answers 400
    for scope in Scope:
        try:
            _KEYS.check(request, scope)
        except Unauthenticated:
            continue
        raise AssertionError("there are no keys, and one passed")


def payloads(data: bytes) -> None:
    """Read what a token says whose signature is good."""
    try:
        identity = identity_of(data, _RULES, time.time())
    except Unauthenticated as exc:
        str(exc).encode("utf-8", "backslashreplace")
        return
    assert identity.user
    assert identity.expires_at > time.time() - 20
    assert ("b" * 300 in identity.to) in {True, False}


def key_sets(data: bytes) -> None:
    """Read what lies at the address of a key set."""
    try:
        ring = from_jwks(data, _ASYMMETRIC)
    except ValueError:
        return
    assert len(ring)


def holders(data: bytes) -> None:
    """Read what lies in the store for a ticket."""
    identity = tickets._identity(data)
    assert identity is None or identity.user
