"""How a sender makes load: a bounded number outstanding, or a fixed rate.

The same for every mode that has a sender. A message is outstanding from the call of send until
that call has its answer and the clients have the message, so "256 outstanding" means the same
thing for a mode that confirms and for one that cannot.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from scripts.measuring.clients import PROGRESS
from scripts.measuring.peer import Request, serve
from scripts.measuring.plan import Plan

Send = Callable[[Plan, int, int, str], Awaitable[str]]
"""Sends message `n` of the plan to a first user index, as told; returns the outcome."""

BUSY = "busy"
BUSY_PAUSE_SECONDS = 0.005


class Gate:
    """Counts what is outstanding, and wakes the launcher when there is room."""

    def __init__(self) -> None:
        self.run = 0
        self.launched = 0
        self.answered = 0
        self.received = 0
        self._group = 1
        self._room = asyncio.Event()

    def reset(self, run: int, group: int = 1) -> None:
        """Start the cell with this number, whose messages are for `group` users each."""
        self.run = run
        self._group = group
        self.launched = self.answered = self.received = 0

    async def room(self, outstanding: int) -> None:
        """Return when fewer than `outstanding` messages are under way."""
        while self.launched - min(self.answered, self.received) >= outstanding:
            self._room.clear()
            await self._room.wait()

    def answer(self) -> None:
        """Count one send that has its outcome."""
        self.answered += 1
        self._room.set()

    def receive(self, run: int, received: int) -> None:
        """Take the clients' count of the cell `run`."""
        if run == self.run:
            self.received = received // self._group
            self._room.set()


class ProgressServer(asyncio.Protocol):
    """Reads the clients' counts."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take the last whole record; it holds all earlier ones."""
        data = self._rest + data
        whole = len(data) - len(data) % PROGRESS.size
        self._rest = data[whole:]
        if whole:
            self._gate.receive(*PROGRESS.unpack_from(data, whole - PROGRESS.size))


class Sender:
    """The requests a sender program answers.

    Args:
        send: how this mode sends.
    """

    def __init__(self, send: Send) -> None:
        self.gate = Gate()
        self._send = send
        self._plan: Plan | None = None
        self._how = ""
        self._users: list[int] = []
        self._sent_ns: list[int] = []
        self._outcomes: Counter[str] = Counter()
        self._busy = 0
        self._words: list[str] = []

    async def prepare(self, request: Request) -> Request:
        """Start a cell."""
        self._plan = Plan.load(request["plan"])
        self._how = request["how"]
        self._users = self._plan.recipients()
        self._sent_ns = [0] * self._plan.messages
        self._words = [""] * self._plan.messages
        self._outcomes.clear()
        self._busy = 0
        self.gate.reset(self._plan.run, self._plan.group)
        gc.collect()
        return {}

    async def go(self, request: Request) -> Request:
        """Send the whole plan; return when every send has its answer, or `limit_s` is over."""
        assert self._plan is not None
        try:
            async with asyncio.timeout(request["limit_s"]), asyncio.TaskGroup() as group:
                if request["rate"]:
                    await self._paced(group, self._plan, request["rate"])
                else:
                    await self._full(group, self._plan, request["outstanding"])
        except TimeoutError:
            self._outcomes["no answer in time"] = self.gate.launched - self.gate.answered
        return {"launched": self.gate.launched}

    async def collect(self, request: Request) -> Request:
        """Hand over when each message was sent, and the outcomes, on request one by one."""
        answer: dict[str, Any] = {
            "sent_ns": list(enumerate(self._sent_ns)),
            "outcomes": dict(self._outcomes),
            "busy": self._busy,
            "words": self._words if request.get("each") else [],
        }
        return answer

    async def _full(self, group: asyncio.TaskGroup, plan: Plan, outstanding: int) -> None:
        for n in range(plan.messages):
            await self.gate.room(outstanding)
            self.gate.launched += 1
            group.create_task(self._one(plan, n))

    async def _paced(self, group: asyncio.TaskGroup, plan: Plan, rate: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for n in range(plan.messages):
            delay = start + n / rate - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            self.gate.launched += 1
            group.create_task(self._one(plan, n))

    async def _one(self, plan: Plan, n: int) -> None:
        self._sent_ns[n] = time.monotonic_ns()
        outcome = await self._send(plan, n, self._users[n], self._how)
        while outcome == BUSY:  # nothing was pushed; the contract says: retry later
            self._busy += 1
            await asyncio.sleep(BUSY_PAUSE_SECONDS)
            outcome = await self._send(plan, n, self._users[n], self._how)
        self._outcomes[outcome] += 1
        self._words[n] = outcome
        self.gate.answer()


async def serve_sender(send: Send, progress: Path) -> None:
    """Serve the runner until it goes.

    Args:
        send: how this mode sends.
        progress: the unix socket on which the clients will report.
    """
    sender = Sender(send)
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: ProgressServer(sender.gate), progress)
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of the sender's collector is no property of the system under test
    handlers = {"prepare": sender.prepare, "go": sender.go, "collect": sender.collect}
    async with server:
        await serve(handlers, {"ready": True})
