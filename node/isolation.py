"""A node that is cut off from the store sends its sessions to nodes that are not."""

import asyncio
import random
from typing import Final

import structlog

from node.disconnects import TRY_ANOTHER
from node.hub import Hub
from node.peers import Peers
from node.session import ClientSession
from node.spread import window_s
from router.errors import SwitchboardError
from router.member import Member

_TICK_S: Final = 1.0
_SHORTEST_S: Final = 2.0
_LONGEST_S: Final = 30.0
_ENOUGH: Final = 8  # of them some are senders, or leaving
_UNANSWERED: Final = 3
_log = structlog.get_logger()


class Isolation:
    """Watches whether this node reaches the store, and acts when it has not for too long.

    While the store itself is away, sessions stay where they are: no node could take them. So the
    others are asked first, past the store.

    Args:
        member: this process's part of the cluster.
        hub: the sessions.
        peers: the other nodes.
        isolated_s: how long to wait for the store, seconds.
    """

    def __init__(
        self, member: Member, hub: Hub[ClientSession], peers: Peers, isolated_s: float
    ) -> None:
        self._member = member
        self._hub = hub
        self._peers = peers
        self._isolated_s = isolated_s
        self._tick_s = min(_TICK_S, isolated_s / 5)
        self._looks_every_s = member.settings.lease.ttl_s
        self._look_at = 0.0
        self._alone_since: float | None = None
        self._better_since: float | None = None
        self._unanswered = 0
        self._watching = member.services.add("isolation", self._watch_forever)
        self.counts = member.counts

    def start(self) -> None:
        """Begin to watch."""
        self._watching.start()

    async def stop(self) -> None:
        """Watch no more. Idempotent."""
        await self._watching.stop()

    async def _watch_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._tick_s * random.uniform(0.8, 1.2))
            now = loop.time()
            if self._member.store.up and self._member.endpoint.alive:
                self._alone_since = self._better_since = None
                if now >= self._look_at:
                    self._look_at = now + self._looks_every_s
                    await self._remember()
            elif self._alone_since is None:
                self._alone_since = now
            elif now - self._alone_since >= self._isolated_s and len(self._hub):
                if await self._better_there():
                    self._send_away()

    async def _better_there(self) -> bool:
        """Ask the others; if nobody answers several times in a row, it is we who are cut off.

        One that has the store may only be the first to have it back: so it must have had it for
        longer than it takes to connect again.
        """
        answer = await self._peers.better_there()
        self._unanswered = self._unanswered + 1 if answer is None else 0
        now = asyncio.get_running_loop().time()
        if not answer:
            self._better_since = None
        elif self._better_since is None:
            self._better_since = now
        sure = self._better_since is not None and now - self._better_since >= self._isolated_s / 2
        return sure or self._unanswered >= _UNANSWERED

    async def _remember(self) -> None:
        """Note who the others are: when it matters, the store cannot be asked any more."""
        try:
            await self._peers.look(_ENOUGH)
        except SwitchboardError as exc:
            _log.warning("the other nodes could not be listed", error=str(exc))

    def _send_away(self) -> None:
        """Close every session; nobody reaches them here, so they wait on the way and not here."""
        sessions = list(self._hub)
        self.counts.sent_away += len(sessions)
        _log.warning("cut off from the store, sending sessions elsewhere", sessions=len(sessions))
        within_s = max(_SHORTEST_S, window_s(len(sessions), _LONGEST_S))
        for session in sessions:
            session.close(TRY_ANOTHER, after_ms=random.randint(0, round(within_s * 1_000)))
