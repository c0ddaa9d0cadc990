"""The endpoints of a cluster: who may receive (`open`) and who was alive lately (`lease`).

Two ideas kept apart. `open` is an atomic fact, checked in the same step as every push. The lease
is a hint: it ends by itself when heartbeats stop, and starts a rescue.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from hiredis import ReplyError

from router.codec import Lease, decode_lease, encode
from router.counts import Counts
from router.errors import DecodeError, Garbage, StoreRefused
from router.keys import Keys
from router.model import Endpoint, EndpointId, endpoint_name
from router.settings import LeaseSettings
from router.store import scripts
from router.store.answers import NoReply
from router.store.connect import is_full, is_garbage
from router.store.resp import Command, id_of, keyed
from router.store.store import Store
from router.vitals import UNKNOWN

_EPOCH_BYTES: Final = 5
_TRIES: Final = 5
# Ids to choose from: with ten masters, one of them has none of these once in a thousand times.
_DRAWN: Final = 64
_NO_KEY: Final = -2  # PTTL
# Processes of one cluster may have different TTLs; by so much no two differ.
_LONGER: Final = 100


def pack_mend(keys: Keys, endpoint: EndpointId) -> Command:
    """Return the packed command that clears what is none of ours out of an endpoint's keys.

    Its reply is how many things it has removed.
    """
    names = (keys.inbox(endpoint), keys.rescued(endpoint), keys.rescuer(endpoint))
    return scripts.MEND.pack((*names, keys.done(endpoint), keys.users(endpoint)))


def _draw(name: str) -> EndpointId:
    return EndpointId(f"{name}.{secrets.token_hex(_EPOCH_BYTES)}")


class Leases:
    """Opens, keeps and lists endpoints.

    Args:
        store: where to ask.
        keys: key names.
        settings: TTL of a lease.
    """

    def __init__(self, store: Store, keys: Keys, settings: LeaseSettings) -> None:
        self._store = store
        self._keys = keys
        self._ttl_ms = round(settings.ttl_s * 1000)

    @property
    def counts(self) -> Counts:
        """Return what the process counts."""
        return self._store.counts

    async def open(self, name: str, lease: Lease) -> EndpointId:
        """Let a new epoch of `name` receive, and return its endpoint id.

        The epoch is random, so an id is never used twice, whoever chooses it and whatever was
        cleaned up before. In a Cluster it is one whose inbox falls to the master that has the
        fewest. The endpoint is listed first: a crash in between leaves a name that nobody can push
        to.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        for _ in range(_TRIES):
            endpoint = await self._next(name)
            await self._list(endpoint)
            keys = (self._keys.open(endpoint), self._keys.lease(endpoint))
            if await self._store.call(scripts.OPEN.pack(keys, encode(lease), self._ttl_ms)):
                return endpoint
        raise StoreRefused(f"no free epoch for endpoint {name}")

    async def _next(self, name: str) -> EndpointId:
        """Return an id for a new epoch."""
        first = _draw(name)
        if not self._place(first):
            return first  # there is one server, and nothing to choose
        drawn = [first, *(_draw(name) for _ in range(_DRAWN - 1))]
        taken = Counter(self._place(known) for known in await self.ids())
        return min(drawn, key=lambda endpoint: taken[self._place(endpoint)])

    def _place(self, endpoint: EndpointId) -> str:
        return self._store.place(self._keys.inbox(endpoint))

    async def heartbeat(self, endpoint: EndpointId, lease: Lease) -> int | None:
        """Renew a lease.

        Returns:
            The store's time in milliseconds since 1970; None if the endpoint is fenced.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        keys = (self._keys.open(endpoint), self._keys.lease(endpoint))
        renew = scripts.HEARTBEAT.pack(keys, encode(lease), self._ttl_ms)
        # Listed again each time: a store that was rolled back, or a rescuer that met us half-way
        # through `open`, may have taken us off the list.
        enlist = keyed("SADD", self._keys.endpoints, endpoint)
        # What stands in the place of our own keys must not leave us deaf.
        mend = pack_mend(self._keys, endpoint)
        renewed, listed, mended = await self._store.tries((renew, enlist, mend))
        if is_garbage(listed):
            await self._list(endpoint)
        self._refuse(renewed)
        # A full store renews a lease and lists nothing: it has room for all but a new name. And in
        # a Cluster the list may be away while the lease is not: it is for the next time.
        if not is_full(listed) and not is_garbage(listed) and type(listed) is not NoReply:
            self._refuse(listed)
        self.counts.garbage += mended if type(mended) is int else 0
        return int(renewed) if renewed >= 0 else None

    def _refuse(self, reply: Any) -> None:
        """Raise what stands in the place of a reply."""
        if type(reply) is NoReply:
            raise reply.error
        if type(reply) is ReplyError:
            raise self._store.explain(reply)

    async def _list(self, endpoint: EndpointId) -> None:
        """List an endpoint; what has taken the list's place goes, and all list themselves again."""
        listed = keyed("SADD", self._keys.endpoints, endpoint)
        try:
            await self._store.call(listed)
        except Garbage:
            self.counts.garbage += 1
            await self._store.answers((keyed("DEL", self._keys.endpoints), listed))

    async def end(self, endpoint: EndpointId) -> None:
        """End a lease before its time, so that the endpoint may be rescued now.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        await self._store.command("DEL", self._keys.lease(endpoint))

    async def close(self, endpoint: EndpointId) -> int:
        """End an endpoint if its inbox is empty.

        One that was fenced stays listed, with whatever is left of it: that is its rescuer's.

        Returns:
            0 when it is closed or fenced; else how many envelopes still wait, and nothing was
            changed.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        k = self._keys
        keys = (k.open(endpoint), k.lease(endpoint), k.inbox(endpoint), k.done(endpoint))
        waiting = int(await self._store.call(scripts.CLOSE.pack((*keys, k.users(endpoint)))))
        if waiting == 0:
            await self._store.command("SREM", k.endpoints, endpoint)
        return max(0, waiting)

    async def ids(self) -> list[EndpointId]:
        """Return every endpoint that has not been cleaned up, sorted; names not of ours left out.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        return self._ours(await self._store.command("SMEMBERS", self._keys.endpoints))

    async def some(self, most: int) -> tuple[list[EndpointId], int]:
        """Return some of `ids`, chosen anew each time, and how many there are in all.

        What every process does again and again must not grow with the number of processes: its cost
        would grow with their square (https://redis.io/docs/latest/commands/srandmember/).

        Args:
            most: so many at most; where there are no more, all of them.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        known = self._keys.endpoints
        members, count = await self._store.answers(
            (keyed("SRANDMEMBER", known, most), keyed("SCARD", known))
        )
        return self._ours(members), int(count)

    async def listed(self, endpoints: Collection[EndpointId]) -> list[EndpointId]:
        """Return those of `endpoints` that have not been cleaned up.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        if not endpoints:
            return []
        found = await self._store.command("SMISMEMBER", self._keys.endpoints, *endpoints)
        return [endpoint for endpoint, there in zip(endpoints, found, strict=True) if there]

    def _ours(self, members: Sequence[bytes]) -> list[EndpointId]:
        names = [name for member in members if (name := id_of(member)) is not None]
        self.counts.garbage += len(members) - len(names)
        return sorted(EndpointId(name) for name in names)

    async def without_lease(self, endpoints: Sequence[EndpointId]) -> list[EndpointId]:
        """Return those of `endpoints` whose lease has ended.

        A lease whose end is not where a heartbeat puts it is given one: without it, what died would
        seem alive for as long.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        if not endpoints:
            return []
        replies = await self._store.answers(
            [keyed("PTTL", self._keys.lease(endpoint)) for endpoint in endpoints]
        )
        pairs = list(zip(endpoints, replies, strict=True))
        strange = [e for e, left_ms in pairs if left_ms == -1 or left_ms > _LONGER * self._ttl_ms]
        if strange:
            self.counts.garbage += len(strange)
            await self._store.answers(
                [keyed("PEXPIRE", self._keys.lease(e), self._ttl_ms) for e in strange]
            )
        return [endpoint for endpoint, left_ms in pairs if left_ms == _NO_KEY]

    async def describe(self, endpoints: Iterable[EndpointId]) -> list[Endpoint]:
        """Return what is known of each endpoint, in the order given; closed ones are left out.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        wanted = list(endpoints)
        if not wanted:
            return []
        commands = [each for endpoint in wanted for each in self._questions(endpoint)]
        replies = await self._store.readings(commands)
        described = (
            self._describe(endpoint, *replies[4 * i : 4 * i + 4])
            for i, endpoint in enumerate(wanted)
        )
        return [endpoint for endpoint in described if endpoint is not None]

    async def everybody(self) -> list[Endpoint]:
        """Return what is known of every endpoint that has not been cleaned up, by id.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        return await self.describe(await self.ids())

    def _questions(self, endpoint: EndpointId) -> tuple[Command, ...]:
        lease = self._keys.lease(endpoint)
        return (
            keyed("GET", self._keys.open(endpoint)),
            keyed("GET", lease),
            keyed("PTTL", lease),
            keyed("LLEN", self._keys.inbox(endpoint)),
        )

    def _describe(
        self,
        endpoint: EndpointId,
        opened: bytes | None,
        value: bytes | None,
        left_ms: int,
        waiting: int | None,
    ) -> Endpoint | None:
        if opened is None and value is None:
            return None
        state = None if value is not None else "lost"
        try:
            lease = decode_lease(value or opened or b"")
        except DecodeError:  # somebody else's hand, or another version: it is there, no more
            lease = Lease("node", 0, "", "unreadable", 0, 0, 0, 0.0, 0.0)
        return Endpoint(
            name=endpoint_name(endpoint),
            endpoint=endpoint,
            role=lease.role,
            pid=lease.pid,
            address=lease.address,
            state=state or lease.state,
            sessions=lease.sessions if state is None else 0,
            inbox_length=waiting or 0,
            heartbeat_age_seconds=max(0, self._ttl_ms - left_ms) / 1000 if left_ms > 0 else None,
            received=lease.received,
            delivered=lease.delivered,
            received_per_second=lease.received_per_second,
            delivered_per_second=lease.delivered_per_second,
            vitals=lease.vitals if state is None else UNKNOWN,
        )
