"""A proxy between a client and the store that breaks the connection in chosen ways.

It runs in the event loop of the test or of the runner, which decides to the command what is lost.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Any, Final, Self, cast

from scripts.measuring.ports import free_port_range

_CHUNK: Final = 65_536
_PUSH: Final = ord(">")
_BULK: Final = frozenset(b"$=!")
_AGGREGATE: Final = frozenset(b"*~>")
_MAP: Final = frozenset(b"%|")
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST
_HARMLESS: Final = b"*1\r\n$4\r\nPING\r\n"
# Answered by push messages, which belong to no command.
_UNANSWERED: Final = frozenset({b"SUBSCRIBE", b"UNSUBSCRIBE"})


class Way(Enum):
    """A direction of travel."""

    TO_STORE = auto()
    TO_CLIENT = auto()


class Fault(Enum):
    """What befalls the connection at a command that was waited for."""

    LOSE_REPLY = auto()  # the store runs it; the connection is reset instead of its reply
    TEAR_REPLY = (
        auto()
    )  # the store runs it; half of its reply arrives, then the connection is reset
    LOSE_COMMAND = auto()  # the connection is reset, and the store never sees it
    HANG = auto()  # the store runs it and nothing after it; nothing comes back, and nothing ends


def value_end(data: bytes | bytearray, start: int) -> int:
    """Return where the RESP value that begins at `start` ends; -1 if it is not all there."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return -1
    kind, end = data[start], line_end + 2
    if kind in _BULK:
        length = int(data[start + 1 : line_end])
        end += length + 2 if length >= 0 else 0
        return end if end <= len(data) else -1
    if kind in _AGGREGATE or kind in _MAP:
        items = int(data[start + 1 : line_end]) * (2 if kind in _MAP else 1)
        for _ in range(items):
            end = value_end(data, end) if end < len(data) else -1
            if end < 0:
                return -1
    return end


@dataclass(slots=True)
class _Refusal:
    """An error that is answered in the store's place to commands in which a text occurs."""

    text: bytes
    reply: bytes
    left: int  # how often; below 0 for ever


@dataclass(slots=True)
class _Trap:
    """A fault that waits for the n-th command in which a text occurs."""

    text: bytes
    fault: Fault
    left: int
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Passes everything on until it is told otherwise; use it as an async context manager.

    Args:
        socket_path: the store's unix socket.
        login: `user:password` of the store, or its password alone, for `url`; "" for none.
    """

    def __init__(self, socket_path: str, login: str = "") -> None:
        self._socket_path = socket_path
        named = login if ":" in login else f":{login}"
        self._login = f"{named}@" if login else ""
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._traps: list[_Trap] = []
        self._refusals: list[_Refusal] = []
        self._budget: dict[Way, int] = {}
        self._gates = {way: asyncio.Event() for way in Way}
        self._port = free_port_range(1)
        self.delay_s = 0.0
        self.connections = 0
        self.heal()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.refuse()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # connection_lost of what was reset comes in the loop's next round

    @property
    def url(self) -> str:
        """Return the address for clients."""
        return f"redis://{self._login}127.0.0.1:{self._port}"

    @property
    def open_connections(self) -> int:
        """Return how many connections pass through now."""
        return len(self._pairs)

    def when(self, text: bytes, fault: Fault, nth: int = 1) -> asyncio.Event:
        """Lay a trap for one command.

        Args:
            text: occurs in the command as it travels.
            fault: what happens then.
            nth: at the how-manieth such command from now on.

        Returns:
            An event that is set when it has happened.
        """
        trap = _Trap(text, fault, nth)
        self._traps.append(trap)
        return trap.sprung

    def forget_traps(self) -> None:
        """Take up every trap that has not sprung."""
        self._traps.clear()

    def answer(self, text: bytes, error: str, times: int = 1) -> None:
        """Answer commands with an error in the store's place; the store does not see them.

        Args:
            text: occurs in the command as it travels.
            error: what the store would say.
            times: how many such commands; -1 for all until `heal`.
        """
        self._refusals.append(_Refusal(text, b"-" + error.encode() + b"\r\n", times))

    def cut_after(self, count: int, way: Way) -> None:
        """Reset the connection on which byte `count` from now on travels that way, behind it."""
        self._budget[way] = count

    def hold(self, *ways: Way) -> None:
        """Be a black hole: nothing travels these ways (none named: both) until `heal`."""
        for way in ways or Way:
            self._gates[way].clear()

    def heal(self) -> None:
        """Pass everything on again, held bytes first; nothing is answered here; traps stay laid."""
        self._refusals.clear()
        for gate in self._gates.values():
            gate.set()
        self.delay_s = 0.0

    def reset_all(self) -> None:
        """Reset every connection."""
        for pair in list(self._pairs):
            pair.reset()

    def reset_hung(self) -> None:
        """Reset the connections that hang, and no others."""
        for pair in list(self._pairs):
            if pair.hangs:
                pair.reset()

    async def refuse(self) -> None:
        """Reset every connection and take no new ones."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        self.reset_all()

    async def accept(self) -> None:
        """Take connections again, at the same address."""
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it was on its way in when the door was closed
            writer.transport.abort()
            return
        self.connections += 1
        pair = _Pair(self, writer)
        self._pairs.add(pair)
        task = asyncio.create_task(self._serve(reader, pair), name="proxy connection")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:  # perhaps cancelled before it began
            pair.reset()
            self._pairs.discard(pair)
            self._tasks.discard(task)

        task.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, pair: "_Pair") -> None:
        try:
            from_store, pair.to_store = await asyncio.open_unix_connection(self._socket_path)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, Way.TO_STORE, pair.command, pair))
                group.create_task(self._pump(from_store, Way.TO_CLIENT, pair.reply, pair))
        except OSError:
            pass  # the store is away: so is this connection

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        way: Way,
        take: Callable[[bytes], None],
        pair: "_Pair",
    ) -> None:
        """Take whole values off what arrives, one after the other, until either side ends."""
        buffer = bytearray()
        try:
            while data := await reader.read(_CHUNK):
                await self._gates[way].wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                buffer += data
                start = 0
                while start < len(buffer) and (end := value_end(buffer, start)) > 0:
                    take(bytes(buffer[start:end]))
                    start = end
                del buffer[:start]
        except ConnectionError:
            pass
        pair.reset()

    def spring(self, command: bytes) -> Fault | None:
        """Return the fault that was waiting for this command, if one was."""
        for trap in self._traps:
            if trap.text in command:
                trap.left -= 1
                if trap.left == 0:
                    self._traps.remove(trap)
                    trap.sprung.set()
                    return trap.fault
        return None

    def refusal(self, command: bytes) -> bytes | None:
        """Return what is answered to this command in the store's place; None for nothing."""
        for refusal in self._refusals:
            if refusal.text in command:
                refusal.left -= 1
                if refusal.left == 0:
                    self._refusals.remove(refusal)
                return refusal.reply
        return None

    def spend(self, way: Way, data: bytes) -> tuple[bytes, bool]:
        """Return what of `data` may still travel, and whether the connection is cut behind it."""
        left = self._budget.get(way)
        if left is None:
            return data, False
        self._budget[way] = left - len(data)
        if left > len(data):
            return data, False
        del self._budget[way]
        return data[:left], True


