"""The endpoints of a cluster: who may receive (`open`) and who was alive lately (`lease`).

Two ideas kept apart. `open` is an atomic fact, checked in the same step as every push. The lease
is a hint: it ends by itself when heartbeats stop, and starts a rescue.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from hiredis import ReplyError

from router.codec import Lease, decode_lease, encode
from router.counts import Counts
from router.errors import DecodeError, Garbage, StoreRefused
from router.keys import Keys
from router.model import Endpoint, EndpointId, endpoint_name
from router.settings import LeaseSettings
from router.store import scripts
from router.store.connect import is_full, is_garbage
from router.store.link import Link
from router.store.resp import id_of, pack
from router.vitals import UNKNOWN

_EPOCH_BYTES: Final = 5
_TRIES: Final = 5
_NO_KEY: Final = -2  # PTTL
# Processes of one cluster may have different TTLs; by so much no two differ.
_LONGER: Final = 100


def pack_mend(keys: Keys, endpoint: EndpointId) -> bytes:
    """Return the packed command that clears what is none of ours out of an endpoint's keys.

    Its reply is how many things it has removed.
    """
    names = (keys.inbox(endpoint), keys.rescued(endpoint), keys.rescuer(endpoint))
    return scripts.MEND.pack((*names, keys.done(endpoint), keys.users(endpoint)))


class Leases:
    """Opens, keeps and lists endpoints.

    Args:
        link: where to ask.
        keys: key names.
        settings: TTL of a lease.
    """

    def __init__(self, link: Link, keys: Keys, settings: LeaseSettings) -> None:
        self._link = link
        self._keys = keys
        self._ttl_ms = round(settings.ttl_s * 1000)

    @property
    def counts(self) -> Counts:
        """Return what the process counts."""
        return self._link.counts

    async def open(self, name: str, lease: Lease) -> EndpointId:
        """Let a new epoch of `name` receive, and return its endpoint id.

        The epoch is random, so an id is never used twice, whoever chooses it and whatever was
        cleaned up before. The endpoint is listed first: a crash in between leaves a name that
        nobody can push to.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        for _ in range(_TRIES):
            endpoint = EndpointId(f"{name}.{secrets.token_hex(_EPOCH_BYTES)}")
            await self._list(endpoint)
            keys = (self._keys.open(endpoint), self._keys.lease(endpoint))
            if await self._link.call(scripts.OPEN.pack(keys, encode(lease), self._ttl_ms)):
                return endpoint
        raise StoreRefused(f"no free epoch for endpoint {name}")

    async def heartbeat(self, endpoint: EndpointId, lease: Lease) -> int | None:
        """Renew a lease.

        Returns:
            The store's time in milliseconds since 1970; None if the endpoint is fenced.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        keys = (self._keys.open(endpoint), self._keys.lease(endpoint))
        data = scripts.HEARTBEAT.pack(keys, encode(lease), self._ttl_ms)
        # Listed again each time: a store that was rolled back, or a rescuer that met us half-way
        # through `open`, may have taken us off the list.
        data += pack("SADD", self._keys.endpoints, endpoint)
        # What stands in the place of our own keys must not leave us deaf.
        data += pack_mend(self._keys, endpoint)
        renewed, listed, mended = await self._link.ask(data, 3)
        if is_garbage(listed):
            await self._list(endpoint)
        # A full store renews a lease and lists nothing: it has room for all but a new name.
        for reply in (renewed, None if is_full(listed) or is_garbage(listed) else listed):
            if type(reply) is ReplyError:
                raise self._link.explain(reply)
        self.counts.garbage += mended if type(mended) is int else 0
        return int(renewed) if renewed >= 0 else None

    async def _list(self, endpoint: EndpointId) -> None:
        """List an endpoint; what has taken the list's place goes, and all list themselves again."""
        listed = pack("SADD", self._keys.endpoints, endpoint)
        try:
            await self._link.call(listed)
        except Garbage:
            self.counts.garbage += 1
            await self._link.answers(pack("DEL", self._keys.endpoints) + listed, 2)

    async def end(self, endpoint: EndpointId) -> None:
        """End a lease before its time, so that the endpoint may be rescued now.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        await self._link.command("DEL", self._keys.lease(endpoint))

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
        waiting = int(await self._link.call(scripts.CLOSE.pack((*keys, k.users(endpoint)))))
        if waiting == 0:
            await self._link.command("SREM", k.endpoints, endpoint)
        return max(0, waiting)

    async def ids(self) -> list[EndpointId]:
        """Return every endpoint that has not been cleaned up, sorted; names not of ours left out.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        members = await self._link.command("SMEMBERS", self._keys.endpoints)
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
        data = b"".join(pack("PTTL", self._keys.lease(endpoint)) for endpoint in endpoints)
        replies = await self._link.answers(data, len(endpoints))
        pairs = list(zip(endpoints, replies, strict=True))
        strange = [e for e, left_ms in pairs if left_ms == -1 or left_ms > _LONGER * self._ttl_ms]
        if strange:
            self.counts.garbage += len(strange)
            ends = (pack("PEXPIRE", self._keys.lease(e), self._ttl_ms) for e in strange)
            await self._link.answers(b"".join(ends), len(strange))
        return [endpoint for endpoint, left_ms in pairs if left_ms == _NO_KEY]

    async def describe(self, endpoints: Iterable[EndpointId]) -> list[Endpoint]:
        """Return what is known of each endpoint, in the order given; closed ones are left out.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        wanted = list(endpoints)
        if not wanted:
            return []
        data = b"".join(self._questions(endpoint) for endpoint in wanted)
        replies = await self._link.readings(data, 4 * len(wanted))
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

    def _questions(self, endpoint: EndpointId) -> bytes:
        lease = self._keys.lease(endpoint)
        return b"".join(
            (
                pack("GET", self._keys.open(endpoint)),
                pack("GET", lease),
                pack("PTTL", lease),
                pack("LLEN", self._keys.inbox(endpoint)),
            )
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
