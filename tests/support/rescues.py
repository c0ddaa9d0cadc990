"""Endpoints to be rescued, and rescuers that die half-way, on a real store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from router.aio import Router
from router.codec import MessageEnvelope, encode
from router.errors import SwitchboardError
from router.member import Member
from router.model import Confirm, EndpointId, Session, SessionId, UserId
from router.rescue import Rescuer
from router.settings import Settings
from router.store.remains import Remains
from router.store.resp import Command
from router.transport.outbox import Push
from tests.support.endpoints import Endpoints
from tests.support.waiting import eventually


class Held:
    """Holds one step of a rescue when the store has done it, until it is let go, or for ever.

    A step is a question to the store or a push: whatever a rescuer awaits.

    Args:
        member: whose.
        patch: undoes it.
        at: the number of the step, from 1.
        error: raised then instead of holding; None to hold.
    """

    def __init__(
        self,
        member: Member,
        patch: pytest.MonkeyPatch,
        at: int,
        error: Exception | None = None,
    ) -> None:
        self._ask = member.store.ask
        self._post = member.outbox.post
        self._at = at
        self._error = error
        self.steps = 0
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()
        patch.setattr(member.store, "ask", self._held_ask)
        patch.setattr(member.outbox, "post", self._held_post)

    async def _held_ask(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._ask(commands)
        await self._step()
        return replies

    def _held_post(
        self, endpoint: EndpointId, envelope: bytes, failures: list[SwitchboardError] | None = None
    ) -> "asyncio.Future[Push]":
        return asyncio.ensure_future(self._posted(self._post(endpoint, envelope, failures)))

    async def _posted(self, pushed: "asyncio.Future[Push]") -> Push:
        result = await pushed
        await self._step()
        return result

    async def _step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            self.reached.set()
            if self._error is not None:
                raise self._error
            await self.goes_on.wait()


class Rescues(Endpoints):
    """A cluster with endpoints that died, and processes that may rescue them.

    Args:
        url, settings: see `Endpoints`.
    """

    router: Router  # has an inbox, and is alive

    async def dying(self, name: str, *users: str) -> EndpointId:
        """Return an endpoint that holds a session of each user and never reads its inbox."""
        endpoint = await self.unread(name)
        made = [
            (UserId(user), Session(SessionId(f"{user}-{name}"), endpoint, "web", "", 1.0))
            for user in users
        ]
        assert await self.router.member.registry.register(made)
        return endpoint

    async def dies(self, endpoint: EndpointId) -> None:
        """Let the lease of an endpoint end now."""
        await self.redis.delete(self.key(endpoint, "lease"))

    async def lay(self, endpoint: EndpointId, *entries: bytes) -> None:
        """Put entries into an inbox as if they had been pushed."""
        await self.redis.rpush(self.key(endpoint, "inbox"), *entries)

    async def waits(self, endpoint: EndpointId, count: int) -> None:
        """Wait until so many envelopes lie in an inbox."""

        async def so() -> bool:
            return await self.waiting(endpoint) == count

        await eventually(so)

    async def token_ends(self, endpoint: EndpointId) -> None:
        """End the time of whoever rescues an endpoint."""
        await self.redis.delete(self.key(endpoint, "rescuer"))

    async def left_of(self, endpoint: EndpointId) -> list[str]:
        """Return what is left of an endpoint: its keys, and `endpoints` while it is listed."""
        prefix = self.settings.registry.prefix
        keys = self.redis.scan_iter(f"{prefix}:{{{endpoint}}}:*", count=1_000)
        found = [key.decode().rpartition(":")[2] async for key in keys]
        listed = await self.redis.sismember(f"{prefix}:endpoints", endpoint)
        return sorted(found) + ["endpoints"] * bool(listed)

    async def gone(self, *endpoints: EndpointId) -> None:
        """Wait until nothing is left of endpoints."""

        async def so() -> bool:
            left = [left for each in endpoints for left in await self.left_of(each)]
            assert left == []
            return True

        await eventually(so)

    async def dead_letters(self) -> list[bytes]:
        """Return what was kept aside."""
        return list(await self.redis.lrange(f"{self.settings.registry.prefix}:dead", 0, -1))

    async def rescuer(self, member: Member | None = None) -> Rescuer:
        """Return a running rescuer.

        Args:
            member: its process; None for one that has no lease, and only rescues what it is told.
        """
        if member is None:
            member = await self.member()
        found = Rescuer(
            member.leases,
            Remains(member.store, member.keys, member.registry),
            member.forwarder,
            member.receipts,
            member.dead,
            member.endpoint,
            self.settings.lease,
        )
        self._exits.push_async_callback(found.stop)
        found.start()
        return found

    async def member(self) -> Member:
        """Return a process that is connected, and no endpoint."""
        member = Member(self.settings, self._url)
        await member.open()
        self._exits.push_async_callback(member.close)
        return member


@contextlib.asynccontextmanager
async def rescues(url: str, settings: Settings) -> AsyncIterator[Rescues]:
    """Run a `Rescues` for the length of a `with` block."""
    found = Rescues(url, settings)
    try:
        found.router = await found.sender()
        yield found
    finally:
        await found.close()


def message(
    id: str, *users: str, hop: int = 0, sender: str = "", data: bytes | None = None
) -> bytes:
    """Return an encoded message for users; its data is its id, unless other data is given."""
    refs = list(range(1, len(users) + 1)) if sender else []
    return encode(
        MessageEnvelope(
            id=id,
            sender=sender,
            origin="",
            confirm=Confirm.DELIVERED if sender else Confirm.ACCEPTED,
            hop=hop,
            sent_at=1.0,
            expires_ms=0,
            users=list(users),
            refs=refs,
            data=id.encode() if data is None else data,
        )
    )