class _Pair:
    """One client's connection and the one to the store that serves it."""

    def __init__(self, proxy: Proxy, to_client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._to_client = to_client
        self.to_store: asyncio.StreamWriter | None = None
        self._commands = 0
        self._replies = 0
        self._skips_next = False  # CLIENT REPLY SKIP came, which is not answered either
        self._last_reply: int | None = None  # this one, and all after it, never reach the client
        self._reset_at: int | None = None  # so many replies have come: all is done that should be
        self._fault: Fault | None = None
        self._instead: dict[int, bytes] = {}  # number of a reply -> what comes in its place

    @property
    def hangs(self) -> bool:
        """Say whether nothing will ever come of this connection."""
        return self._fault is Fault.HANG

    def command(self, command: bytes) -> None:
        """Pass one command on, unless its trap springs or one has sprung before."""
        if self._fault is not None:
            return
        answers = self._answers(command)
        self._fault = self._proxy.spring(command)
        if self._fault is not None:
            self._last_reply = self._commands
            if self._fault is not Fault.HANG:
                waits = answers and self._fault is not Fault.LOSE_COMMAND
                self._reset_at = self._commands + waits
        refusal = self._proxy.refusal(command)
        if refusal is not None:
            command = _HARMLESS  # its reply keeps the others in their places
            if answers:
                self._instead[self._commands] = refusal
        if self._fault is not Fault.LOSE_COMMAND:
            self._pass(self.to_store, Way.TO_STORE, command)
        self._commands += answers
        self._end_if_due()

    def _answers(self, command: bytes) -> bool:
        """Say whether the store will answer this command."""
        skipped = self._skips_next
        words = command.split(b"\r\n")[2::2]
        self._skips_next = words == [b"CLIENT", b"REPLY", b"SKIP"]
        return not (skipped or self._skips_next or words[0] in _UNANSWERED)

    def reply(self, reply: bytes) -> None:
        """Pass one reply or push message on, unless it is one of those that get lost."""
        if reply[0] != _PUSH:
            reply = self._instead.pop(self._replies, reply)
        if self._last_reply is None or self._replies < self._last_reply:
            self._pass(self._to_client, Way.TO_CLIENT, reply)
        elif self._fault is Fault.TEAR_REPLY and self._replies == self._last_reply:
            self._pass(self._to_client, Way.TO_CLIENT, reply[: len(reply) // 2])
        self._replies += reply[0] != _PUSH
        self._end_if_due()

    def reset(self, *, flush: bool = False) -> None:
        """End both connections, the client's with a reset.

        Args:
            flush: what was passed on arrives before it.
        """
        for writer in (self._to_client, self.to_store):
            if writer is not None and not writer.transport.is_closing():
                end = cast(Any, writer.get_extra_info("socket"))
                if writer is self._to_client:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                if flush:
                    writer.transport.close()
                else:
                    writer.transport.abort()

    def _pass(self, writer: asyncio.StreamWriter | None, way: Way, data: bytes) -> None:
        assert writer is not None
        if writer.transport.is_closing():
            return
        now, cut = self._proxy.spend(way, data)
        writer.write(now)
        if cut:
            self.reset(flush=True)

    def _end_if_due(self) -> None:
        if self._reset_at is not None and self._replies >= self._reset_at:
            self.reset(flush=True)
