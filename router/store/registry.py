"""The online-user registry: who is where, as one hash of routes per user.

A removal names what it removes (`endpoint/session`), so a late goodbye of one node never removes
the user's new route on another.
"""

import heapq
import re
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile
from typing import Final

from router.codec import decode_route
from router.errors import DecodeError
from router.keys import Keys
from router.model import (
    EndpointId,
    OnlineUser,
    Registered,
    Session,
    SessionId,
    UserId,
    endpoint_name,
)
from router.settings import RegistrySettings
from router.store import scripts
from router.store.fields import route_entry, route_field, route_prefixes, split_route_field
from router.store.mailbox import parse_newest
from router.store.resp import Command, id_of, keyed
from router.store.routes import Routes, parse_routes
from router.store.store import Store

_SECONDS: Final = re.compile(rb"\d{1,15}")
# Users that one script lists under an endpoint: a thousand would hold the store up for long.
_LISTED: Final = 250
_LOOKS: Final = 3  # commands that refresh one session
# Names asked of an endpoint beside its even share of a page, which is nearly always enough.
_SPARE: Final = 16


class Registry:
    """Writes and reads routes.

    Every write may be repeated safely: it sets or removes exactly one named thing.

    Args:
        store: where to ask.
        keys: key names.
        settings: TTLs.
    """

    def __init__(self, store: Store, keys: Keys, settings: RegistrySettings) -> None:
        self._store = store
        self._keys = keys
        self._user_ttl_ms = round(settings.user_ttl_s * 1000)
        self._seen_ttl_ms = round(settings.seen_ttl_s * 1000)

    async def register(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        """Write the routes of sessions of one endpoint, or refresh them; one round trip.

        Each user is listed under the endpoint first: a crash in between leaves a harmless entry.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; perhaps registered.
        """
        if not sessions:
            return Registered(True, ())
        listings = self._pack_index(sessions)
        routes = [self._pack_register(user, session) for user, session in sessions]
        replies = await self._store.answers([*listings, *routes])
        newest = [parse_newest(reply) for reply in replies[len(listings) :]]
        return Registered(all(replies[: len(listings)]), newest)

    async def refresh(self, sessions: Sequence[tuple[UserId, Session]]) -> list[bool]:
        """Give the routes of sessions of one endpoint their time anew; at half the cost of scripts.

        Returns:
            For each session whether all is well; if not, it must be registered once more. So must
            one whose user's mailbox holds something: registering tells how far it goes.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; perhaps refreshed.
        """
        if not sessions:
            return []
        endpoint = sessions[0][1].endpoint
        users = [user for user, _ in sessions]
        opened, scores, *found = await self._store.readings(
            [
                keyed("EXISTS", self._keys.open(endpoint)),
                keyed("ZMSCORE", self._keys.users(endpoint), *users),
                *(each for session in sessions for each in self._pack_refresh(*session)),
            ]
        )
        if opened != 1 or scores is None:
            return [False] * len(sessions)
        return [
            score == 0 and alive == 1 and entry == route_entry(session) and not mail
            for (_, session), score, alive, entry, mail in zip(
                sessions, scores, found[::_LOOKS], found[1::_LOOKS], found[2::_LOOKS], strict=True
            )
        ]

    def _pack_refresh(self, user: UserId, session: Session) -> tuple[Command, ...]:
        routes = self._keys.routes(user)
        field = route_field(session.endpoint, session.session)
        return (
            keyed("PEXPIRE", routes, self._user_ttl_ms),
            keyed("HGET", routes, field),
            keyed("XLEN", self._keys.mail(user)),
        )

    def _pack_index(self, sessions: Sequence[tuple[UserId, Session]]) -> list[Command]:
        """Pack the listings of users under the endpoint of their sessions, many in each."""
        users: dict[EndpointId, list[UserId]] = {}
        for user, session in sessions:
            users.setdefault(session.endpoint, []).append(user)
        return [
            scripts.INDEX.pack(
                (self._keys.open(endpoint), self._keys.users(endpoint)),
                *(word for user in some[first : first + _LISTED] for word in ("0", user)),
            )
            for endpoint, some in users.items()
            for first in range(0, len(some), _LISTED)
        ]

    def _pack_register(self, user: UserId, session: Session) -> Command:
        field = route_field(session.endpoint, session.session)
        keys = (self._keys.routes(user), self._keys.mail(user))
        return scripts.REGISTER.pack(keys, field, route_entry(session), self._user_ttl_ms)

    async def unregister(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> bool:
        """Remove a session's route.

        Args:
            user: whose.
            endpoint: which held it.
            session: which.
            last_here: the endpoint holds no other session of the user, so its listing goes too.

        Returns:
            Whether it was the user's last session anywhere.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; perhaps removed.
        """
        k = self._keys
        field = route_field(endpoint, session)
        removed = scripts.UNREGISTER.pack((k.routes(user), k.seen(user)), field, self._seen_ttl_ms)
        unlisted = [keyed("ZREM", k.users(endpoint), user)] if last_here else []
        replies = await self._store.answers([removed, *unlisted])
        return bool(replies[0])

    async def forget(
        self, user: UserId, endpoint: EndpointId, keep: Iterable[SessionId] = ()
    ) -> Routes:
        """Remove a user's routes by the endpoint they name, and look up afresh, in one step.

        Args:
            user: whose.
            endpoint: which is closed, or holds the user no longer.
            keep: sessions of that endpoint that are alive after all.

        Returns:
            Where the user is now.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; perhaps removed.
        """
        return parse_routes(await self._store.call(self.pack_forget(user, endpoint, keep)))

    def pack_forget(
        self, user: UserId, endpoint: EndpointId, keep: Iterable[SessionId] = ()
    ) -> Command:
        """Return the packed command of `forget`; its reply goes to `routes.parse_routes`."""
        keys = (self._keys.routes(user), self._keys.seen(user))
        kept = [route_field(endpoint, session) for session in keep]
        return scripts.FORGET.pack(keys, *route_prefixes(endpoint), self._seen_ttl_ms, *kept)

    async def sessions(self, user: UserId) -> list[Session]:
        """Return a user's live sessions, oldest first; [] when offline."""
        fields = await self._store.command("HGETALL", self._keys.routes(user))
        return _sessions(fields)

    async def last_seen(self, user: UserId) -> float | None:
        """Return when the user's last session left, seconds since 1970; None if not known."""
        value = (await self._store.readings((keyed("GET", self._keys.seen(user)),)))[0]
        return float(value) if value is not None and _SECONDS.fullmatch(value) else None

    async def locate(self, users: Sequence[UserId]) -> dict[UserId, list[str]]:
        """Return, for each of `users` that is online, the names of its nodes, sorted."""
        if not users:
            return {}
        replies = await self._store.readings(
            [keyed("HKEYS", self._keys.routes(user)) for user in users]
        )
        found = (
            (user, parse_routes(reply or ())) for user, reply in zip(users, replies, strict=True)
        )
        return {
            user: sorted({endpoint_name(endpoint) for endpoint in routes.endpoints})
            for user, routes in found
            if routes.endpoints
        }

    async def page(
        self, endpoints: Sequence[EndpointId], prefix: str, limit: int, after: str
    ) -> tuple[list[OnlineUser], str | None]:
        """List users in the order of their ids' bytes.

        A page is exact for users who stay: none is repeated or left out between pages.

        Args:
            endpoints: whose users.
            prefix: only ids that begin with it; "" for all.
            limit: most users to return, at least 1.
            after: the cursor of the page before; "" for the first page.

        Returns:
            The page, and the cursor of the next one; None at the end.
        """
        names = await self._names(endpoints, prefix, limit + 1, after)
        users = names[:limit]
        online = await self._describe(users)
        return online, users[-1] if len(names) > limit else None

    async def _names(
        self, endpoints: Sequence[EndpointId], prefix: str, limit: int, after: str
    ) -> list[UserId]:
        """Return the first `limit` users, those not of ours left out: a cursor cannot say them."""
        low = f"[{prefix}".encode() if prefix else b"-"
        if after and after.encode() >= prefix.encode():
            low = f"({after}".encode()
        high = b"(" + prefix.encode() + b"\xff" if prefix else b"+"  # no UTF-8 text has an 0xff
        found: list[UserId] = []
        asked = min(limit, 2 * limit // max(1, len(endpoints)) + _SPARE)
        while len(found) < limit and endpoints:
            names, end = await self._merged(endpoints, low, high, asked)
            ours = (UserId(name) for each in names if (name := id_of(each)) is not None)
            found += islice(ours, limit - len(found))
            if end:
                break
            low = b"(" + names[-1]
            asked = min(limit, 2 * asked)  # they are not spread evenly
        return found

    async def _merged(
        self, endpoints: Sequence[EndpointId], low: bytes, high: bytes, asked: int
    ) -> tuple[list[bytes], bool]:
        """Merge the beginnings of the endpoints' sorted sets.

        Args:
            asked: most names of each endpoint.

        Returns:
            Names in order, none left out between two of them; and whether these are all there are.
        """
        listings = [self._keys.users(endpoint) for endpoint in endpoints]
        found = await self._store.readings(
            [keyed("ZRANGE", each, low, high, "BYLEX", "LIMIT", 0, asked) for each in listings]
        )
        replies: list[Sequence[bytes]] = [reply or () for reply in found]
        # Behind the last name of an endpoint that has more, one of those may have to come first.
        cut = min((reply[-1] for reply in replies if len(reply) == asked), default=None)
        merged = heapq.merge(*replies)
        if cut is None:
            return list(dict.fromkeys(merged)), True
        return list(dict.fromkeys(takewhile(lambda name: name <= cut, merged))), False

    async def _describe(self, users: Sequence[UserId]) -> list[OnlineUser]:
        if not users:
            return []
        replies = await self._store.readings(
            [keyed("HGETALL", self._keys.routes(user)) for user in users]
        )
        online = []
        for user, fields in zip(users, replies, strict=True):
            sessions = _sessions(fields or {})
            if sessions:  # else the listing is older than the user's leaving
                nodes = tuple(sorted({session.node for session in sessions}))
                online.append(OnlineUser(user, len(sessions), nodes, sessions[0].since))
        return online


def _sessions(fields: dict[bytes, bytes]) -> list[Session]:
    """Return the sessions in a routes hash, oldest first; entries not of ours are left out."""
    found = []
    for field, value in fields.items():
        place = split_route_field(field)
        if place is None:
            continue
        endpoint, session = place
        try:
            entry = decode_route(value)
        except DecodeError:
            continue
        found.append(Session(session, endpoint, entry.device, entry.address, entry.since))
    return sorted(found, key=lambda session: (session.since, session.session))
