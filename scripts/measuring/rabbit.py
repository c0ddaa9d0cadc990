"""A private RabbitMQ for a run: Debian's or Homebrew's program, on loopback ports of its own.

Under a node name of its own, with files in one folder: nothing is shared with a broker that this
machine may run.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from router.errors import ServerFailed
from router.orphans import death_signal
from scripts.measuring.ports import free_port_range

# Not the one on Debian's PATH: it would change to a user of its own, who may not read our folder.
PROGRAMS = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"),
    Path("/usr/local/opt/rabbitmq/sbin/rabbitmq-server"),
)
_HOST = "127.0.0.1"
_GREETING = b"AMQP\x00\x00\x09\x01"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_STOP_SECONDS = 10.0
_TAIL_CHARACTERS = 1500


def find_program() -> Path | None:
    """Return the broker's program; None where it is not installed."""
    return next((program for program in PROGRAMS if program.exists()), None)


def version() -> str:
    """Return what is installed, by the name of its folder; "none" without it."""
    program = find_program()
    return program.resolve().parents[1].name if program is not None else "none"


class Rabbit:
    """One broker, and the port mapper its program asks for. Start it from the main thread.

    Leaving the block ends both.

    Args:
        folder: for its files; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"sb{secrets.token_hex(4)}@localhost"
        self._mapper: subprocess.Popen[bytes] | None = None
        self._broker: subprocess.Popen[bytes] | None = None
        self._ports = (0, 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if self._mapper is not None:
            _end(self._mapper)
            self._mapper = None

    @property
    def url(self) -> str:
        """Return its address, with the name and password every new broker has."""
        return f"amqp://guest:guest@{_HOST}:{self._ports[0]}/"

    @property
    def pid(self) -> int:
        """Return the broker's process id; another one after a restart."""
        assert self._broker is not None
        return self._broker.pid

    async def start(self) -> None:
        """Start it and wait until it answers; a later start keeps the ports.

        Raises:
            ServerFailed: it does not start.
        """
        self.launch()
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not self.answers():
                    if self.ended():
                        raise ServerFailed(f"RabbitMQ ended at once: {self._said()}")
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError as exc:
            raise ServerFailed(f"RabbitMQ did not answer in time: {self._said()}") from exc

    def launch(self) -> None:
        """Start it and do not wait.

        Raises:
            ServerFailed: it is not installed.
        """
        program = find_program()
        if program is None:
            raise ServerFailed("RabbitMQ is missing (Debian: apt install rabbitmq-server)")
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._mapper is None:
            self._ports = _free_ports()
            mapper = str(self._ports[1])
            command = ["epmd", "-port", mapper, "-address", _HOST]
            self._mapper = self._spawn(command, program)
        (self._folder / "plugins").write_text("[].", encoding="utf-8")
        self._broker = self._spawn([str(program)], program)

    def ended(self) -> bool:
        """Say whether it has ended by itself, or was never launched."""
        return self._broker is None or self._broker.poll() is not None

    def answers(self) -> bool:
        """Say whether it speaks AMQP now."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((_HOST, self._ports[0]), _ANSWER_SECONDS) as probe,
        ):
            probe.sendall(_GREETING)
            return bool(probe.recv(1))
        return False

    async def restart(self, away_s: float) -> None:
        """Kill it, and start it again at the same address after `away_s`. Raises as `start`."""
        self.kill()
        await asyncio.sleep(away_s)
        await self.start()

    def kill(self) -> None:
        """End it as a crash would. Idempotent."""
        if self._broker is not None:
            _end(self._broker)
            self._broker = None

    def _spawn(self, command: list[str], program: Path) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment(program.parent),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group of its own: it has helpers that must end with it
                preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509 - runs before any thread
            )

    def _environment(self, programs: Path) -> dict[str, str]:
        folder = str(self._folder)
        port, mapper, peers = map(str, self._ports)
        return {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "HOME": folder,  # for the cookie
            "ERL_EPMD_PORT": mapper,
            "ERL_EPMD_ADDRESS": _HOST,
            "RUNNING_UNDER_SYSTEMD": "1",  # the shell becomes the broker: our child, with our pid
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": _HOST,
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": peers,
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{folder}/expanded",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/environment",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ("-kernel inet_dist_use_interface {127,0,0,1}"),
        }

    def _said(self) -> str:
        log = self._folder / "log"
        return log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the group that we made for this process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_STOP_SECONDS)


def _free_ports() -> tuple[int, int, int]:
    first = free_port_range(3)
    return first, first + 1, first + 2
