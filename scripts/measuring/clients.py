"""Program: all WebSocket clients of one cluster, in one process, as lean as Python allows.

The same for every mode. During a cell it only cuts frames and notes when they came; what they
say is checked when the cell is over.
"""

import asyncio
import gc
import struct
import time
from collections.abc import Callable
from typing import Any, cast

import uvloop

from scripts.measuring import websocket
from scripts.measuring.ledger import Arrival, check
from scripts.measuring.peer import Request, serve
from scripts.measuring.plan import Plan, user_name

HOST = "127.0.0.1"
CONNECTS_AT_ONCE = 32
RETRY_SECONDS = 0.1
PROGRESS = struct.Struct("!II")  # number of the cell, messages received in it


class Book:
    """What has come in during this cell; tells the sender how much, once a loop turn."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.plan: Plan | None = None
        self.complete = asyncio.Event()
        self.closed: list[str] = []
        self._progress: asyncio.WriteTransport | None = None
        self._telling = False

    def expect(self, plan: Plan) -> None:
        """Start a new cell."""
        self.plan = plan
        self.arrivals = []
        self.complete.clear()

    def tell(self, progress: asyncio.WriteTransport) -> None:
        """Name the connection to the sender."""
        self._progress = progress

    def enter(self, user: int, at_ns: int, payload: bytes) -> None:
        """Note one frame."""
        self.arrivals.append(Arrival(user, at_ns, payload))
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._telling = False
        if self.plan is None:
            return
        if self._progress is not None:
            self._progress.write(PROGRESS.pack(self.plan.run, len(self.arrivals)))
        if len(self.arrivals) >= self.plan.deliveries:
            self.complete.set()


class Session(asyncio.Protocol):
    """One user's WebSocket.

    Args:
        book: where frames are noted.
        user: index of the user.
        port: the node's port on this machine.
        gone: called when it ended after the welcome and nobody had asked for it.
    """

    def __init__(self, book: Book, user: int, port: int, gone: Callable[["Session"], None]) -> None:
        loop = asyncio.get_running_loop()
        self.welcome: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.user = user
        self.port = port
        self._book = book
        self._gone = gone
        self._leaving = False
        self._open = False
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only
        path = f"/ws?user={user_name(self.user)}"
        self._transport.write(websocket.handshake(HOST, self.port, path))

    def leave(self) -> None:
        """End the connection as a client does."""
        self._leaving = True
        self._transport.write(websocket.goodbye())

    def data_received(self, data: bytes) -> None:
        """Cut frames and note them; one look at the clock for all that came together."""
        now = time.monotonic_ns()
        if self._rest:
            data = self._rest + data
        if not self._open:
            rest = websocket.split_response(data)
            if rest is None:
                self._rest = data
                return
            self._open = True
            data = rest
        frames, self._rest = websocket.split_frames(data)
        for opcode, payload in frames:
            if opcode == websocket.TEXT:
                self._text(now, payload)
            elif opcode == websocket.PING:
                self._transport.write(websocket.pong(payload))
            elif opcode == websocket.CLOSE:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the user has gone: no node may close during a run."""
        self.ended.set_result(None)
        if self._leaving:
            return
        self._book.closed.append(user_name(self.user))
        if not self.welcome.done():
            self.welcome.set_exception(
                ConnectionError(f"{user_name(self.user)} was refused: {exc}")
            )
        elif not self.welcome.exception():
            self._gone(self)

    def _text(self, now: int, payload: bytes) -> None:
        if self.welcome.done():
            self._book.enter(self.user, now, payload)
        elif b'"welcome"' in payload:
            self.welcome.set_result(None)


class Clients:
    """The requests this program answers."""

    def __init__(self) -> None:
        self.book = Book()
        self._sessions: dict[int, Session] = {}
        self._ports: list[int] = []
        self._again_s = 0.0
        self._returning: set[asyncio.Task[None]] = set()

    async def connect(self, request: Request) -> Request:
        """Open one session for each user; `ports[i]` is the port of user i's node.

        With `again_s` a user whose connection ends comes back on another port after so long.
        """
        self._again_s = request.get("again_s", 0.0)
        self._ports = list(dict.fromkeys(request["ports"]))
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def one(user: int, port: int) -> None:
            async with gate:
                await self._open(user, port)

        async with asyncio.timeout(request["limit_s"]), asyncio.TaskGroup() as group:
            for user, port in enumerate(request["ports"]):
                group.create_task(one(user, port))
        if request["progress"]:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, request["progress"])
            self.book.tell(transport)
        gc.collect()
        gc.freeze()
        gc.disable()  # or its pauses would be read as the node's latency
        return {"sessions": len(self._sessions)}

    async def leave(self, request: Request) -> Request:
        """End every session; returns when the nodes have answered the goodbyes."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.leave()
        async with asyncio.timeout(request["limit_s"]):
            await asyncio.gather(*(session.ended for session in sessions.values()))
        return {"sessions": len(sessions)}

    async def _open(self, user: int, port: int) -> None:
        _, session = await asyncio.get_running_loop().create_connection(
            lambda: Session(self.book, user, port, self._gone), HOST, port
        )
        await session.welcome
        self._sessions[user] = session

    def _gone(self, session: Session) -> None:
        if self._again_s:
            task = asyncio.create_task(self._return(session))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _return(self, session: Session) -> None:
        """Bring a user back on another node, as a load balancer would."""
        others = [port for port in self._ports if port != session.port] or [session.port]
        await asyncio.sleep(self._again_s)
        while True:
            try:
                await self._open(session.user, others[session.user % len(others)])
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def expect(self, request: Request) -> Request:
        """Start a cell."""
        gc.collect()
        self.book.expect(Plan.load(request["plan"]))
        return {}

    async def wait(self, request: Request) -> Request:
        """Wait until as many frames have come as messages were planned, or `limit_s` is over."""
        try:
            async with asyncio.timeout(request["limit_s"]):
                await self.book.complete.wait()
        except TimeoutError:
            pass  # what is missing is counted in `collect`
        return {"received": len(self.book.arrivals)}

    async def collect(self, request: Request) -> Request:
        """Check the cell's frames and hand the findings over."""
        assert self.book.plan is not None
        found = check(self.book.plan, self.book.arrivals)
        answer: dict[str, Any] = {
            "at_ns": found.at_ns,
            "missing": found.missing,
            "doubled": found.doubled,
            "misdelivered": found.misdelivered,
            "stray": found.stray,
            "closed": self.book.closed,
            "twice": sorted(found.twice),
        }
        return answer


async def main() -> None:
    """Serve the runner until it goes."""
    clients = Clients()
    handlers = {
        "connect": clients.connect,
        "leave": clients.leave,
        "expect": clients.expect,
        "wait": clients.wait,
        "collect": clients.collect,
    }
    await serve(handlers, {"ready": True})


if __name__ == "__main__":
    uvloop.run(main())
