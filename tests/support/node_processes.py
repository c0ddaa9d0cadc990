"""Real node processes: `switchboard serve`, one each, to be stopped, paused and killed."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pydantic import SecretStr

from router.aio import Router
from router.keys import Keys
from router.model import Endpoint, UserId
from router.settings import Settings
from scripts.measuring.ports import free_port_range
from tests.support.clients import Client
from tests.support.cluster import Overrides, fast_settings, plain_redis, unique_prefix
from tests.support.route_fields import shown
from tests.support.waiting import eventually

_START_S: Final = 30.0
_STOP_S: Final = 30.0
_ROOT: Final = Path(__file__).resolve().parents[2]


class NodeProcess:
    """One node in a process of its own.

    Args:
        name: of the node.
        process: just started.
        log: what it writes to its standard streams.
    """

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self.address = ""

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def said(self) -> str:
        """Return what it has written so far."""
        return self._log.read_text(errors="replace")

    def pause(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self._process.kill()
        await self.ended()

    async def terminate(self) -> int:
        """Ask it to stop (SIGTERM); return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it has ended; return its exit status."""
        await eventually(lambda: self._process.poll() is not None, _STOP_S, f"{self.name} ends")
        assert self._process.returncode is not None
        return self._process.returncode

    async def close(self) -> None:
        """End it, whatever state it is in. Idempotent."""
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            with contextlib.suppress(AssertionError):
                await eventually(lambda: self._process.poll() is not None, 30.0)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class ProcessCluster:
    """Node processes on one store, under a prefix of their own; an async context manager.

    Args:
        url: of the store.
        nodes: how many to start.
        overrides: settings: section -> key -> value.
    """

    def __init__(self, url: str, nodes: int = 2, **overrides: Overrides) -> None:
        self.url = url
        self.settings: Settings = fast_settings(unique_prefix(), url, **overrides)
        self.prefix = self.settings.registry.prefix
        self.keys = Keys(self.prefix)
        self.nodes: list[NodeProcess] = []
        self._names = [f"n{number}" for number in range(1, nodes + 1)]
        self._exits = contextlib.AsyncExitStack()
        self.redis = plain_redis(url)
        self.router = Router.connect(url, self.settings)

    async def __aenter__(self) -> Self:
        self._folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory()))
        self._exits.push_async_callback(self.redis.aclose)
        try:
            await self._exits.enter_async_context(self.router)
            self.nodes = [self.spawn(name) for name in self._names]
            for node in self.nodes:
                await self._is_up(node)
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for node in self.nodes:
                print(f"---- {node.name} ----\n{node.said}")
        await self._exits.aclose()

    async def start(self, name: str, port: int = 0) -> NodeProcess:
        """Start one more node, and wait until it takes sessions.

        Args:
            name: its name.
            port: where it listens; 0 for any.
        """
        node = self.spawn(name, *(("--port", str(port)) if port else ()))
        self.nodes.append(node)
        await self._is_up(node)
        return node

    def spawn(self, name: str, *arguments: str) -> NodeProcess:
        """Start one more node, with these arguments beside the usual ones, and wait for nothing."""
        log = self._folder / f"{name}-{len(self.nodes)}.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "node.cli", "serve", "--name", name]
            process = subprocess.Popen(
                [*command, *self._ports(), *arguments],
                cwd=_ROOT,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        node = NodeProcess(name, process, log)
        self._exits.push_async_callback(node.close)
        return node

    def _ports(self) -> list[str]:
        """Return where one more node listens: anywhere, or at the port that all of them share."""
        if not self.settings.node.reuse_port:
            return ["--port", "0"]
        own = str(free_port_range(1))
        return ["--port", str(self.settings.node.port), "--api-port", own]

    def environment(self) -> dict[str, str]:
        """Return the settings as a user would give them."""
        given = self.settings.model_dump(exclude_unset=True)
        given["redis"] = {**given.get("redis", {}), "url": self.url}
        given.get("node", {}).pop("port", None)
        return {
            f"SWITCHBOARD_{section}__{key}".upper(): _as_text(value)
            for section, values in given.items()
            for key, value in values.items()
        }

    async def _is_up(self, node: NodeProcess) -> None:
        async def listed() -> bool:
            assert node._process.poll() is None, node.said
            found = await self.described(node)
            if found is not None:
                node.address = found.address
            return found is not None

        await eventually(listed, _START_S, f"{node.name} is up")

    async def described(self, node: NodeProcess) -> Endpoint | None:
        """Return what the registry knows of the node's present epoch; None for nothing."""
        found = [each for each in await self.router.nodes() if each.pid == node.pid]
        return found[-1] if found else None

    async def connect(self, node: NodeProcess, user: str, device: str = "default") -> Client:
        """Return a client of `user` on a node, welcomed."""
        client = await Client.open(node.address, user, device=device)
        self._exits.push_async_callback(client.close)
        return client

    async def inbox(self, node: NodeProcess) -> list[bytes]:
        """Return what waits in a node's inbox, as any client of the store sees it."""
        found = await self.described(node)
        assert found is not None
        return list(await self.redis.lrange(self.keys.inbox(found.endpoint), 0, -1))

    async def routes(self, user: str) -> set[str]:
        """Return the registry's fields of a user: `endpoint/session`."""
        return shown(await self.redis.hkeys(self.keys.routes(UserId(user))))

    async def left_behind(self) -> list[str]:
        """Return every key of this cluster, sorted."""
        keys = [key.decode() async for key in self.redis.scan_iter(f"{self.prefix}:*", count=1_000)]
        return sorted(keys)


def _as_text(value: Any) -> str:
    """Return a setting as it is written in the environment."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, list | tuple) else str(value)


async def at_once(*nodes: NodeProcess) -> None:
    """Kill several nodes at once."""
    await asyncio.gather(*(node.kill() for node in nodes))


@contextlib.asynccontextmanager
async def processes(url: str, nodes: int, **overrides: Overrides) -> AsyncIterator[ProcessCluster]:
    """Run node processes for the length of a `with` block."""
    async with ProcessCluster(url, nodes, **overrides) as cluster:
        yield cluster
