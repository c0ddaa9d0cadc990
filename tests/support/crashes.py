"""Breaking a process off at its k-th command to the store, and users who tell what became of it."""

import asyncio
import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import Final

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from node.node import Node
from router.aio import Router
from router.codec import decode_envelope
from router.errors import SwitchboardError
from router.model import EndpointId, Outcome, SendResult
from tests.support.clients import DEADLINE_S
from tests.support.cluster import Cluster, endpoint_of
from tests.support.followers import Follower
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually

# What a connection begins with, and what the store is asked only to be awake.
_SET_UP: Final = frozenset({b"HELLO", b"AUTH", b"CLIENT", b"SCRIPT", b"INFO", b"CONFIG", b"PING"})


class Break(Enum):
    """What happens at the command."""

    DIES_BEFORE = "dies before it"
    DIES_AFTER = "dies after it"
    LOSES_COMMAND = "it never arrives, and the process lives on"
    LOSES_REPLY = "its reply never arrives, and the process lives on"

    @property
    def dies(self) -> bool:
        """Say whether the process is gone afterwards."""
        return self in (Break.DIES_BEFORE, Break.DIES_AFTER)

    @property
    def runs(self) -> bool:
        """Say whether the store runs the command."""
        return self in (Break.DIES_AFTER, Break.LOSES_REPLY)


class CrashProxy(Proxy):
    """All connections of one process to the store; breaks them at a command that is counted.

    A process whose every connection ends at one command, and gets no other, has died as far as the
    store can tell.
    """

    def __init__(self, socket_path: str, password: str = "") -> None:
        super().__init__(socket_path, password)
        self._left = 0
        self._how = Break.LOSES_REPLY
        self._dead = False
        self.sprung = asyncio.Event()
        self.command = b""

    def arm(self, k: int, how: Break) -> None:
        """Break at the k-th command from now on, from 1."""
        self._left, self._how = k, how

    def disarm(self) -> None:
        """Break nothing any more."""
        self._left = 0

    def spring(self, command: bytes) -> Fault | None:
        """See `Proxy.spring`."""
        if self._dead:
            return Fault.LOSE_COMMAND
        words = command.split(b"\r\n")[2::2]
        if self._left == 0 or words[0].upper() in _SET_UP:
            return super().spring(command)
        self._left -= 1
        if self._left:
            return None
        self.command = b" ".join(words[:2])
        self._dead = self._how.dies
        self.sprung.set()
        return Fault.LOSE_REPLY if self._how.runs else Fault.LOSE_COMMAND


@dataclass(slots=True)
class Sent:
    """One message and what its sender was told.

    Args:
        data: what it says; no two are alike.
        durable: whether it is.
        result: None while nothing was told; the exception if that is what was told.
    """

    data: str
    durable: bool
    result: SendResult | SwitchboardError | None = None

    @property
    def outcome(self) -> Outcome | None:
        """Return the word, if there was one."""
        return self.result.outcome if isinstance(self.result, SendResult) else None


