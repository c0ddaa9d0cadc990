"""Program: many WebSockets that say nothing, in one process, and come back when they are lost.

They are as lean as Python allows, but dial again when the client SDK would: its own policy says so,
and what a node asks for is obeyed. Which node a lost one is sent to, a balancer would decide: the
next of those that are left.
"""

import asyncio
import itertools
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final, cast

import uvloop

from router.client.policy import LOST, Ending, comes_back, failures_after, wait_s
from router.client.words import Options
from scripts.measuring import websocket
from scripts.measuring.peer import Request, serve
from scripts.measuring.plan import user_name

HOST: Final = "127.0.0.1"
_SWITCHING: Final = 101
_OPTIONS: Final = Options()


class Crowd:
    """All of them together.

    Attributes:
        welcomed: how many have a session now.
        dialled: how many connections were tried so far.
        refused: how many handshakes were answered otherwise.
        lost: how many sessions have ended, by close code.
        given_up: how many will not come back.
    """

    def __init__(self) -> None:
        self.welcomed = self.dialled = self.refused = self.given_up = 0
        self.lost: Counter[int] = Counter()
        self.all_there = asyncio.Event()
        self.gate = asyncio.Semaphore(1)
        self.ports: Iterator[int] = iter(())
        self._size = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, request: Request) -> Request:
        """Open `count` sockets on `ports`, at most `at_once` of them under way.

        Answers how many seconds it took until the last was welcomed.
        """
        self.ports = itertools.cycle(request["ports"])
        self._size = request["count"]
        self.gate = asyncio.Semaphore(request["at_once"])
        begin = time.monotonic()
        async with asyncio.timeout(request["limit_s"]):
            for number in range(self._size):
                await self.gate.acquire()
                self.dial(Idle(self, number))
            await self.all_there.wait()
        return {"took_s": time.monotonic() - begin, **self._counts()}

    async def move(self, request: Request) -> Request:
        """From now on a balancer sends whoever comes to `ports`; all are expected to come again."""
        self.ports = itertools.cycle(request["ports"])
        self.all_there.clear()
        return {}

    async def back(self, request: Request) -> Request:
        """Wait until all of them have a session again."""
        async with asyncio.timeout(request["limit_s"]):
            await self.all_there.wait()
        return {"at_ns": time.monotonic_ns(), **self._counts()}

    def dial(self, client: "Idle") -> None:
        """Make a connection, or find out that there is none."""
        task = asyncio.create_task(self._dial(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, client: "Idle") -> None:
        self.dialled += 1
        client.port = next(self.ports)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: client, HOST, client.port)
        except OSError:
            client.ended(Ending(LOST, "nobody listens"))

    def came(self) -> None:
        """One has been welcomed."""
        self.welcomed += 1
        if self.welcomed == self._size:
            self.all_there.set()

    def went(self, code: int) -> None:
        """One that was welcomed is lost."""
        self.welcomed -= 1
        self.lost[code] += 1
        self.all_there.clear()

    def _counts(self) -> Request:
        names = ("dialled", "refused", "lost", "given_up")
        return {name: getattr(self, name) for name in names}


class Idle(asyncio.Protocol):
    """One socket; answers pings.

    Args:
        crowd: it belongs to.
        number: of its user.
    """

    __slots__ = (
        "_began",
        "_crowd",
        "_ending",
        "_failures",
        "_heard",
        "_number",
        "_open",
        "_timer",
        "_transport",
        "port",
    )

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._failures = 0
        self.port = 0
        self._reset()

    def _reset(self) -> None:
        self._heard = b""
        self._open = False
        self._began: float | None = None  # when it was welcomed
        self._ending: Ending | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket; the welcome has to come in time."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_OPTIONS.dial_timeout_s, self._transport.abort)
        path = f"/ws?user={user_name(self._number)}"
        self._transport.write(websocket.handshake(HOST, self.port, path))

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then frames."""
        data = self._heard + data
        if not self._open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._heard = head
                return
            status = int(head.split(b" ", 2)[1])
            if status != _SWITCHING:
                self._crowd.refused += 1
                self._ending = Ending(status, "", _retry_after(head))
                self._transport.close()
                return
            self._open = True
        frames, self._heard = websocket.split_frames(data)
        for opcode, payload in frames:
            if opcode == websocket.PING:
                self._transport.write(websocket.pong(payload))
            elif opcode == websocket.CLOSE:
                self._ending = Ending(int.from_bytes(payload[:2], "big") or LOST, "")
                self._transport.close()
            elif self._began is None and b'"welcome"' in payload:
                self._welcomed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Come back, when the SDK would."""
        self.ended(self._ending or Ending(LOST, ""))

    def _welcomed(self) -> None:
        self._began = asyncio.get_running_loop().time()
        if self._timer is not None:
            self._timer.cancel()
        self._crowd.came()
        self._crowd.gate.release()

    def ended(self, ending: Ending) -> None:
        """Dial again after as long as the SDK's policy says."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        if self._began is not None:
            self._crowd.went(ending.code)
            held_s = loop.time() - self._began
            ending = Ending(ending.code, "", ending.after_s, welcomed=True, held_s=held_s)
        self._reset()
        if not comes_back(ending, fresh_token=False):
            self._crowd.given_up += 1
            return
        self._failures = failures_after(ending, self._failures, _OPTIONS)
        pause_s = wait_s(ending, self._failures, _OPTIONS, random.random())
        loop.call_later(pause_s, self._crowd.dial, self)


def _retry_after(head: bytes) -> float | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            return float(value)
    return None


async def main() -> None:
    """Serve the runner until it goes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd()
    handlers = {"connect": crowd.connect, "move": crowd.move, "back": crowd.back}
    await serve(handlers, {"ready": True})


if __name__ == "__main__":
    uvloop.run(main())
