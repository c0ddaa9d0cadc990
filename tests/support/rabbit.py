"""A real RabbitMQ for tests: Debian's program, under a node name, on ports and in a folder of its
own. Nothing of it is shared with a broker that this machine may run.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

# Not the one on Debian's PATH: it would change to a user of its own, who may not read our folder.
_PROGRAMS: Final = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"),
    Path("/usr/local/opt/rabbitmq/sbin/rabbitmq-server"),
)
_GREETING: Final = b"AMQP\x00\x00\x09\x01"
_START_S: Final = 60.0
_STEP_S: Final = 0.02
_PORT_TRIES: Final = 3


class RabbitServer:
    """One broker and the port mapper its program asks for, both on loopback only.

    Args:
        folder: for its files; emptied by nobody but the caller.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"sb{secrets.token_hex(4)}@localhost"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self._mapper_port = 0
        self._peer_port = 0

    @property
    def url(self) -> str:
        """Return its address, with the name and the password it has from the start."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """Return the process id of the broker."""
        return self._processes[-1].pid

    def start(self) -> None:
        """Start it and wait until it answers; a later start keeps the port."""
        for _ in range(_PORT_TRIES):
            if not self.port:
                self.port, self._mapper_port, self._peer_port = _free_ports(3)
            self._launch()
            if self._wait():
                return
            self.stop()
            self.port = 0
        raise AssertionError(f"RabbitMQ does not start: {self._said()}")

    def stop(self) -> None:
        """End it as a crash would. Idempotent."""
        while self._processes:
            process = self._processes.pop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group is the one we made for it
            process.wait()

    def _launch(self) -> None:
        program = find_program()
        mapper = ["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"]
        (self._folder / "plugins").write_text("[].")
        with (self._folder / "log").open("ab") as log:
            for arguments in (mapper, [str(program)]):
                self._processes.append(
                    subprocess.Popen(
                        arguments,
                        cwd=self._folder,
                        env=self._environment(program.parent),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def _environment(self, programs: Path) -> dict[str, str]:
        folder = str(self._folder)
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "HOME": folder,  # for the cookie
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "1",  # the shell becomes the broker: our child, with our pid
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._peer_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{folder}/expanded",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/environment",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
        }

    def _wait(self) -> bool:
        """Say whether it answers, as soon as it does; False when it ended or took too long."""
        give_up_at = time.monotonic() + _START_S
        while self._processes[-1].poll() is None and time.monotonic() < give_up_at:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as probe,
            ):
                probe.sendall(_GREETING)
                if probe.recv(1):
                    return True
            time.sleep(_STEP_S)
        return False

    def _said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2_000:]


def find_program() -> Path:
    """Return the broker's program."""
    for program in _PROGRAMS:
        if program.exists():
            return program
    raise AssertionError("RabbitMQ is missing (Debian: sudo apt install rabbitmq-server)")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def running_rabbit() -> Iterator[RabbitServer]:
    """Run a broker for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="sb-rabbit-") as folder:
        server = RabbitServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitServer]:
    """A running broker for all tests of a run; each takes an exchange of its own."""
    with running_rabbit() as server:
        yield server
