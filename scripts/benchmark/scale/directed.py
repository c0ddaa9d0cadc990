"""Program: messages to single users at a fixed pace, and how long each takes to its client.

Sender and receivers share this process and its clock, and nothing else runs in it.
"""

import asyncio
import sys
import time
from typing import Final

import msgspec
import structlog
import uvloop

from router.aio import Router
from router.errors import SwitchboardError
from router.settings import load
from scripts.measuring.clients import HOST, Book, Session
from scripts.measuring.peer import Request, serve
from scripts.measuring.plan import user_name
from scripts.measuring.stats import percentile

FIRST_USER: Final = 1_000_000  # above all of the crowd's
_LATE_S: Final = 5.0


class _Frame(msgspec.Struct):
    """What is read of a message."""

    data: int


class Directed:
    """Sends in turn to a few users that it holds itself.

    Args:
        router: sends.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._book = Book()
        self._sessions: list[Session] = []
        self._task: asyncio.Task[None] | None = None
        self._sent_ns: list[int] = []
        self._failed = 0
        self._sending = False

    async def connect(self, request: Request) -> Request:
        """Open the receivers' sockets on `port`: `users` of them."""
        loop = asyncio.get_running_loop()
        for number in range(FIRST_USER, FIRST_USER + request["users"]):
            _, session = await loop.create_connection(
                lambda number=number: Session(  # type: ignore[misc]
                    self._book, number, request["port"], lambda _: None
                ),
                HOST,
                request["port"],
            )
            await session.welcome
            self._sessions.append(session)
        return {}

    async def start(self, request: Request) -> Request:
        """Send `rate` messages a second from now on."""
        self._sent_ns, self._book.arrivals, self._failed = [], [], 0
        self._sending = True
        self._task = asyncio.create_task(self._send_all(1.0 / request["rate"]))
        return {}

    async def stop(self, request: Request) -> Request:
        """Send no more; answer how long each took, in milliseconds, and how many are missing."""
        assert self._task is not None
        self._sending = False
        await self._task
        wanted = len(self._sent_ns) - self._failed
        deadline = time.monotonic() + _LATE_S
        while len(self._book.arrivals) < wanted and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        took_ms = []
        for arrival in self._book.arrivals:
            number = msgspec.json.decode(arrival.payload, type=_Frame).data
            took_ms.append((arrival.at_ns - self._sent_ns[number]) / 1e6)
        return {
            "sent": len(self._sent_ns),
            "missing": len(self._sent_ns) - len(took_ms),
            "p50_ms": percentile(took_ms, 50),
            "p99_ms": percentile(took_ms, 99),
            "max_ms": max(took_ms, default=0.0),
        }

    async def _send_all(self, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        async with asyncio.TaskGroup() as group:
            while self._sending:
                number = len(self._sent_ns)
                user = self._sessions[number % len(self._sessions)].user
                self._sent_ns.append(time.monotonic_ns())
                group.create_task(self._send(user, number))
                at += every_s
                await asyncio.sleep(max(0.0, at - loop.time()))

    async def _send(self, user: int, number: int) -> None:
        try:
            await self._router.send(user_name(user), number, origin="bench", confirm="written")
        except SwitchboardError:
            self._failed += 1


async def main() -> None:
    """Serve the runner until it goes."""
    # stdout belongs to the answers.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with Router.from_settings(load(None)) as router:
        directed = Directed(router)
        handlers = {
            "connect": directed.connect,
            "start": directed.start,
            "stop": directed.stop,
        }
        await serve(handlers, {"ready": True})


if __name__ == "__main__":
    uvloop.run(main())
