"""Everything the router asks of the store, as one table, from a process that trouble befalls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec.structs import replace

from router.aio import Router
from router.errors import SwitchboardError
from router.member import sender_lease
from router.model import EndpointId, Offset, Outcome, Session, SessionId, UserId
from router.store.mailbox import Mailbox
from router.store.remains import Remains, Salvage
from tests.support.endpoints import Endpoint, Endpoints
from tests.support.waiting import eventually

ALICE, BOB = UserId("alice"), UserId("bob")
DONE: Final = "done"
_TOKEN: Final = "token"
_BOUND_S: Final = 30.0  # nothing ever waits so long
_SEND_S: Final = 5.0  # longer than what passes by itself is repeated, which is two seconds


class Troubled:
    """One process that is an endpoint and asks the store for everything there is to ask.

    Args:
        world: the cluster.
        router: of the process, joined; vera is at home there.
        other: sends from another process.
        there: another process, where alice is; the trouble need not be its own.
        spare: an open endpoint that nobody reads, for whatever ends one.
    """

    def __init__(
        self, world: Endpoints, router: Router, other: Router, there: Endpoint, spare: EndpointId
    ) -> None:
        self.world = world
        self.router = router
        self.other = other
        self.there = there
        self.here = Endpoint(router.member)
        self._spare = spare
        member = router.member
        self._remains = Remains(member.store, member.keys, member.registry)
        self._mailbox = Mailbox(member.store, member.keys, world.settings.mailbox)
        self._session = Session(SessionId("s"), spare, "web", "", 1.0)

    @classmethod
    async def start(cls, world: Endpoints, url: str) -> "Troubled":
        """Return such a process, connected to the store at `url`, and its surroundings."""
        there = await world.start("there")
        await there.attach(ALICE)
        spare = await world.unread("spare")
        # One that broadcasts go to, and never reads them.
        await there.member.leases.open("mute", replace(sender_lease(), role="node"))
        found = cls(world, await world.sender(url), await world.sender(), there, spare)
        await found.here.attach("vera")
        return found

    def operations(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return every operation by its name; each may be repeated."""
        member, spare, remains = self.router.member, self._spare, self._remains
        registry, leases, mailbox = member.registry, member.leases, self._mailbox
        nothing, start = Salvage(0, []), Offset(0, 0)
        own = self.here.id
        return {
            "open": lambda: leases.open("new", sender_lease()),
            "heartbeat": lambda: leases.heartbeat(own, sender_lease()),
            "close": lambda: leases.close(EndpointId("gone.0")),
            "list endpoints": leases.ids,
            "look for leases": lambda: leases.without_lease([own, spare]),
            "describe": lambda: leases.describe([own, spare]),
            "register": lambda: registry.register([(BOB, self._session)]),
            "unregister": lambda: registry.unregister(
                BOB, spare, self._session.session, last_here=True
            ),
            "forget": lambda: registry.forget(BOB, spare),
            "sessions": lambda: registry.sessions(ALICE),
            "last seen": lambda: registry.last_seen(BOB),
            "locate": lambda: registry.locate([ALICE, BOB]),
            "page": lambda: registry.page([own, spare, self.there.id], "", 1, ""),
            "fence": lambda: remains.fence(spare, _TOKEN),
            "read what is left": lambda: remains.read(spare),
            "salvage": lambda: remains.remove(spare, _TOKEN, nothing),
            "remove routes": lambda: remains.remove_routes(spare),
            "bury": lambda: remains.bury(spare, _TOKEN),
            "resume": lambda: mailbox.resume([(BOB, "web", None)]),
            "acknowledge": lambda: member.store.call(mailbox.pack_ack(BOB, "web", start)),
            "read a mailbox": lambda: mailbox.read(BOB, start, 1),
            "length of a mailbox": lambda: mailbox.length(BOB),
            "send": self._send,
            "send durably": lambda: self._send(durable=True),
            "send to somebody new": lambda: self._send("zoe", confirm="accepted"),
            "broadcast": lambda: self.router.broadcast("all"),
            "kick": lambda: self.router.kick(ALICE, reason="for a reason"),
        }

    async def _send(self, user: str = ALICE, **options: Any) -> Outcome:
        return (await self.router.send(user, "x", timeout=_SEND_S, **options)).outcome

    async def word(self, name: str) -> str:
        """Do one operation; return what came of it: `done`, an outcome, or an error's code."""
        try:
            async with asyncio.timeout(_BOUND_S):
                result = await self.operations()[name]()
        except SwitchboardError as exc:
            return exc.code
        if isinstance(result, Outcome):
            return DONE if result in _GOOD[name] else result.value
        return DONE

    async def words(self) -> dict[str, str]:
        """Do every operation at once; return what came of each."""
        names = list(self.operations())
        return dict(zip(names, await asyncio.gather(*map(self.word, names)), strict=True))

    async def is_connected(self) -> None:
        """Wait until the process is connected again, look-ups included."""

        async def so() -> bool:
            await self.router.locate([ALICE])
            await self._send("nobody", confirm="accepted")
            return True

        async def without_errors() -> bool:
            try:
                return await so()
            except SwitchboardError:
                return False

        await eventually(without_errors)

    async def all_well(self) -> None:
        """Wait until everything succeeds again, by itself, and no loop has ended on the way."""

        async def so() -> bool:
            words = await self.words()
            assert set(words.values()) == {DONE}, words
            return True

        await eventually(so, 30.0, "all is well again")
        for member in (self.router.member, self.there.member):
            assert member.services.failing() == []
            assert member.services.failures == 0


_GOOD: Final = {
    "send": (Outcome.DELIVERED,),
    "send durably": (Outcome.DELIVERED,),
    "send to somebody new": (Outcome.OFFLINE,),
}
