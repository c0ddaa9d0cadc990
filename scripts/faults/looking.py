"""Looks into the store while a run goes on and when it has come to rest."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec
from redis.exceptions import RedisError

from router.codec import MessageEnvelope, decode_envelope, decode_lease
from router.errors import DecodeError
from router.keys import Keys
from router.model import EndpointId, UserId, endpoint_name
from router.store.fields import split_route_field
from scripts.faults.entries import Final, Sample, Waiting
from scripts.faults.ledger import Pen, now

T = TypeVar("T")
_EVERY_S = 0.5
_PATIENCE_S = 20.0


class Looking:
    """Reads the store as somebody who is no part of the cluster.

    Args:
        reader: a client of the store, closed with this.
        prefix: of the keys.
        users: whose routes and mailboxes are looked at.
        pen: the ledger.
    """

    def __init__(self, reader: Any, prefix: str, users: Iterable[str], pen: Pen) -> None:
        self._redis = reader
        self.keys = Keys(prefix)
        self.users = [UserId(user) for user in users]
        self._pen = pen

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def watch(self, over: asyncio.Event) -> None:
        """Note how full inboxes and mailboxes are, until it is over.

        Told and not cancelled: a cancel that meets a time limit inside a client library may be
        swallowed there (cpython#86296).
        """
        while not over.is_set():
            with contextlib.suppress(RedisError, OSError):
                inboxes = await self._inboxes(await self._listed())
                mail = await self._mail()
                full = {endpoint: length for endpoint, length in inboxes.items() if length}
                self._pen.note(Sample(now(), full, max(mail.values(), default=0)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await over.wait()

    async def listed(self) -> list[EndpointId]:
        """Return all endpoints that are listed."""
        return await self._patiently(self._listed)

    async def note_waiting(self, node: str) -> list[str]:
        """Note what lies in the inboxes of a node that has just died; return its endpoints."""

        async def look() -> list[str]:
            dead = [e for e in await self._listed() if endpoint_name(e) == node]
            for endpoint in dead:
                entries = await self._redis.lrange(self.keys.inbox(endpoint), 0, -1)
                messages = [pair for entry in entries for pair in _messages(entry)]
                self._pen.note(Waiting(now(), endpoint, messages))
            return list(dead)

        return await self._patiently(look)

    async def final(self, pids: Iterable[int], live: int, rest_s: float, extra_s: float) -> Final:
        """Wait until everything has come to rest, and return what there is then.

        Args:
            pids: of the processes that run.
            live: how many sessions there are.
            rest_s: within how long the registry must be right.
            extra_s: how much longer to wait for what dead endpoints have left.
        """
        alive = set(pids)
        begun = now()
        took_s = -1.0
        while True:
            found = await self._patiently(lambda: self._look(alive))
            waited_s = (now() - begun) / 1e9
            if took_s < 0 and waited_s <= rest_s and _is_right(found, live):
                took_s = round(waited_s, 3)
            if took_s >= 0 and _is_clean(found):
                break
            if waited_s > rest_s + extra_s or (took_s < 0 and waited_s > rest_s):
                break
            await asyncio.sleep(0.2)
        return msgspec.structs.replace(found, took_s=took_s)

    async def _look(self, pids: set[int]) -> Final:
        listed = await self._listed()
        pipe = self._redis.pipeline(transaction=False)
        for user in self.users:
            pipe.hkeys(self.keys.routes(user))
        fields = await pipe.execute()
        routes = {
            str(user): sorted("/".join(split_route_field(field) or ("?",)) for field in found)
            for user, found in zip(self.users, fields, strict=True)
            if found
        }
        inboxes = await self._inboxes(listed)
        mail = {user: length for user, length in (await self._mail()).items() if length}
        living = await self._living(listed, pids)
        remains = await self._remains(set(listed))
        return Final(now(), routes, sorted(listed), living, inboxes, remains, mail, -1.0)

    async def _listed(self) -> list[EndpointId]:
        found = await self._redis.smembers(self.keys.endpoints)
        return [EndpointId(name.decode()) for name in found]

    async def _inboxes(self, endpoints: Iterable[EndpointId]) -> dict[str, int]:
        pipe = self._redis.pipeline(transaction=False)
        names = list(endpoints)
        for endpoint in names:
            pipe.llen(self.keys.inbox(endpoint))
        return dict(zip(names, await pipe.execute(), strict=True)) if names else {}

    async def _mail(self) -> dict[str, int]:
        pipe = self._redis.pipeline(transaction=False)
        for user in self.users:
            pipe.xlen(self.keys.mail(user))
        return dict(zip(map(str, self.users), await pipe.execute(), strict=True))

    async def _living(self, listed: Iterable[EndpointId], pids: set[int]) -> list[str]:
        """Return the endpoints whose lease names a process that runs."""
        living = []
        for endpoint in sorted(listed):
            lease = await self._redis.get(self.keys.lease(endpoint))
            if lease is not None and decode_lease(lease).pid in pids:
                living.append(str(endpoint))
        return living

    async def _remains(self, listed: set[EndpointId]) -> list[str]:
        """Return the keys of endpoints that are not listed."""
        kinds = "open|lease|inbox|done|rescued|rescuer|users"
        name = re.compile(rf"^{re.escape(self.keys.prefix)}:{{(.+)}}:(?:{kinds})$")
        keys = [key.decode() async for key in self._redis.scan_iter(count=1_000)]
        matches = ((key, name.match(key)) for key in keys)
        return sorted(key for key, match in matches if match and match[1] not in listed)

    async def _patiently(self, look: Callable[[], Awaitable[T]]) -> T:
        """Look, again while the store is away."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    return await look()
                except (RedisError, OSError):
                    await asyncio.sleep(0.1)


def _is_right(found: Final, live: int) -> bool:
    """Say whether there are as many routes as sessions, all of living endpoints."""
    fields = [field for routes in found.routes.values() for field in routes]
    living = set(found.living)
    return len(fields) == live and all(f.rpartition("/")[0] in living for f in fields)


def _is_clean(found: Final) -> bool:
    """Say whether nothing is left of dead endpoints, and nothing waits."""
    return found.endpoints == found.living and not found.remains and not any(found.inboxes.values())


def _messages(entry: bytes) -> list[tuple[int, str]]:
    try:
        envelope = decode_envelope(entry)
    except DecodeError:
        return []
    if not isinstance(envelope, MessageEnvelope) or envelope.users is None:
        return []
    data = msgspec.json.decode(envelope.data)
    return [(data["n"], user) for user in envelope.users]
