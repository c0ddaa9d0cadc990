"""A real Redis Cluster on loopback: masters, replicas, slots that move, masters that die."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from redis.crc import key_slot

from router.store.binary import find_binary
from scripts.measuring.ports import free_port_range
from scripts.measuring.store_servers import (
    HOST,
    START_S,
    Secrets,
    Server,
    ServersFailed,
    Together,
    data_config,
    product_url,
    until,
)

_SLOTS: Final = 16_384
_KEYS_AT_ONCE: Final = 100
_MIGRATE_MS: Final = 5_000
_MEETINGS: Final = 4
_MEETING_S: Final = 8.0
_FAILOVER_S: Final = 6.0  # a replica tries for 5


class RedisCluster(Together):
    """Masters, each with the same number of replicas; use it as a context manager.

    Args:
        folder: for their files.
        masters: how many.
        replicas: of each master.
        node_timeout_ms: after which a master that does not answer is replaced.
        program: the server program; None for the one that the embedded store is.
        appends: whether they write all they hold to disk, as the embedded store does.
    """

    def __init__(
        self,
        folder: Path,
        masters: int = 3,
        replicas: int = 1,
        *,
        node_timeout_ms: int = 2_000,
        program: Path | None = None,
        appends: bool = False,
    ) -> None:
        self._appends = appends
        self.secrets = Secrets(secrets.token_hex(16), secrets.token_hex(16))
        self._masters = masters
        self._replicas = replicas
        found = program or find_binary()
        self.servers = [
            Server(found, folder / f"s{i}", self._config(node_timeout_ms), self.secrets.admin)
            for i in range(masters * (1 + replicas))
        ]

    def _config(self, node_timeout_ms: int) -> list[str]:
        return [
            *data_config(self.secrets, appends=self._appends),
            "cluster-enabled yes",
            "cluster-config-file nodes.conf",
            f"cluster-port {free_port_range(1)}",
            f"cluster-node-timeout {node_timeout_ms}",
            "cluster-replica-validity-factor 0",
            "cluster-allow-replica-migration no",
        ]

    @property
    def url(self) -> str:
        """Return the address that the product is given; with it goes `redis.mode = "cluster"`."""
        return product_url(self.secrets, self.servers[: self._masters])

    @property
    def admin_url(self) -> str:
        """Return the address of one server, for a user who may do everything."""
        return f"redis://:{self.secrets.admin}@{self.servers[0].address}"

    @property
    def pids(self) -> list[int]:
        """Return the process ids of all servers that run."""
        return [server.pid for server in self.servers if server.running]

    def start(self) -> None:
        """Start all servers and make them one Cluster; return when every slot is served.

        Raises:
            ServersFailed: they do not come together.
        """
        for server in self.servers:
            server.start()
        masters, replicas = self.servers[: self._masters], self.servers[self._masters :]
        share = -(-_SLOTS // self._masters)
        for number, master in enumerate(masters):
            first = number * share
            last = min(first + share, _SLOTS) - 1
            master.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            master.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        self._meet()
        for number, replica in enumerate(replicas):
            replica.ask("CLUSTER", "REPLICATE", self.id_of(masters[number % self._masters]))
        self.settle()

    def _meet(self) -> None:
        """Have all servers know each other; nobody repeats a handshake that is lost."""
        for tries_left in reversed(range(_MEETINGS)):
            for other in self.servers[1:]:
                bus = int(other.ask("CONFIG", "GET", "cluster-port")[b"cluster-port"])
                self.servers[0].ask("CLUSTER", "MEET", HOST, other.port, bus)
            with suppress(ServersFailed) if tries_left else nullcontext():
                until(self._all_meet, "all meet", _MEETING_S)
                return

    def _all_meet(self) -> bool:
        return all(len(_nodes(server)) == len(self.servers) for server in self.servers)

    def stop(self) -> None:
        """End all servers. Idempotent."""
        for server in self.servers:
            server.kill()

    def settle(self, within_s: float = START_S) -> None:
        """Wait until every server that runs sees the whole Cluster well, and alike."""
        running = [server for server in self.servers if server.running]
        until(lambda: all(_well(server) for server in running), "the Cluster is well", within_s)
        alike = "all see the same roles"
        until(lambda: len({_roles(server) for server in running}) == 1, alike, within_s)

    # ---- who is who ---------------------------------------------------------------------------

    def id_of(self, server: Server) -> str:
        """Return the name that a server has in the Cluster."""
        return str(server.ask("CLUSTER", "MYID").decode())

    def masters(self) -> list[Server]:
        """Return the servers that hold slots now, as the first that runs sees it."""
        seen = next(server for server in self.servers if server.running)
        ports = {entry[2][1] for entry in seen.ask("CLUSTER", "SLOTS")}
        return [server for server in self.servers if server.port in ports]

    def master_of(self, key: str) -> Server:
        """Return the server that holds a key now."""
        slot = int(key_slot(key.encode()))
        seen = next(server for server in self.servers if server.running)
        for first, last, master, *_ in seen.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == master[1])
        raise LookupError(f"no master holds slot {slot}")

    def replica_of(self, master: Server) -> Server:
        """Return a replica of a master."""
        ports = {int(entry[1]) for entry in master.ask("ROLE")[2]}
        return next(server for server in self.servers if server.port in ports)

    def serves(self, server: Server) -> bool:
        """Say whether a server has its slots, and the Cluster is whole, as it sees it itself."""
        told = server.ask("CLUSTER", "INFO").split()
        ports = {entry[2][1] for entry in server.ask("CLUSTER", "SLOTS")}
        return b"cluster_state:ok" in told and server.port in ports

    # ---- what happens to it -------------------------------------------------------------------

    def fail_over(self, master: Server) -> Server:
        """Let a replica take its master's place in order; return it when all know."""
        replica = self.replica_of(master)
        until(lambda: _takes_over(replica), "the replica is the master")
        self.settle()
        return replica

    @contextmanager
    def moving(self, key: str, to: Server) -> Iterator["Moving"]:
        """Begin to move the slot of a key to another master; the rest of it moves at the end."""
        move = Moving(self, int(key_slot(key.encode())), self.master_of(key), to)
        move.begin()
        yield move
        move.finish()

    def move(self, key: str, to: Server) -> None:
        """Move the slot of a key to another master."""
        with self.moving(key, to):
            pass


