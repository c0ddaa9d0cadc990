"""Tokens of our own making, for tests, demos and scripts; users get theirs from an issuer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.auth.claims import identity_of
from node.auth.jwt import MAX_TOKEN_CHARACTERS, read_keys, rules_of
from node.auth.keys import usable
from router.errors import InvalidRequest, InvalidSettings, Unauthenticated
from router.model import UserId, check_name, check_user
from router.settings import AuthSettings

_NO_TOKENS: Final = {
    "dev": "nobody asks for one: connect as /ws?user={user}, or set auth.mode to jwt",
    "application": "the program around the nodes knows its users, and makes what it asks them for",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token shall say.

    Args:
        user: whose it is.
        ttl_s: how long it counts.
        device: the only one it is for; None for any.
        can: what they may do beside receiving; None for what the nodes' settings say.
        to: whom they may send to; None for what the nodes' settings say.
    """

    user: str
    ttl_s: float
    device: str | None = None
    can: Sequence[str] | None = None
    to: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token.

    Args:
        token: as a client sends it.
        user: whose it is.
        expires_at: when it ends, seconds since 1970.
    """

    token: str = field(repr=False)
    user: UserId
    expires_at: int


def issue(
    settings: AuthSettings, grant: Grant, private: bytes | None = None, kid: str | None = None
) -> Issued:
    """Return a token that the nodes of these settings take.

    Args:
        settings: of the nodes.
        grant: what it shall say.
        private: PEM file with the private key; None to sign with the nodes' secret.
        kid: name of that key, for nodes with several; None for none.

    Raises:
        InvalidSettings: the nodes take no tokens.
        InvalidRequest, InvalidUser: what it shall say, or be signed with, will not do.
    """
    if settings.mode != "jwt":
        words = _NO_TOKENS[settings.mode].format(user=grant.user)
        raise InvalidSettings([f'auth.mode = "{settings.mode}" knows no tokens: {words}'])
    algorithm, material = _signer(settings, private)
    claims = _claims(settings, grant, int(time.time()))
    headers = None if kid is None else {"kid": kid}
    token = jwt.encode(claims, material, algorithm, headers)
    _check(settings, token, claims)
    return Issued(token, UserId(claims["sub"]), claims["exp"])


def _claims(settings: AuthSettings, grant: Grant, now: int) -> dict[str, Any]:
    claims = {
        "sub": check_user(grant.user),
        "iat": now,
        "exp": now + max(1, round(grant.ttl_s)),
        "aud": settings.audience or None,
        "iss": settings.issuer or None,
        "device": None if grant.device is None else check_name(grant.device, "device"),
        "can": None if grant.can is None else list(grant.can),
        "to": None if grant.to is None else list(grant.to),
    }
    return {name: value for name, value in claims.items() if value is not None}


def _signer(settings: AuthSettings, private: bytes | None) -> tuple[str, Any]:
    """Return how to sign, and with what."""
    if settings.shares_secret:
        if private is not None:
            raise InvalidRequest(
                "key", f"{settings.algorithms[0]} is signed with the secret of the settings: none"
            )
        algorithm = settings.algorithms[0]
        return algorithm, read_keys(settings).candidates(algorithm, None)[0].material
    if private is None:
        names = " or ".join(settings.algorithms)
        raise InvalidRequest(
            "key", f"the nodes have public keys only: to sign with {names}, name a private key"
        )
    try:
        key: Any = load_pem_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise InvalidRequest("key", "is no private key in PEM, without a password") from exc
    found = usable(key.public_key(), settings.algorithms)
    if not found:
        raise InvalidRequest("key", f"is not for {' or '.join(settings.algorithms)}")
    return found[0], key


def _check(settings: AuthSettings, token: str, claims: dict[str, Any]) -> None:
    """Refuse to hand out what a node would refuse."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidRequest("to", f"the token has more than {MAX_TOKEN_CHARACTERS} characters")
    try:
        identity_of(msgspec.json.encode(claims), rules_of(settings), claims["iat"])
    except Unauthenticated as exc:
        raise InvalidRequest("", str(exc)) from exc
