"""The client SDKs as the scenarios see them: a driver each, a process that speaks JSON lines.

Commands, one object a line, on its standard input; `n` comes back with the answer:

    {"do":"connect","n":1,"urls":["ws://127.0.0.1:8001/ws"],"user":"alice","device":"web",
     "options":{...}}                          answered when the client was made
    {"do":"send","n":2,"to":"bob","data":...,"durable"?,"confirm"?,"ttl_s"?,"key"?,"timeout_s"?}
    {"do":"ack_mode","n":3,"manual":true}      for the next `connect`: the application acknowledges
                                               itself, or not any more
    {"do":"ack","n":4,"id":"..."}              a message that was received; the node is told the
                                               offset up to which everything was, of one that is
                                               not durable its id
    {"do":"close","n":5}                       answered when the client is closed, after its last
                                               event; also if there is none. The next `connect`
                                               makes a new one
    {"do":"exit"}                              the process ends with status 0

Options, each may be missing; times in seconds:

    since            offset after which to resume
    tokens           what the token function returns, one a call, the last one again and again
    retry_base_s, retry_cap_s   of the backoff: the n-th wait is within [0, min(cap, base * 2 ** n)]
    ping_interval_s  a connection on which nothing was heard for 2.5 times as long is given up
    max_sends        sends that may wait for their outcome
    max_messages     messages that may wait for the application
    handler_s        how long the application's handler (async) takes for one message

Events, one object a line, on its standard output:

    {"event":"done","n":2,"result":{...}}      of a send: id, user, outcome, reason
    {"event":"failed","n":2,"error":{"code":"...","message":"..."}}
    {"event":"state","state":"connecting","url":"..."}
    {"event":"state","state":"open","session":"...","node":"...","resumed":true,"offset":"..."}
    {"event":"state","state":"waiting","after_ms":120,"reason":"..."}
    {"event":"state","state":"closed","code":4401,"reason":"..."}
    {"event":"message","id":"...","from":"...","data":...,"offset"?,"replay"?}   as handling begins
    {"event":"gap"}    after `open`: the client asked to resume, and the node could not

The code of a failed send is the node's, or one of the SDK's own: `queue_full` (too many sends wait;
nothing was sent), `not_connected` (its time ran out before it could leave; nothing was sent),
`closed` (the client is closed; nothing was sent), `too_large` (over the node's limit; nothing was
sent). A send that left and whose answer never came is no error: its outcome is `unknown`.

What else a driver writes goes to its standard error.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from router.orphans import death_signal
from tests.support.documents import ROOT

HERE: Final = Path(__file__).resolve().parent
DEADLINE_S: Final = 30.0
_STARTING_S: Final = 60.0
_STOPPING_S: Final = 20.0
Event = dict[str, Any]


def _python() -> list[str]:
    return [sys.executable, str(HERE / "python_driver.py")]


def _node() -> list[str]:
    program = shutil.which("node")
    assert program, (
        "the tests of the JavaScript SDK need Node.js >= 18 (Debian: apt install nodejs)"
    )
    return [program, str(HERE / "js" / "driver.mjs")]


def _chromium() -> list[str]:
    return [sys.executable, str(HERE / "chromium_driver.py")]


# Name -> what must be there, and how it is started.
_REGISTRY: Final[dict[str, tuple[Path, Callable[[], list[str]]]]] = {
    "python": (HERE / "python_driver.py", _python),
    "node": (HERE / "js" / "driver.mjs", _node),
    "chromium": (HERE / "js" / "page.html", _chromium),
}
NAMES: Final = [name for name, (needed, _) in _REGISTRY.items() if needed.exists()]


class Failed(Exception):
    """A command that the driver answered with `failed`.

    Args:
        code: of the error.
        message: its words.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Driver:
    """One SDK in a process of its own, which outlives the event loop of a scenario.

    Args:
        name: of the driver.
    """

    def __init__(self, name: str) -> None:
        _, command = _REGISTRY[name]
        self.name = name
        self.events: list[Event] = []
        self._process = subprocess.Popen(
            command(),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - calls prctl and no more
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._numbers = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._looked: dict[str, int] = {}
        self._news = asyncio.Event()
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, name=f"driver {name}")
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hand_over(json.loads(line))
        self._hand_over(None)

    def _hand_over(self, event: Event | None) -> None:
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: Event | None) -> None:
        if event is None:
            self._has_ended = True
            self._news.set()
            for answer in self._answers.values():
                answer.cancel()
            return
        kind = event["event"]
        if kind not in {"done", "failed"}:
            self.events.append(event)
            self._news.set()
            return
        answer = self._answers.pop(event["n"])
        if answer.done():
            return
        if kind == "done":
            answer.set_result(event.get("result"))
        else:
            answer.set_exception(Failed(event["error"]["code"], event["error"]["message"]))

    # ---- commands ---------------------------------------------------------------------------

    def start(self, do: str, **fields: Any) -> "asyncio.Future[Any]":
        """Give a command; return its answer to be."""
        self._numbers += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[self._numbers] = answer
        self._say({"do": do, "n": self._numbers, **fields})
        return answer

    def _say(self, command: Event) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    async def do(self, command: str, **fields: Any) -> Any:
        """Give a command and return its answer.

        Raises:
            Failed: the driver says so.
        """
        async with asyncio.timeout(_STARTING_S):  # the first one waits for the process, too
            return await self.start(command, **fields)

    async def connect(
        self, *urls: str, user: str = "alice", device: str = "web", **options: Any
    ) -> None:
        """Make the client; it comes back quickly, unless the options say otherwise."""
        options = {"retry_base_s": 0.05, "retry_cap_s": 0.5, **options}
        await self.do("connect", urls=urls, user=user, device=device, options=options)

    async def opened(self, *urls: str, **options: Any) -> Event:
        """Make the client and wait until it is open; return that event."""
        await self.connect(*urls, **options)
        return await self.state("open")

    async def send(self, to: str, data: Any, **fields: Any) -> Any:
        """Send a message and return its result."""
        return await self.do("send", to=to, data=data, **fields)

    # ---- events -----------------------------------------------------------------------------

    async def next(self, kind: str, within_s: float = DEADLINE_S, **fields: Any) -> Event:
        """Return the next event of a kind with these fields; those before it are passed over.

        Raises:
            AssertionError: it did not come in time.
        """
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for index in range(self._looked.get(kind, 0), len(self.events)):
                        event = self.events[index]
                        if event["event"] == kind and event.items() >= fields.items():
                            self._looked[kind] = index + 1
                            return event
                    self._news.clear()
                    await self._news.wait()
                    assert not self._has_ended, f"{self.name} has ended: {self.events}"
        except TimeoutError:
            raise AssertionError(f"no {kind} {fields} of {self.name}: {self.events}") from None

    async def state(self, state: str, within_s: float = DEADLINE_S) -> Event:
        """Return the next event that says this state."""
        return await self.next("state", within_s, state=state)

    async def messages(self, count: int, within_s: float = DEADLINE_S) -> list[Any]:
        """Return the data of the next messages."""
        return [(await self.next("message", within_s))["data"] for _ in range(count)]

    def heard(self, kind: str) -> list[Event]:
        """Return every event of a kind so far."""
        return [event for event in self.events if event["event"] == kind]

    # ---- beginning and end ------------------------------------------------------------------

    async def begin(self) -> None:
        """Be as new, in the event loop of this scenario."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        await self.do("ack_mode", manual=False)

    async def end(self) -> None:
        """Close the client of this scenario, if there is one."""
        await self.do("close")
        self._loop = None
        self._answers.clear()
        self._looked.clear()
        self.events.clear()

    def finish(self) -> None:
        """Have it exit, which must succeed."""
        self._say({"do": "exit"})
        assert self._process.wait(_STOPPING_S) == 0

    def kill(self) -> None:
        """End it, whatever state it is in. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it had not read when it ended
            self._process.stdin.close()


@contextlib.contextmanager
def running(name: str) -> Iterator[Driver]:
    """Run a driver for the length of a `with` block, at whose end it must exit as it should."""
    driver = Driver(name)
    try:
        yield driver
        driver.finish()
    finally:
        driver.kill()