class Moving:
    """A slot on its way, step by step, as `redis-cli --cluster reshard` does it.

    Source: https://redis.io/docs/latest/commands/cluster-setslot/

    Args:
        cluster: whose.
        slot: its number.
        source, target: the masters.
    """

    def __init__(self, cluster: RedisCluster, slot: int, source: Server, target: Server) -> None:
        self._cluster = cluster
        self._slot = slot
        self._source = source
        self._target = target

    def begin(self) -> None:
        """Announce the move: keys that are not there any more are asked for at the target."""
        source, target = (self._cluster.id_of(s) for s in (self._source, self._target))
        self._target.ask("CLUSTER", "SETSLOT", self._slot, "IMPORTING", source)
        self._source.ask("CLUSTER", "SETSLOT", self._slot, "MIGRATING", target)

    def keys(self) -> list[str]:
        """Return keys of the slot that are still at the source."""
        found = self._source.ask("CLUSTER", "GETKEYSINSLOT", self._slot, _KEYS_AT_ONCE)
        return [key.decode() for key in found]

    def move(self, *keys: str) -> None:
        """Move some keys."""
        if keys:
            admin = self._cluster.secrets.admin
            target: tuple[str | int, ...] = (HOST, self._target.port, "", 0, _MIGRATE_MS)
            self._source.ask("MIGRATE", *target, "AUTH", admin, "KEYS", *keys)

    def finish(self) -> None:
        """Move the rest, and give the slot to the target."""
        while keys := self.keys():
            self.move(*keys)
        target = self._cluster.id_of(self._target)
        for server in (self._target, self._source, *self._cluster.masters()):
            if server.running:
                server.ask("CLUSTER", "SETSLOT", self._slot, "NODE", target)


def _takes_over(replica: Server) -> bool:
    """Order a failover; say whether it came to pass: a replica that gives up does so silently."""

    def done() -> bool:
        return bool(replica.ask("ROLE")[0] == b"master")

    if not done():
        replica.ask("CLUSTER", "FAILOVER")
        with suppress(ServersFailed):
            until(done, "it is over", _FAILOVER_S)
    return done()


def _nodes(server: Server) -> list[Any]:
    return [*server.ask("CLUSTER", "NODES").splitlines()]


def _roles(server: Server) -> frozenset[tuple[bytes, bool]]:
    """Return who a server takes for a master; it votes for no replica that it does not know."""
    return frozenset((line.split()[0], b"master" in line.split()[2]) for line in _nodes(server))


def _well(server: Server) -> bool:
    """Say whether all slots are served as a server sees it, and it is in step with its master."""
    told = server.ask("CLUSTER", "INFO").split()
    role = server.ask("ROLE")
    well = b"cluster_state:ok" in told and b"cluster_slots_ok:%d" % _SLOTS in told
    return well and (role[0] == b"master" or role[3] == b"connected")
