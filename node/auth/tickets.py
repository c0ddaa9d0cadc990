"""One-time tickets: for an address, in which a token would stay for others to see."""

import hashlib
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from tornado.httputil import HTTPServerRequest

from node.auth.bearer import bearer_of
from node.auth.claims import recipients_of, rights_of
from node.identity import Identity
from node.names import NAME_SCHEMA, USER_SCHEMA
from router.errors import InvalidRequest, InvalidUser, Unauthenticated
from router.model import check_name, check_user
from router.settings import AuthSettings
from router.store.tickets import TicketStore

MAX_TTL_S: Final = 30.0
MAX_PATTERNS: Final = 100
MAX_PATTERN_CHARACTERS: Final = 256
_PREFIX: Final = "st_"
_RANDOM_BYTES: Final = 32
_UNUSABLE: Final = (
    "token: this ticket was used already, is too old, or never was one; fetch another"
)

Can = Annotated[list[Literal["send", "durable"]], Meta(max_length=2)]
To = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=MAX_PATTERN_CHARACTERS)]],
    Meta(max_length=MAX_PATTERNS),
]


class _Holder(msgspec.Struct, frozen=True):
    """What lies in the store: an `Identity`. It is read as if a stranger had put it there."""

    user: str
    device: str | None
    can: Can
    to: To
    expires_at: Annotated[float, Meta(ge=0)] | None


class TicketOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a ticket is for, and what its session may do."""

    user: Annotated[
        Annotated[str, Meta(extra_json_schema=USER_SCHEMA)] | None,
        Meta(description="whose session; with a token, the token's"),
    ] = None
    device: Annotated[
        Annotated[str, Meta(extra_json_schema=NAME_SCHEMA)] | None,
        Meta(description="the only device it is for; null for the one it names"),
    ] = None
    can: Annotated[
        Can | None,
        Meta(description="beside receiving; null for everything, with a token for its rights"),
    ] = None
    to: Annotated[
        To | None, Meta(description="users it may send to, * stands for any characters")
    ] = None
    ttl_s: Annotated[float, Meta(gt=0, le=MAX_TTL_S, description="seconds it counts")] = MAX_TTL_S

    def identity(self, settings: AuthSettings) -> Identity:
        """Return whom it is for.

        Args:
            settings: say what somebody may do of whom nothing is said.

        Raises:
            InvalidUser, InvalidRequest: nobody can be called so, or nobody is named.
        """
        if self.user is None:
            raise InvalidRequest("user", "with a key, a ticket is for a user: name one")
        rights = rights_of(settings.can if self.can is None else self.can)
        to = recipients_of(settings.to if self.to is None else self.to)
        return Identity(check_user(self.user), self._device(), rights, to)

    def bound_to(self, caller: Identity) -> Identity:
        """Return `caller`, for the device that is named here, if one is.

        Raises:
            InvalidRequest: no device can be called so.
        """
        return replace(caller, device=self._device() or caller.device)

    def _device(self) -> str | None:
        return None if self.device is None else check_name(self.device, "device")


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Holder).decode


@dataclass(frozen=True, slots=True)
class Ticket:
    """A new ticket.

    Args:
        text: what its holder connects with, once.
        expires_at: until when, seconds since 1970.
    """

    text: str = field(repr=False)
    expires_at: float


class Tickets:
    """Makes tickets and takes them again, on whichever node of the cluster.

    Args:
        store: keeps them meanwhile.
        now: seconds since 1970.
    """

    def __init__(self, store: TicketStore, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def issue(self, identity: Identity, ttl_s: float = MAX_TTL_S) -> Ticket:
        """Return a ticket for a session of `identity`, which ends when that does.

        Args:
            identity: whose, and what it may do.
            ttl_s: how long the ticket counts.

        Raises:
            Unauthenticated: `identity` has ended.
            Unavailable, StoreRefused: the store is away or refuses.
        """
        now = self._now()
        ttl_s = min(ttl_s, identity.expires_at - now)
        if ttl_s <= 0:
            raise Unauthenticated("token: it has expired; fetch a new one")
        text = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        await self._store.put(_hash(text), _encode(_holder(identity)), math.ceil(ttl_s * 1_000))
        return Ticket(text, now + ttl_s)

    async def holder_of(self, request: HTTPServerRequest) -> Identity | None:
        """Return who a handshake is from that came with a ticket, which is gone by then.

        Returns:
            None when the request has no ticket, but another token or none.

        Raises:
            Unauthenticated: the ticket does not count, or there are several tokens.
            Unavailable, StoreRefused: the store is away or refuses.
        """
        bearer = bearer_of(request)
        if bearer is None or not is_ticket(bearer.token):
            return None
        return await self.take(bearer.token)

    async def take(self, text: str) -> Identity:
        """Return whose ticket this is; it counts no more.

        Raises:
            Unauthenticated: it does not count.
            Unavailable, StoreRefused: the store is away or refuses.
        """
        lies = await self._store.take(_hash(text))
        identity = None if lies is None else _identity(lies)
        if identity is None or identity.expires_at <= self._now():
            raise Unauthenticated(_UNUSABLE)
        return identity


def is_ticket(token: str) -> bool:
    """Say whether a token is meant to be a ticket."""
    return token.startswith(_PREFIX)


def _hash(text: str) -> str:
    """Return under what a ticket is kept: who can read the store cannot connect with it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _holder(identity: Identity) -> _Holder:
    return _Holder(
        identity.user,
        identity.device,
        sorted(right.value for right in identity.rights),
        list(identity.to.patterns),
        None if identity.expires_at == math.inf else identity.expires_at,
    )


def _identity(lies: bytes) -> Identity | None:
    """Return who a ticket is for; None if what lies in the store cannot be used."""
    try:
        holder = _decode(lies)
        user = check_user(holder.user)
        device = None if holder.device is None else check_name(holder.device, "device")
    except (msgspec.DecodeError, ValueError, RecursionError, InvalidUser, InvalidRequest):
        return None
    expires_at = math.inf if holder.expires_at is None else holder.expires_at
    return Identity(user, device, rights_of(holder.can), recipients_of(holder.to), expires_at)
