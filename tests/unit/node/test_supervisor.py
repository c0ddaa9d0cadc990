"""Nodes and store kept alive; the nodes here are small programs that only say they are ready."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node import supervisor
from node.listening import check_ports
from node.respawn import NodePlan
from node.supervisor import Supervisor, is_ready, node_command
from node.terminal import Terminal
from router.errors import ServerFailed
from router.store.embedded import EmbeddedServer
from scripts.measuring.ports import free_port_range
from tests.support.valkey import plain_client
from tests.support.waiting import eventually

READY = """
import http.server, os, signal, sys
from router.orphans import die_with_parent
die_with_parent(int(sys.argv[2]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(os.environ["ANSWER"]))
        self.end_headers()
    def log_message(self, *_): pass
if "STUBBORN" in os.environ:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# Notes each signal that asks it to leave, and takes a moment.
NOTES = """
import os, signal, threading
def note(number, _):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{os.getpid()} {number}\\n")
    threading.Timer(0.5, os._exit, (0,)).start()
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, note)
"""

HEARS_HANGUPS = """
import os, signal
def hear(number, _):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{os.getpid()}\\n")
signal.signal(signal.SIGHUP, hear)
"""


def free_ports(count: int) -> list[int]:
    first = free_port_range(count)
    return list(range(first, first + count))


class Scene:
    """A supervisor at work and what it said."""

    def __init__(
        self,
        *,
        nodes: int = 2,
        program: str = READY,
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
        store: EmbeddedServer | None = None,
        drain_s: float = 5.0,
    ) -> None:
        self.said: list[str] = []
        self.ready: list[list[int]] = []
        ports = free_ports(nodes)
        self.plans = [NodePlan(f"n{i + 1}", "127.0.0.1", port) for i, port in enumerate(ports)]
        self.supervisor = Supervisor(
            self.plans,
            command=lambda plan: [python, "-c", program, str(plan.port), str(os.getpid())],
            environment={**os.environ, "ANSWER": "200", **(environment or {})},
            store=store,
            drain_s=drain_s,
            say=self.said.append,
            ready=self.ready.append,
        )

    def pids(self) -> list[int]:
        return [process.pid for process in self.supervisor._processes.values()]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.supervisor.run())
            await eventually(lambda: self.ready, what="ready")
            yield
            self.supervisor.stop()
        assert all(is_gone(pid) for pid in self.pids())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def failure_of(scene: Scene) -> str:
    """Return why the supervisor gave up; nothing must be left of its nodes."""
    with pytest.raises(ServerFailed) as failure:
        async with asyncio.timeout(20):
            await scene.supervisor.run()
    assert all(is_gone(pid) for pid in scene.pids())
    return str(failure.value)


class TestNodes:
    async def test_it_says_once_that_all_are_ready(self) -> None:
        scene = Scene()
        async with scene.running():
            assert scene.ready == [scene.pids()]
            for plan in scene.plans:
                assert await is_ready(plan.url)
        assert len(scene.ready) == 1
        assert scene.said == []

    async def test_one_that_dies_is_started_again_and_it_says_so(self) -> None:
        scene = Scene()
        async with scene.running():
            first, second = scene.pids()
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: scene.pids()[0] != first)
            async with asyncio.timeout(10):
                while not await is_ready(scene.plans[0].url):
                    await asyncio.sleep(0.02)
            assert scene.pids()[1] == second
        (line,) = scene.said
        assert re.fullmatch(r"node n1 was killed by SIGKILL; it starts again in [01]\.\d s", line)

    async def test_one_that_ends_before_it_was_ready_ends_all(self) -> None:
        assert (
            await failure_of(Scene(nodes=1, program="raise SystemExit(7)"))
            == "node n1 ended with status 7 before it was ready"
        )

    async def test_one_that_cannot_be_started_ends_all(self) -> None:
        failure = await failure_of(Scene(nodes=1, python="/nowhere/python"))
        assert "could not be started (No such file or directory)" in failure

    async def test_one_that_is_never_ready_ends_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervisor, "READY_S", 0.5)
        failure = await failure_of(Scene(environment={"ANSWER": "503"}))
        assert failure.startswith("node n1 was not ready within 0.5 s; http://127.0.0.1:")

    async def test_one_that_does_not_stop_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervisor, "KILL_AFTER_S", 0.2)
        scene = Scene(environment={"STUBBORN": "1"}, drain_s=0.1)
        async with scene.running():
            pass
        assert scene.said == ["a node did not stop in time and is killed"]

    async def test_a_second_signal_ends_all_at_once(self) -> None:
        scene = Scene(environment={"STUBBORN": "1"}, drain_s=600)
        async with asyncio.timeout(10), scene.running():
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_a_signal_stops_all(self, number: signal.Signals) -> None:
        scene = Scene()
        async with scene.running():
            os.kill(os.getpid(), number)
            await eventually(lambda: all(is_gone(pid) for pid in scene.pids()))

    async def test_the_end_of_the_terminal_stops_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Terminal, "is_closed", lambda terminal: True)
        scene = Scene()
        async with scene.running():
            os.kill(os.getpid(), signal.SIGHUP)
            await eventually(lambda: all(is_gone(pid) for pid in scene.pids()))

    async def test_the_same_signal_without_it_is_for_the_nodes(self, tmp_path: Path) -> None:
        notes = tmp_path / "notes"
        scene = Scene(program=HEARS_HANGUPS + READY, environment={"NOTES": str(notes)})
        async with scene.running():
            os.kill(os.getpid(), signal.SIGHUP)

            def all_heard() -> bool:
                return notes.exists() and len(notes.read_text().split()) == len(scene.pids())

            await eventually(all_heard)
            assert {int(pid) for pid in notes.read_text().split()} == set(scene.pids())
        assert scene.said == ["the nodes read their settings again"]

    async def test_an_error_nobody_expected_leaves_no_node(self) -> None:
        scene = Scene()

        def fail(pids: list[int]) -> None:
            raise RuntimeError("no")

        scene.supervisor._ready = fail
        with pytest.raises(ExceptionGroup):
            await scene.supervisor.run()
        await eventually(lambda: all(is_gone(pid) for pid in scene.pids()))


