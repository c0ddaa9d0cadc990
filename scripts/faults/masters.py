"""Breaks stores of several servers: masters are killed, stopped and replaced, slots are moved."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from router.keys import Keys
from router.model import EndpointId, UserId, endpoint_name
from scripts.faults.ledger import now
from scripts.faults.looking import Looking
from scripts.faults.steps import BEHIND, Step
from scripts.measuring.redis_cluster import RedisCluster
from scripts.measuring.sentinels import Sentinels
from scripts.measuring.store_servers import Server, until

Servers = RedisCluster | Sentinels
_REPLACED_S: Final = 30.0
_IN_STEP_S: Final = 60.0  # Sentinels make an old master a replica only after some ten seconds
# So long a replica misses what its master writes before that is killed: longer than a look-up waits
# for replicas, so that some hear that it has too few, and too short for others to miss the replica.
_BEHIND_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class Harm:
    """What was done, for the ledger.

    Args:
        detail: for people.
        served, nodes, unsafe: see `entries.Hurt`.
    """

    detail: str
    served: int = 0
    nodes: tuple[str, ...] = ()
    unsafe: bool = False


class Masters:
    """Performs the steps that need several servers, and mends what they broke.

    Args:
        servers: of the store.
        looking: reads the store.
        keys: names of its keys.
        users: whose slots may be moved.
    """

    def __init__(
        self, servers: Servers, looking: Looking, keys: Keys, users: Sequence[UserId]
    ) -> None:
        self._servers = servers
        self._looking = looking
        self._keys = keys
        self._users = users
        self.kinds: dict[str, Callable[[Step], Awaitable[Harm]]] = {
            "master-kill": self._kill,
            "master-hang": self._hang,
            "failover": self._fail_over,
            "slot-move": self._move_slots,
        }

    async def _kill(self, step: Step) -> Harm:
        """Kill a master; start it again when its replica has its place, as a replica of that."""
        master, replica, nodes = await self._hit(step)
        if step.how == BEHIND:
            await self._fall_behind(master, replica)
        master.kill()
        if step.how == BEHIND:
            replica.signal(signal.SIGCONT)
        served = await self._replaced(replica)
        await asyncio.sleep(step.lasts_s)
        await asyncio.to_thread(master.start)
        await self._settled()
        return Harm(f"{master.address}, away for {step.lasts_s:g} s more", served, nodes, True)

    async def _fall_behind(self, master: Server, replica: Server) -> None:
        """Let a replica miss what is written from now on: what it was sent before, it still has."""
        replica.signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(master.ask, "CLIENT", "KILL", "TYPE", "replica")
            await asyncio.sleep(_BEHIND_S)
        except BaseException:
            replica.signal(signal.SIGCONT)
            raise

    async def _hang(self, step: Step) -> Harm:
        """Stop a master for less than it takes to replace it, or until it has been replaced."""
        master, replica, nodes = await self._hit(step)
        master.signal(signal.SIGSTOP)
        long = step.how == "long"
        try:
            await asyncio.sleep(step.lasts_s)
            served = await self._replaced(replica) if long else 0
        finally:
            master.signal(signal.SIGCONT)
        served = served or now()
        await self._settled()
        return Harm(f"{master.address}, for {step.lasts_s:g} s", served, nodes, long)

    async def _fail_over(self, step: Step) -> Harm:
        """Let a replica take its master's place in order."""
        master, _, nodes = await self._hit(step)
        servers = self._servers
        if isinstance(servers, RedisCluster):
            await asyncio.to_thread(servers.fail_over, master)
        else:
            await asyncio.to_thread(servers.fail_over)
        served = now()
        await self._settled()
        # Sentinels promote the replica while the old master still takes what it will lose.
        return Harm(master.address, served, nodes, isinstance(servers, Sentinels))

    async def _move_slots(self, step: Step) -> Harm:
        """Move the slots of some users, and of the inbox of a node, to other masters."""
        servers = self._servers
        assert isinstance(servers, RedisCluster)
        rng = Random(f"slots {step.at_s} {step.how}")
        users = rng.sample(self._users, min(int(step.amount), len(self._users)))
        inboxes = [self._keys.inbox(e) for e in await self._looking.listed() if _is(e, step.how)]
        for key in (*map(self._keys.routes, users), *inboxes):
            await asyncio.to_thread(_move, servers, key, rng)
        return Harm(f"slots of {len(users)} users and of {len(inboxes)} inboxes of {step.how}")

    # ---- waiting ------------------------------------------------------------------------------

    async def _hit(self, step: Step) -> tuple[Server, Server, tuple[str, ...]]:
        """Return the master that a step hits, its replica, and whose leases it keeps."""
        listed = await self._looking.listed()
        return await asyncio.to_thread(self._choose, int(step.amount), listed)

    def _choose(
        self, which: int, listed: Iterable[EndpointId]
    ) -> tuple[Server, Server, tuple[str, ...]]:
        masters = sorted(self._servers.masters(), key=lambda server: server.port)
        master = masters[which % len(masters)]
        kept = {
            endpoint_name(endpoint)
            for endpoint in listed
            if self._servers.master_of(self._keys.lease(endpoint)) is master
        }
        return master, self._servers.replica_of(master), tuple(sorted(kept))

    async def _replaced(self, replica: Server) -> int:
        """Wait until a replica is a master, and all who must know it do; return when it was."""
        await asyncio.to_thread(
            until, lambda: replica.ask("ROLE")[0] == b"master", "it is replaced", _REPLACED_S
        )
        known = partial(self._servers.serves, replica)
        await asyncio.to_thread(until, known, "its replica has its place", _REPLACED_S)
        return now()

    async def _settled(self) -> None:
        await asyncio.to_thread(self._servers.settle, _IN_STEP_S)


def _is(endpoint: EndpointId, node: str) -> bool:
    return endpoint_name(endpoint) == node


def _move(servers: RedisCluster, key: str, rng: Random) -> None:
    """Move the slot of a key to another master; return when that master's replica has it all.

    An operator who loses the new master sooner loses the keys: Redis copies them to it alone.
    """
    source = servers.master_of(key)
    others = [master for master in servers.masters() if master is not source]
    target = rng.choice(sorted(others, key=lambda server: server.port))
    servers.move(key, target)
    with target.client() as client:
        client.ping()
        client.wait(1, 1_000)
