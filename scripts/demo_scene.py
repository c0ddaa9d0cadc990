"""`scripts/demo --once`: a whole scene on a private cluster, each step printed and really checked.

The cluster has free ports and a temporary folder of its own, so a demo that is already running is
not disturbed. The clients are plain `websockets` ones: any WebSocket client will do.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from router.orphans import death_signal
from scripts.measuring.ports import free_port_range

SWITCHBOARD: Final = str(Path(sys.executable).with_name("switchboard"))
WAIT_S: Final = 30.0
LOG: Final = "up.log"


class StepFailed(Exception):
    """What a step found that should not be so."""


def expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise StepFailed(otherwise)


async def eventually(condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not await condition():
        expect(time.monotonic() < give_up_at, f"{otherwise} within {WAIT_S:g} s")
        await asyncio.sleep(0.05)


class User:
    """A user at a plain WebSocket client that comes back, at the next node, when it is cut off."""

    def __init__(self, name: str, nodes: Sequence[str]) -> None:
        self.name = name
        self.node = ""
        self.messages: list[Any] = []
        self.outcomes: list[Any] = []
        self._nodes = list(nodes)
        self._connection: ClientConnection | None = None

    async def stay(self) -> None:
        """Stay connected until cancelled."""
        while True:
            address = self._nodes[0].replace("http://", "ws://")
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                async with connect(f"{address}ws?user={self.name}", proxy=None) as connection:
                    self._connection = connection
                    await self._read(connection)
            self.node = ""
            self._nodes.append(self._nodes.pop(0))
            await asyncio.sleep(0.1)

    async def _read(self, connection: ClientConnection) -> None:
        async for text in connection:
            frame = json.loads(text)
            if frame["type"] == "welcome":
                self.node = frame["node"]
            elif frame["type"] == "message":
                self.messages.append(frame)
            elif frame["type"] == "outcome":
                self.outcomes.append(frame)

    async def send(self, to: str, data: Any) -> None:
        if self._connection is None:
            raise StepFailed(f"{self.name} is not connected")
        frame = {"type": "send", "ref": "1", "to": to, "data": data}
        await self._connection.send(json.dumps(frame))


class Scene:
    """The cluster and its users; each method that a step calls checks what it says."""

    def __init__(self, folder: Path, document: Any) -> None:
        self.folder = folder
        self.nodes = {node["name"]: node for node in document["nodes"]}
        first, second = (node["url"] for node in document["nodes"])
        self.alice = User("alice", [first, second])
        self.bob = User("bob", [second, first])
        self.carol = User("carol", [second, first])

    @property
    def users(self) -> list[User]:
        return [self.alice, self.bob, self.carol]

    async def command(self, *arguments: str) -> tuple[int, Any]:
        """Run `switchboard ... --json`; return its exit status and document."""
        process = await asyncio.create_subprocess_exec(
            *(SWITCHBOARD, *arguments, "--json"),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        expect(out, f"switchboard {arguments[0]} printed nothing but: {err.decode().strip()}")
        return process.returncode or 0, json.loads(out)

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the HTTP API of the first node; return status and answer."""
        request = HTTPRequest(
            f"{self.nodes['n1']['url']}api/v1/{path}",
            method=method,
            headers={"Content-Type": "application/json"},
            body=None if body is None else json.dumps(body),
        )
        answer = await AsyncHTTPClient().fetch(request, raise_error=False)
        return answer.code, json.loads(answer.body)

    async def delivered(self) -> dict[str, int]:
        """Return how many messages each live node says it has delivered."""
        _, answer = await self.call("GET", "nodes")
        return {r["name"]: r["delivered"] for r in answer["nodes"] if r["state"] == "live"}

    async def connect_all(self) -> None:
        async def all_there() -> bool:
            return all(user.node for user in self.users)

        await eventually(all_there, "not all three users were welcomed")
        found = [user.node for user in self.users]
        expect(found == ["n1", "n2", "n2"], f"they are on {found}")

    async def look_at_registry(self) -> None:
        expected = {"alice": ["n1"], "bob": ["n2"], "carol": ["n2"]}
        told = await self.command("users"), await self.call("GET", "users")
        for _, document in told:
            found = {row["user"]: row["nodes"] for row in document["users"]}
            expect(found == expected, f"it says {found}")

    async def send_directed(self) -> None:
        before = await self.delivered()
        status, result = await self.command("send", "bob", '{"order":42}', "--from", "shop")
        expect(status == 0, f"`switchboard send` ended with {status}")
        expect(result["outcome"] == "delivered", f"the outcome is {result}")
        expect([m["data"] for m in self.bob.messages] == [{"order": 42}], "bob did not get it")
        others = [*self.alice.messages, *self.carol.messages]
        expect(not others, f"others got {others}")

        async def counted() -> bool:
            return (await self.delivered())["n2"] == before["n2"] + 1

        await eventually(counted, "n2 did not count it")
        expect((await self.delivered())["n1"] == before["n1"], "n1 had to do with it")

    async def answer_over_websocket(self) -> None:
        await self.bob.send("alice", "thank you")

        async def answered() -> bool:
            return bool(self.alice.messages and self.bob.outcomes)

        await eventually(answered, "no message at alice or no outcome at bob")
        expect(self.alice.messages[0]["data"] == "thank you", "alice got something else")
        expect(self.alice.messages[0]["from"] == "bob", "alice was told another sender")
        expect(self.bob.outcomes[0]["outcome"] == "delivered", f"bob: {self.bob.outcomes}")

    async def send_to_nobody(self) -> None:
        status, result = await self.command("send", "dave", "hello")
        expect((status, result["outcome"]) == (3, "offline"), f"{status}: {result}")

    async def kill_a_node(self) -> None:
        os.kill(self.nodes["n2"]["pid"], signal.SIGKILL)

        async def moved() -> bool:
            return self.bob.node == "n1" and self.carol.node == "n1"

        await eventually(moved, "bob and carol are not back on n1")

    async def send_after_the_crash(self) -> None:
        for user in self.users:
            user.messages.clear()
        for user in (self.bob, self.carol):
            body = {"data": f"welcome back, {user.name}"}
            status, answer = await self.call("POST", f"users/{user.name}/messages", body)
            expect((status, answer.get("outcome")) == (200, "delivered"), f"{status}: {answer}")
            found = [m["data"] for m in user.messages]
            expect(found == [body["data"]], f"{user.name} got {found}")
        expect(not self.alice.messages, "alice got what was not hers")

    async def see_the_node_back(self) -> None:
        async def back() -> bool:
            _, document = await self.command("nodes")
            live = {r["name"]: r["pid"] for r in document["nodes"] if r["state"] == "live"}
            return bool(live.get("n2", self.nodes["n2"]["pid"]) != self.nodes["n2"]["pid"])

        await eventually(back, "n2 was not started again")