class TestRestarting:
    async def test_a_signal_restarts_the_nodes_one_by_one(self) -> None:
        scene = Scene()
        async with scene.running():
            first, second = scene.pids()
            os.kill(os.getpid(), signal.SIGUSR2)
            await eventually(lambda: scene.pids()[0] != first)
            assert not is_gone(second)  # one of them is always there
            await eventually(lambda: "every node was restarted" in scene.said)
            assert not {first, second} & set(scene.pids())
            for plan in scene.plans:
                assert await is_ready(plan.url)
        assert scene.said == [
            "restarting node n1",
            "restarting node n2",
            "every node was restarted",
        ]

    async def test_it_can_be_done_again(self) -> None:
        scene = Scene(nodes=1)
        async with scene.running():
            for _ in range(2):
                scene.said.clear()
                scene.supervisor.restart()
                await eventually(lambda: "every node was restarted" in scene.said)

    async def test_one_that_does_not_leave_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervisor, "KILL_AFTER_S", 0.2)
        scene = Scene(nodes=1, environment={"STUBBORN": "1"}, drain_s=0.1)
        async with scene.running():
            (stubborn,) = scene.pids()
            scene.supervisor.restart()
            await eventually(lambda: is_gone(stubborn))
            await eventually(lambda: "every node was restarted" in scene.said)
        assert "node n1 did not stop in time and is killed" in scene.said

    async def test_one_that_does_not_come_back_leaves_the_others_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = Scene()
        async with scene.running():
            monkeypatch.setattr(supervisor, "READY_S", 0.5)
            scene.supervisor._environment = {**os.environ, "ANSWER": "503"}
            first, second = scene.pids()
            scene.supervisor.restart()
            words = "node n1 did not come back; the others were not restarted"
            await eventually(lambda: words in scene.said)
            assert is_gone(first)
            assert scene.pids()[1] == second

    async def test_a_node_that_leaves_for_it_is_not_told_again_when_all_stop(
        self, tmp_path: Path
    ) -> None:
        notes = tmp_path / "notes"
        scene = Scene(program=NOTES + READY, environment={"NOTES": str(notes)})
        async with scene.running():
            scene.supervisor.restart()
            await eventually(notes.exists)
        told = [line.split()[0] for line in notes.read_text().splitlines()]
        assert len(told) == len(set(told)) == 2


class TestStore:
    async def test_one_that_dies_is_started_again_where_it_was(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as store:
            scene = Scene(nodes=1, store=store)
            before = store.address
            async with scene.running():
                os.kill(before.pid, signal.SIGKILL)
                await eventually(lambda: "the store server is back" in scene.said)
                assert store.address.url == before.url
                with plain_client(before.tcp_url) as client:
                    assert client.ping()
            assert re.fullmatch(
                r"the store server has ended; it starts again in [01]\.\d s", scene.said[0]
            )

    async def test_one_that_keeps_dying_ends_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "MAX_STORE_FAILURES", 0)
        with EmbeddedServer(tmp_path) as store:
            store.kill()
            assert "keeps ending" in await failure_of(Scene(store=store))

    async def test_one_that_cannot_be_started_again_ends_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise ServerFailed("the disk is full")

        with EmbeddedServer(tmp_path) as store:
            store.kill()
            monkeypatch.setattr(store, "launch", refuse)
            assert await failure_of(Scene(store=store)) == "the disk is full"

    async def test_a_second_signal_ends_it_at_once(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as store:
            async with Scene(store=store).running():
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0)
                os.kill(os.getpid(), signal.SIGINT)
                await eventually(lambda: not store.alive)


def test_ports_are_looked_at_before_anything_starts() -> None:
    free, taken = free_ports(2)
    check_ports([NodePlan("n1", "127.0.0.1", free)])
    with socket.create_server(("127.0.0.1", taken)):
        with pytest.raises(ServerFailed, match=rf"node n2 cannot listen on 127\.0\.0\.1:{taken}"):
            check_ports([NodePlan("n1", "127.0.0.1", free), NodePlan("n2", "127.0.0.1", taken)])


@pytest.mark.parametrize(("config", "tail"), [(None, []), (Path("x.toml"), ["--config", "x.toml"])])
def test_a_node_is_told_its_place_and_its_parent(config: Path | None, tail: list[str]) -> None:
    command = node_command(NodePlan("n3", "::1", 8003), config, 77)
    assert command[1:] == [
        *["-m", "node.cli", "serve", "--name", "n3", "--host", "::1", "--port", "8003"],
        *["--parent", "77", *tail],
    ]


async def test_nobody_there_is_not_ready() -> None:
    (port,) = free_ports(1)
    assert not await is_ready(f"http://127.0.0.1:{port}/")
