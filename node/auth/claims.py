"""What a token says, and whether that counts; pure, the time is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from node.identity import ALL_RIGHTS, EVERYBODY, Identity, Recipients, Right
from router.errors import InvalidRequest, InvalidUser, Unauthenticated
from router.model import check_name, check_user

# Beyond it a float no longer knows each second; it is the year 287396.
_END_OF_TIME: Final = 2.0**53 / 1_000
_Moment = Annotated[float, Meta(ge=0, le=_END_OF_TIME)]
_Audiences = str | Annotated[list[str], Meta(max_length=100)]


class _Claims(msgspec.Struct, frozen=True):
    """RFC 7519 section 4.1, and ours; what else stands in a token is not for us."""

    sub: str
    exp: _Moment
    iat: _Moment
    nbf: _Moment = 0.0
    aud: _Audiences = ""
    iss: str = ""
    device: str | None = None
    can: Annotated[list[Literal["send", "durable"]], Meta(max_length=2)] | None = None
    to: Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=100)] | None = None


_decoder: Final = msgspec.json.Decoder(_Claims)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say, and what one means that does not say it.

    Args:
        audience: must be among its `aud`; "" when it does not matter.
        issuer: must be its `iss`; "" when it does not matter.
        leeway_s: by how much the clocks of its issuer and of this node may differ.
        rights: of one without `can`.
        to: of one without `to`.
    """

    audience: str
    issuer: str
    leeway_s: float
    rights: frozenset[Right] = ALL_RIGHTS
    to: Recipients = EVERYBODY


def identity_of(payload: bytes, rules: Rules, now: float) -> Identity:
    """Return who the bearer of a token is.

    Args:
        payload: of a token whose signature is good.
        rules: what it must say.
        now: seconds since 1970.

    Raises:
        Unauthenticated: it does not count: here, now, or at all.
    """
    try:
        claims = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Unauthenticated(f"token: {exc}") from exc
    _check_times(claims, rules, now)
    _check_names(claims, rules)
    try:
        user = check_user(claims.sub, "sub")
        device = None if claims.device is None else check_name(claims.device, "device")
    except (InvalidUser, InvalidRequest) as exc:
        raise Unauthenticated(f"token: {exc}") from exc
    return Identity(
        user,
        device,
        rules.rights if claims.can is None else rights_of(claims.can),
        rules.to if claims.to is None else recipients_of(claims.to),
        claims.exp,
    )


def _check_times(claims: _Claims, rules: Rules, now: float) -> None:
    if claims.exp + rules.leeway_s <= now:
        raise Unauthenticated("token: it has expired; fetch a new one")
    if max(claims.nbf, claims.iat) - rules.leeway_s > now:
        raise Unauthenticated("token: it is not valid yet, or the clock of its issuer is ahead")


def _check_names(claims: _Claims, rules: Rules) -> None:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if rules.audience and rules.audience not in audiences:
        raise Unauthenticated("token: its aud does not name this service")
    if rules.issuer and rules.issuer != claims.iss:
        raise Unauthenticated("token: its iss is not the issuer this service trusts")


def rights_of(can: Sequence[str]) -> frozenset[Right]:
    """Return the rights that these words name; the very set `ALL_RIGHTS` when it is all."""
    rights = frozenset(Right(word) for word in can)
    return ALL_RIGHTS if rights == ALL_RIGHTS else rights


def recipients_of(patterns: Sequence[str]) -> Recipients:
    """Return whom these patterns name; `EVERYBODY` itself when it is everybody."""
    return EVERYBODY if "*" in patterns else Recipients(patterns)