STEPS: Final[Sequence[tuple[str, Callable[[Scene], Awaitable[None]]]]] = (
    ("alice connects to node n1, bob and carol to n2", Scene.connect_all),
    ("the registry knows who is where", Scene.look_at_registry),
    ("a message to bob is delivered: n2 alone had to do with it", Scene.send_directed),
    ("bob answers alice over his WebSocket and hears `delivered`", Scene.answer_over_websocket),
    ("a message to dave, who is not there, is `offline`: exit 3", Scene.send_to_nobody),
    ("node n2 is killed with SIGKILL: bob and carol are back on n1", Scene.kill_a_node),
    ("messages follow them there", Scene.send_after_the_crash),
    ("node n2 was started again", Scene.see_the_node_back),
)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Any]:
    """Run `switchboard up` in `folder`; yield the document it prints when it is ready."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith("SWITCHBOARD_")}
    with (folder / LOG).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(SWITCHBOARD, "up", "--json", "--nodes", "2", "--port", str(free_port_range(2))),
            cwd=folder,
            env=settings,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            preexec_fn=death_signal(signal.SIGTERM),
        )
    try:
        line = await process.stdout.readline() if process.stdout is not None else b""
        expect(line, "`switchboard up` ended before it was ready")
        yield json.loads(line)
        process.terminate()
        expect(await process.wait() == 0, "`switchboard up` did not end well")
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


class Play:
    """The scene from curtain to curtain; `step` is where it is."""

    def __init__(self, folder: Path) -> None:
        self.step = "a private store and two nodes are up"
        self._folder = folder

    async def run(self) -> None:
        async with cluster(self._folder) as document:
            self._done()
            scene = Scene(self._folder, document)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(user.stay()) for user in scene.users]
                try:
                    for self.step, act in STEPS:
                        await act(scene)
                        self._done()
                finally:
                    for task in tasks:
                        task.cancel()
            self.step = "everything stops in order"
        self._done()

    def _done(self) -> None:
        print(f"\N{CHECK MARK} {self.step}", flush=True)


def why(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return str(exc) if isinstance(exc, StepFailed) else f"{type(exc).__name__}: {exc}"


def main() -> int:
    """Play the scene and return the exit status: 0, or 1 when a step failed."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a plain terminal
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="switchboard-demo-") as folder:
        play = Play(Path(folder))
        try:
            asyncio.run(play.run())
        except KeyboardInterrupt:
            return 130
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is this step that failed
            print(f"FAILED: {play.step}: {why(exc)}", file=sys.stderr)
            print(Path(folder, LOG).read_text(errors="replace"), end="", file=sys.stderr)
            return 1
    print(f"The whole scene took {time.monotonic() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
