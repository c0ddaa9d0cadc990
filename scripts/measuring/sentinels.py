"""A real master with replicas, and the Sentinels that watch them, on loopback."""

import secrets
from pathlib import Path
from typing import Final

from router.store.binary import find_binary
from router.store.rights import USER
from scripts.measuring.store_servers import (
    HOST,
    START_S,
    Secrets,
    Server,
    ServersFailed,
    Together,
    data_config,
    until,
)

NAME: Final = "switchboard"


class Sentinels(Together):
    """One master, replicas, and Sentinels; use it as a context manager.

    Args:
        folder: for their files.
        replicas: how many.
        sentinels: how many; more than half of them must agree.
        down_after_ms: after which a master that does not answer is replaced.
        password: of the Sentinels; "" for none.
        program: the server program; None for the one that the embedded store is.
    """

    def __init__(
        self,
        folder: Path,
        replicas: int = 1,
        sentinels: int = 3,
        *,
        down_after_ms: int = 2_000,
        password: str = "",
        program: Path | None = None,
    ) -> None:
        self.secrets = Secrets(secrets.token_hex(16), secrets.token_hex(16))
        found = program or find_binary()
        admin = self.secrets.admin
        config = data_config(self.secrets)
        master = Server(found, folder / "master", config, admin)
        follows = [*config, f"replicaof {HOST} {master.port}"]
        others = [Server(found, folder / f"r{i}", follows, admin) for i in range(replicas)]
        self.servers = [master, *others]
        lines = [
            f"sentinel monitor {NAME} {HOST} {master.port} {sentinels // 2 + 1}",
            f"sentinel auth-pass {NAME} {admin}",
            f"sentinel down-after-milliseconds {NAME} {down_after_ms}",
            f"sentinel failover-timeout {NAME} {4 * down_after_ms}",
        ]
        if password:
            lines += [f'requirepass "{password}"', f'sentinel sentinel-pass "{password}"']
        self.sentinels = [
            Server(found, folder / f"w{i}", lines, password, arguments=("--sentinel",))
            for i in range(sentinels)
        ]

    @property
    def url(self) -> str:
        """Return the address that the product is given, with `redis.mode = "sentinel"`."""
        hosts = ",".join(server.address for server in self.sentinels)
        return f"redis://{USER}:{self.secrets.product}@{hosts}/0"

    @property
    def admin_url(self) -> str:
        """Return the address of the present master, for a user who may do everything."""
        return f"redis://:{self.secrets.admin}@{self.master().address}"

    def start(self) -> None:
        """Start everything; return when every Sentinel knows the replicas and the others.

        Raises:
            ServersFailed: they do not come together.
        """
        for server in (*self.servers, *self.sentinels):
            server.start()
        self.settle()

    def stop(self) -> None:
        """End everything. Idempotent."""
        for server in (*self.sentinels, *self.servers):
            server.kill()

    def settle(self, within_s: float = START_S) -> None:
        """Wait until all Sentinels agree, and every server that runs follows the one master."""
        count = len(self.sentinels) - 1
        running = [s for s in self.sentinels if s.running]
        known = "the Sentinels know each other"
        until(lambda: all(self._knows(s, count) for s in running), known, within_s)
        until(self._in_step, "the replicas are in step", within_s)

    def _knows(self, sentinel: Server, others: int) -> bool:
        told = sentinel.ask("SENTINEL", "MASTER", NAME)
        fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        number = {_text(name): _text(value) for name, value in fields.items()}
        known = int(number["num-other-sentinels"]), int(number["num-slaves"])
        return known == (others, len(self.servers) - 1) and number["flags"] == "master"

    def _in_step(self) -> bool:
        master = self.master()
        roles = [server.ask("ROLE") for server in self.servers if server.running]
        following = [r for r in roles if r[0] == b"slave" and r[2] == master.port]
        return len(following) == len(roles) - 1 and all(r[3] == b"connected" for r in following)

    def master(self) -> Server:
        """Return the master, as the Sentinels say."""
        for sentinel in self.sentinels:
            if sentinel.running:
                _, port = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
                return next(server for server in self.servers if server.port == int(port))
        raise ServersFailed("no Sentinel runs")

    def masters(self) -> list[Server]:
        """Return the one master, as the Sentinels say."""
        return [self.master()]

    def master_of(self, key: str) -> Server:
        """Return the server that holds a key now: the master."""
        return self.master()

    def replica_of(self, master: Server) -> Server:
        """Return a replica of the master."""
        ports = {int(entry[1]) for entry in master.ask("ROLE")[2]}
        return next(server for server in self.servers if server.port in ports)

    def serves(self, server: Server) -> bool:
        """Say whether every Sentinel takes a server for the master."""
        where = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return all(int(sentinel.ask(*where)[1]) == server.port for sentinel in self.sentinels)

    def fail_over(self) -> Server:
        """Let a replica take the master's place in order; return it."""
        before = self.master()
        # It is refused while another is under way, or the Sentinel has not heard of the replicas
        # for some seconds (NOGOODSLAVE).
        ordered = ("SENTINEL", "FAILOVER", NAME)
        until(lambda: bool(self.sentinels[0].ask(*ordered)), "a failover is ordered")
        until(lambda: self.master() is not before, "another is the master")
        return self.master()


def _text(value: bytes | str | int | bool) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
