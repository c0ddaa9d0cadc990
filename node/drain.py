"""Leaving the cluster in order, so that nobody loses a message; docs/protocol.md, section 6."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from node.acknowledging import Acknowledging
from node.disconnects import DRAIN, STOPPING
from node.hub import Hub
from node.listening import Listening
from node.peers import Peers
from node.presence import Presence
from node.replay import Replays
from node.session import ClientSession
from node.spread import moments, window_s
from router.errors import SwitchboardError
from router.member import Member
from router.rescue import Rescuer

_TICK_S: Final = 0.02
_LOOK_EVERY_S: Final = 0.5
# When each comes back is spread already; this only keeps those of one tick apart.
_AFTER_MS: Final = 500
_NOWHERE_MS: Final = 2_000
_PROOFS_S: Final = 1.0
_POLL_S: Final = 0.01
_log = structlog.get_logger()


class Drain:
    """One planned leave.

    Args:
        member: this process's part of the cluster.
        hub: the sessions.
        peers: the other nodes.
        presence: registers sessions, and removes their routes.
        replays: reads mailboxes to sessions.
        acknowledging: moves the cursors of devices.
        rescuer: sends on what is left in the inbox.
        drain_s: how long all of it may take, seconds.
    """

    def __init__(
        self,
        member: Member,
        hub: Hub[ClientSession],
        peers: Peers,
        presence: Presence,
        replays: Replays,
        acknowledging: Acknowledging,
        rescuer: Rescuer,
        drain_s: float,
    ) -> None:
        self._member = member
        self._hub = hub
        self._peers = peers
        self._presence = presence
        self._replays = replays
        self._acknowledging = acknowledging
        self._rescuer = rescuer
        self._drain_s = drain_s
        self._left: list[ClientSession] = []
        self.begun = False

    async def run(self, listening: Listening, *, all_leave: bool) -> None:
        """Leave, in this order; what is not done within `drain_s` is left to a rescue.

        0. A port that others listen on, too, is left to them; who came in time is let in.
        1. Not ready; the lease says `draining`.
        2. No new sessions: the handshake is answered 503.
        3. Goodbye to every session, spread over the window, if there is a node to go to.
        4. The last proofs and answers; then the inbox is finished, and what cannot be finished
           goes through the registry again.
        5. The lease, the inbox and the index are removed.

        Args:
            listening: takes no more connections when no session is left.
            all_leave: every other node leaves, too: there is nowhere to go. Without being told, a
                node finds that out from the registry.
        """
        try:
            async with asyncio.timeout(self._drain_s):
                if not all_leave:
                    await listening.leave_shared(self._drain_s / 8)
                self._announce()
                if all_leave:
                    self._send_everybody_home()
                else:
                    await self._send_sessions_away()
                listening.refuse_new()
                await self._last_words()
                await self._leave()
        except TimeoutError:
            _log.warning("not everything was done in time", drain_s=self._drain_s)

    def _announce(self) -> None:
        self.begun = True
        self._member.endpoint.check_now()

    # ---- 3 ----------------------------------------------------------------------------------

    async def _send_sessions_away(self) -> None:
        """Tell each session to go when its turn has come; one that goes by itself is fine."""
        loop = asyncio.get_running_loop()
        began = look_at = loop.time()
        leaving = list(self._hub)
        random.shuffle(leaving)
        window = window_s(len(leaving), self._drain_s / 2)
        turns = moments([random.random() for _ in leaving], window)
        told = 0
        while told < len(leaving):
            if loop.time() >= look_at:
                look_at = loop.time() + _LOOK_EVERY_S
                if not await self._somewhere_to_go():
                    self._send_everybody_home()
                    return
            while told < len(leaving) and turns[told] <= loop.time() - began:
                self._say_goodbye(leaving[told])
                told += 1
            await asyncio.sleep(_TICK_S)
        for late in list(self._hub):  # its handshake was under way when the list was made
            self._say_goodbye(late)

    async def _somewhere_to_go(self) -> bool:
        """Say whether another node could take our sessions; yes, as long as nobody can say."""
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                return await self._peers.look()
        except (SwitchboardError, TimeoutError):
            return True

    def _say_goodbye(self, session: ClientSession) -> None:
        self._left.append(session)
        session.close(DRAIN, after_ms=random.randint(0, _AFTER_MS))

    def _send_everybody_home(self) -> None:
        """All nodes are leaving: there is nothing to wait for, but their return is still spread."""
        sessions = list(self._hub)
        self._left += sessions
        within_ms = max(_NOWHERE_MS, round(1_000 * window_s(len(sessions), self._drain_s)))
        for session in sessions:
            session.close(STOPPING, after_ms=random.randint(0, within_ms))

    # ---- 4 and 5 ----------------------------------------------------------------------------

    async def _last_words(self) -> None:
        """Let clients prove what they have, senders here hear of theirs, and routes be removed."""
        most_s = self._drain_s / 8
        if not await _until(lambda: not _unproved(self._left), min(_PROOFS_S, most_s)):
            for session in self._left:
                session.gone()
        await _until(lambda: not self._member.sending.waiting, most_s)
        await self._rescuer.stop()
        await self._replays.stop()
        await self._presence.stop(most_s)
        await self._acknowledging.finish(most_s / 2)

    async def _leave(self) -> None:
        """Finish the inbox and close it; if it does not get empty, send on what is in it."""
        endpoint = self._member.endpoint.id
        left = await self._member.leave(self._drain_s / 8)
        if left == 0 or endpoint is None:
            return
        _log.warning("the inbox did not get empty, sending on what is in it", envelopes=left)
        await self._member.receiver.close()
        try:
            await self._member.leases.end(endpoint)
            await self._rescuer.take_over(endpoint)
        except SwitchboardError as exc:
            _log.warning("another node must rescue the inbox", endpoint=endpoint, error=str(exc))


def ignore_order() -> None:
    """Go on: the application around this node has not said what an order to leave means to it."""
    _log.warning("told to leave, but this application has given the node no on_drain")


def _unproved(sessions: Sequence[ClientSession]) -> bool:
    return any(session.unproved for session in sessions)


async def _until(done: Callable[[], bool], within_s: float) -> bool:
    """Wait until `done()`, so long at most; return whether it is."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + within_s
    while not done():
        if loop.time() >= give_up_at:
            return False
        await asyncio.sleep(_POLL_S)
    return True
