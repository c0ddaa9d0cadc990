"""The private stores of a run, one for each cluster: the product's own embedded server."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from router.store.embedded import EmbeddedServer
from scripts.measuring.redis_cluster import RedisCluster

_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Store:
    """A running server, with the settings `switchboard up` gives it (append-only file included).

    Args:
        server: the server itself.
    """

    server: EmbeddedServer

    @property
    def url(self) -> str:
        """Return its address over TCP, as between machines, with its password."""
        return self.server.address.tcp_url

    @property
    def pid(self) -> int:
        """Return its process id; another one after a restart."""
        return self.server.address.pid

    @property
    def pids(self) -> list[int]:
        """Return the process ids of its servers: here the one."""
        return [self.pid]

    def stop(self) -> None:
        """End it."""
        self.server.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        os.kill(self.pid, number)

    async def restart(self, away_s: float, *, gently: bool = False) -> None:
        """End it, and start it again at the same address after `away_s`; return when it serves.

        Args:
            away_s: seconds between its end and its new start.
            gently: SIGTERM, so that it saves and says goodbye; else SIGKILL.

        Raises:
            ServerFailed: it does not come back.
        """
        if gently:
            self.signal(signal.SIGTERM)
            while self.server.alive:
                await asyncio.sleep(_LOOK_SECONDS)
        else:
            self.server.kill()
        await asyncio.sleep(away_s)
        self.server.launch()
        while not self.server.ready():
            await asyncio.sleep(_LOOK_SECONDS)


class Stores:
    """All stores of a run; leaving the block stops them. To be used in the main thread.

    Args:
        directory: for their data.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[Store | RedisCluster] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for store in tuple(self._running):
            self.stop(store)

    def start(self, name: str, append_fsync: str = "everysec") -> Store:
        """Start an empty server and wait until it answers.

        Args:
            name: of its folder; unique.
            append_fsync: when its file is forced to disk; see `redis.append_fsync`.

        Raises:
            ServerFailed: it cannot be started.
        """
        return self.run(EmbeddedServer(self.folder(name), append_fsync))

    def folder(self, name: str) -> Path:
        """Return where the data of a server goes."""
        return self._directory / name

    def run(self, server: EmbeddedServer) -> Store:
        """Start a server and wait until it answers; raises as `start`."""
        server.start()
        store = Store(server)
        self._running.append(store)
        return store

    def start_cluster(self, name: str) -> RedisCluster:
        """Start a Redis Cluster of three masters without replicas; return when it serves.

        Args:
            name: of its folder; unique.

        Raises:
            ServersFailed: it does not come together.
        """
        cluster = RedisCluster(self._directory / name, replicas=0, appends=True)
        self._running.append(cluster)
        cluster.start()
        return cluster

    def stop(self, store: Store | RedisCluster) -> None:
        """Stop one."""
        self._running.remove(store)
        store.stop()
