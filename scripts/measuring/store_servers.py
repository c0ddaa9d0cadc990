"""Bare store servers as processes: what Clusters and Sentinels of a run are made of."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from router.orphans import death_signal
from router.store.rights import USER, acl_line
from scripts.measuring.ports import free_port_range

HOST: Final = "127.0.0.1"
START_S: Final = 60.0
_STEP_S: Final = 0.02


class ServersFailed(Exception):
    """A server, or several together, did not do what they were started for."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of one set of servers.

    Args:
        admin: of the user who may do everything.
        product: of the user that the product connects as.
    """

    admin: str
    product: str


class Together(ABC):
    """Several servers that are one store; use it as a context manager."""

    @abstractmethod
    def start(self) -> None:
        """Start all; return when they have come together.

        Raises:
            ServersFailed: they do not.
        """

    @abstractmethod
    def stop(self) -> None:
        """End all. Idempotent."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def until(holds: Callable[[], bool], what: str, within_s: float = START_S) -> None:
    """Wait until something holds.

    Args:
        holds: asked again and again; a server that cannot be asked yet says no.
        what: for the error.
        within_s: how long.

    Raises:
        ServersFailed: it took too long.
    """
    give_up_at = time.monotonic() + within_s
    last = ""
    while time.monotonic() < give_up_at:
        try:
            if holds():
                return
            last = ""
        except (RedisError, OSError) as refused:
            last = f"; the last answer was: {refused}"
        time.sleep(_STEP_S)
    raise ServersFailed(f"not within {within_s:g} s: {what}{last}")


class Server:
    """One process of a store program, or of a Sentinel, on a port that it keeps.

    Args:
        program: what to run.
        folder: its own; made if it is not there.
        config: lines of its configuration file, beside port, folder and log.
        admin: password of the user `default`; "" for none.
        arguments: of the program, behind the name of the file.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        config: list[str],
        admin: str = "",
        arguments: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port_range(1)
        self.address = f"{HOST}:{self.port}"
        self._program = program
        self._folder = folder
        self._file = folder / "server.conf"
        self._admin = admin
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"bind {HOST}", f"port {self.port}", f"dir {folder}", "daemonize no", *config]
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._file.chmod(0o600)

    @property
    def pid(self) -> int:
        """Return the process id; the server must run."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, at the same port as before, with what it has saved."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), str(self._file), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=death_signal(signal.SIGKILL),  # noqa: PLW1509 - calls prctl, no more
                env={"LC_ALL": "C", "PATH": os.defpath},
            )
        until(lambda: bool(self.ask("PING")), f"{self._program.name} answers: {self.said()}")

    def kill(self) -> None:
        """End the process as a crash would. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    @contextmanager
    def client(self) -> Iterator["Redis"]:
        """Return a blocking client that may do everything and repeats nothing."""
        client = Redis(
            HOST,
            self.port,
            password=self._admin or None,
            socket_timeout=10,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        with client:
            yield client

    def ask(self, *command: str | int) -> Any:
        """Return what it answers to one command."""
        with self.client() as client:
            untyped: Any = client
            return untyped.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of what it says of itself."""
        with self.client() as client:
            found: dict[str, Any] = client.info(section)
            return found

    def said(self) -> str:
        """Return the end of its log."""
        log = self._folder / "log"
        return log.read_text(errors="replace")[-2_000:] if log.exists() else "nothing"


def data_config(secrets: Secrets, *, appends: bool = False) -> list[str]:
    """Return the configuration of a server that keeps data and knows our user.

    Args:
        secrets: the passwords.
        appends: whether it writes all of it to disk; else it is kept in memory only.
    """
    return [
        f"requirepass {secrets.admin}",
        f"masterauth {secrets.admin}",
        acl_line("*", secrets.product),
        'save ""',
        f"appendonly {'yes' if appends else 'no'}",
        "maxmemory-policy noeviction",
        "repl-diskless-sync-delay 0",
        "repl-ping-replica-period 1",
    ]


def product_url(secrets: Secrets, servers: list[Server], tail: str = "") -> str:
    """Return the address that the product is given: several servers, and its own user."""
    hosts = ",".join(server.address for server in servers)
    return f"redis://{USER}:{secrets.product}@{hosts}{tail}"
