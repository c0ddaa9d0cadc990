"""A registry full of users who have no sockets: the product's own code fills and keeps it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from router.codec import Lease
from router.keys import Keys
from router.model import EndpointId
from router.rescue import LOOKED_AT
from router.settings import RegistrySettings, Settings
from router.store.lease import Leases
from router.store.modes import make_connector, make_store
from router.store.registry import Registry
from router.store.resp import keyed
from scripts.benchmark.scale.options import Options
from scripts.benchmark.scale.people import People, user_of
from scripts.benchmark.scale.rows import Faulty
from scripts.measuring.children import Children
from scripts.measuring.meter import StoreMeter, cpu_ns
from scripts.measuring.ports import free_port_range
from scripts.measuring.store import Stores

_UNDER_WAY = 4  # slices, so that the store never waits for us
_START_S = 15.0
_STAY_S = 3_600.0
_READS = 5_000
_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Server:
    """A store that runs.

    Args:
        url: its address.
        pid: its process.
    """

    url: str
    pid: int


async def started(
    directory: Path, children: Children, stores: Stores, options: Options, name: str
) -> Server:
    """Start an empty store: the embedded one, or the program that the options name."""
    if not options.server:
        store = stores.start(name)
        return Server(store.url, store.pid)
    port = free_port_range(1)
    folder = directory / name
    folder.mkdir()
    place = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    as_ours = ("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction")
    child = await children.start(f"store {name}", [options.server, *place, *as_ours])
    server = Server(f"redis://127.0.0.1:{port}", child.pid)
    until = time.monotonic() + _START_S
    with plain_client(server.url) as client:
        while not _answers(client):
            if time.monotonic() > until or not child.running():
                raise child.failure("did not start")
            await asyncio.sleep(_STEP_S)
    return server


def plain_client(url: str) -> Redis:
    """Return a client that repeats nothing."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


class Crowd:
    """One registry, its endpoints, and what reads and writes it.

    Args:
        server: the store, empty.
        users: how many there will be.
        endpoints: over which they are spread evenly.
    """

    def __init__(self, server: Server, users: int, endpoints: int) -> None:
        self.server = server
        # On a slow machine nobody shall be gone before the bench is done; the cost is the same.
        self.settings = Settings(registry=RegistrySettings(user_ttl_s=_STAY_S))
        self.keys = Keys(self.settings.registry.prefix)
        self.connector = make_connector(server.url, self.settings.redis)
        self.store = make_store(self.connector, "bench")
        self.registry = Registry(self.store, self.keys, self.settings.registry)
        self.leases = Leases(self.store, self.keys, self.settings.lease)
        self.admin = plain_client(server.url)
        self.meter = StoreMeter(server.url)
        self.version = self.meter.version()
        self.people = People(users, ())
        self._count = endpoints
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.store.open()
        self.people.endpoints = [
            await self.leases.open(f"n{number + 1}", lease_of(number))
            for number in range(self._count)
        ]
        self._beating = asyncio.create_task(self._beat_forever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        await self.store.close()
        self.meter.close()
        self.admin.close()

    @property
    def users(self) -> int:
        """Return how many users there are, or will be."""
        return self.people.users

    @property
    def endpoints(self) -> Sequence[EndpointId]:
        """Return the endpoints, open."""
        return self.people.endpoints

    @property
    def pid(self) -> int:
        """Return the store's process."""
        return self.server.pid

    async def register(self, slices: Iterator[list[int]], told: Callable[[int], None]) -> None:
        """Register users, a few slices at a time; `told` hears how many of them each time."""
        await in_turn(self._register(numbers, told) for numbers in slices)

    async def _register(self, numbers: Sequence[int], told: Callable[[int], None]) -> None:
        if not await self.registry.register([self.people.session(number) for number in numbers]):
            raise Faulty("an endpoint of the bench was fenced")
        told(len(numbers))

    def used_bytes(self) -> int:
        """Return the store's memory as it accounts for it."""
        return int(self.admin.info("memory")["used_memory"])

    def rewriting(self) -> bool:
        """Say whether a child of the store rewrites its file just now."""
        told: Any = self.admin.info("persistence")
        return bool(told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])

    def growing(self) -> int:
        """Return how many tables are on their way to a larger one, and help them on; -1: unknown.

        Each read takes such a table one step further: else that is left to a timer.
        """
        reads = self.admin.pipeline(transaction=False)
        for number in range(min(self.users, _READS)):
            reads.pttl(self.keys.routes(user_of(number)))
        reads.execute()
        stats: Any = self.admin.memory_stats()
        return int(stats.get("db.dict.rehashing.count", -1))

    def cpu_ns(self) -> int:
        """Return the CPU time of the store's process so far."""
        return cpu_ns([self.pid])

    async def waiting(self) -> list[tuple[EndpointId, int, int]]:
        """Return how many envelopes wait for each endpoint, and the position of the first."""
        found = await self.store.answers(
            [
                asked
                for endpoint in self.endpoints
                for asked in (
                    keyed("LLEN", self.keys.inbox(endpoint)),
                    keyed("GET", self.keys.done(endpoint)),
                )
            ]
        )
        return [
            (endpoint, found[2 * at], int(found[2 * at + 1] or 0))
            for at, endpoint in enumerate(self.endpoints)
        ]

    async def look(self) -> None:
        """Look who has no lease, as each node does every three seconds."""
        some, _ = await self.leases.some(LOOKED_AT)
        if await self.leases.without_lease(some):
            raise Faulty("an endpoint of the bench has lost its lease")

    async def beat(self) -> None:
        """Renew the lease of every endpoint, as their nodes do."""
        for number, endpoint in enumerate(self.endpoints):
            await self.leases.heartbeat(endpoint, lease_of(number))

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self.settings.lease.heartbeat_s)
            await self.beat()


async def in_turn(work: Iterator[Awaitable[Any]]) -> None:
    """Await everything, `_UNDER_WAY` at a time, in order."""
    waiting: list[asyncio.Future[Any]] = []
    try:
        for each in work:
            waiting.append(asyncio.ensure_future(each))
            if len(waiting) >= _UNDER_WAY:
                await waiting.pop(0)
        while waiting:
            await waiting.pop(0)
    finally:
        for left in waiting:
            left.cancel()


def lease_of(number: int) -> Lease:
    """Return what an endpoint of the bench says of itself."""
    return Lease("node", number + 1, f"127.0.0.1:{8001 + number}", "live", 0, 0, 0, 0.0, 0.0)