class CrashWorld:
    """Two nodes, of which the first goes through a `CrashProxy`; Alice, and Bob on the second node.

    Args:
        cluster: with one node, the one that lives.
        proxy: what the first node's connections go through.
        router: of the sender; goes through the proxy where the sender is who breaks off.
    """

    def __init__(self, cluster: Cluster, proxy: CrashProxy, router: Router) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.router = router
        self.lives = cluster.nodes[0]
        self.breaks: Node = self.lives
        self.alice = Follower("alice")
        self.bob = Follower("bob")
        self.sent: list[Sent] = []
        self._sends: set[asyncio.Task[None]] = set()
        self.dead: EndpointId | None = None  # one that the node that breaks off is to rescue
        # What must come, though nobody was told of it.
        self.must_arrive: set[str] = set()
        self._endpoint = EndpointId("")

    async def begin(self) -> None:
        """Start the node that will break off, and let Bob be there."""
        self.breaks = await self.cluster.start("breaks", self.proxy.url)
        self._endpoint = endpoint_of(self.breaks)
        await self.bob.connect(self.lives.address)

    # ---- what is done -----------------------------------------------------------------------

    def send(self, *texts: str, durable: bool = False) -> None:
        """Send messages to Alice; what becomes of them is noted."""
        for text in texts:
            sent = Sent(text, durable)
            self.sent.append(sent)
            task = asyncio.create_task(self._send(sent))
            self._sends.add(task)

    async def _send(self, sent: Sent) -> None:
        try:
            sent.result = await self.router.send(
                "alice", sent.data, durable=sent.durable, timeout=1.0
            )
        except SwitchboardError as exc:
            sent.result = exc

    async def said(self) -> None:
        """Wait until the sender has been told of everything."""
        if self._sends:
            await asyncio.wait(self._sends)

    async def connect(self, node: Node) -> bool:
        """Let Alice connect, having read what came before; return whether she was welcomed."""
        if self.alice.clients:
            await self._read_to_the_end(0.05)
        try:
            await self.alice.connect(node.address)
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, AssertionError):
            return False
        return True

    async def arrives_or_breaks(self, text: str) -> None:
        """Wait until Alice has a message, or the process has come to the command."""

        async def so() -> bool:
            await self._read_to_the_end(0.02)
            return text in self.alice.data or self.proxy.sprung.is_set()

        await eventually(so)

    async def read_all(self) -> None:
        """Read what has come for Alice, with a ping as its end, or the end of the connection."""
        with contextlib.suppress(ConnectionClosed):
            await self.alice.client.send(type="ping")
        await self._read_to_the_end()

    async def _read_to_the_end(self, within_s: float = DEADLINE_S) -> None:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            while (frame := await self.alice.client.read(within_s))["type"] != "pong":
                if frame["type"] == "message":
                    self.alice._take(frame)

    # ---- what must be true ------------------------------------------------------------------

    async def settle(self, how: Break) -> None:
        """Let the dead be rescued, or the living recover; Alice comes back; all is balanced."""
        self.proxy.disarm()
        if self.proxy.sprung.is_set() and how.dies:
            await self._die()
        await self._finish_rescue(how)
        await self.said()
        if not self.alice.clients or self.alice.client.connection.close_code is not None:
            assert await self.connect(self.lives)
        await eventually(self._registry_is_right, 30.0)
        self.sent.append(Sent("after all", durable=True))
        self.sent[-1].result = await self._direct("after all")
        await eventually(self._everything_is_there, 30.0)
        self._every_word_is_true()
        assert await self.bob.client.nothing_came()
        await eventually(self._inboxes_are_empty, 30.0)

    async def _direct(self, text: str) -> SendResult:
        async with self.cluster.router() as router:
            return await router.send("alice", text, durable=True, timeout=10.0)

    async def _die(self) -> None:
        """Let the process end, as its clients see it, and its endpoint be rescued now."""
        await self.proxy.refuse()
        if self.alice.clients and self.alice.client.greeting["node"] == "breaks":
            await self._read_to_the_end(0.05)
            await self.alice.client.cut()
        await self.cluster.redis.delete(
            self.cluster.keys.lease(self._endpoint), self.cluster.keys.rescuer(self._endpoint)
        )
        self.lives.rescuer.rescue_own(self._endpoint)
        await self._is_rescued(self._endpoint)

    async def _finish_rescue(self, how: Break) -> None:
        """Let the rescue that was under way come to its end, by whoever is there."""
        if self.dead is not None:
            if self.proxy.sprung.is_set() and how.dies:
                await self.cluster.redis.delete(self.cluster.keys.rescuer(self.dead))
                self.lives.rescuer.rescue_own(self.dead)
            await self._is_rescued(self.dead)

    async def _is_rescued(self, endpoint: EndpointId) -> None:
        async def nothing_is_left() -> bool:
            self.breaks.rescuer._wake.set()  # one that was interrupted would wait for its next look
            left = [key for key in await self.cluster.left_behind() if endpoint in key]
            listed = await self.cluster.redis.sismember(self.cluster.keys.endpoints, endpoint)
            return not left and not listed

        await eventually(nothing_is_left, 30.0)

    async def _registry_is_right(self) -> bool:
        fields = await self.cluster.routes("alice")
        assert {field.rpartition("/")[2] for field in fields} == {self.alice.client.session}
        return True

    async def _everything_is_there(self) -> bool:
        await self.read_all()
        stored = {sent.data for sent in self.sent if sent.durable and _promised(sent)}
        stored |= self.must_arrive
        assert stored <= set(self.alice.data), stored - set(self.alice.data)
        return True

    def _every_word_is_true(self) -> None:
        got = set(self.alice.data)
        for sent in self.sent:
            if sent.outcome is Outcome.DELIVERED:
                assert sent.data in got, f"{sent.data} was called delivered"
            if sent.outcome is Outcome.OFFLINE:
                assert sent.data not in got, f"{sent.data} was called offline"
        assert got <= {sent.data for sent in self.sent}

    async def _inboxes_are_empty(self) -> bool:
        keys = [key for key in await self.cluster.left_behind() if key.endswith(":inbox")]
        waiting = [await self.cluster.redis.lrange(key, 0, -1) for key in keys]
        assert not [decode_envelope(entry) for entries in waiting for entry in entries]
        return True


def _promised(sent: Sent) -> bool:
    return sent.outcome in (Outcome.DELIVERED, Outcome.QUEUED, Outcome.ACKED)
