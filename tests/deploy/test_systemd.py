"""deploy/systemd: valid for systemd, and what it starts does what it says.

`systemd-analyze` reads the units. A manager does not run here: the test takes its place, with the
command and the variables of the unit, and hears what a node tells a manager.
"""

import asyncio
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from router.settings import Settings
from router.store.embedded import EmbeddedServer
from scripts.measuring.ports import free_port_range
from tests.support.clients import Client
from tests.support.cluster import unique_prefix
from tests.support.documents import ROOT
from tests.support.environments import settings_of
from tests.support.processes import wait_until
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually

FOLDER: Final = ROOT / "deploy/systemd"
UNIT: Final = FOLDER / "switchboard@.service"
TARGET: Final = FOLDER / "switchboard.target"
PROGRAM: Final = "/opt/switchboard/bin/switchboard"
HERE: Final = Path(sysconfig.get_path("scripts")) / "switchboard"
PAIRS: Final = [
    line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w*=", line)
]


def of_unit(key: str) -> list[str]:
    """Return the values that the unit has for a key."""
    return [value for name, value in PAIRS if name == key]


def variables(instance: str) -> dict[str, str]:
    """Return the environment that systemd makes for an instance, of the unit and its file."""
    lines = [
        value.replace("%l", "host7").replace("%i", instance) for value in of_unit("Environment")
    ]
    lines += [
        line
        for line in (FOLDER / "secrets.env").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    return dict(line.split("=", 1) for line in lines)


def analyze(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Ask systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed; scripts/test installs it on Debian as root")
    command = [program, *(str(each) for each in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units, whose program is one that is here."""
    for file in (UNIT, TARGET):
        text = file.read_text().replace(PROGRAM, str(HERE))
        (tmp_path / file.name).write_text(text)
    return tmp_path


class TestUnits:
    def test_systemd_finds_nothing_wrong_with_them(self, units: Path) -> None:
        found = analyze(
            *("verify", "--man=no", "--recursive-errors=yes"),
            *(units / UNIT.name, units / TARGET.name),
        )
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")

    def test_a_wrong_one_would_be_noticed(self, units: Path) -> None:
        wrong = units / UNIT.name
        wrong.write_text(wrong.read_text().replace("LimitNOFILE=", "LimitFiles="))
        found = analyze("verify", "--man=no", "--recursive-errors=yes", wrong)
        assert found.returncode != 0
        assert "LimitFiles" in found.stderr

    def test_a_node_is_as_little_exposed_as_systemd_can_ask_for(self, units: Path) -> None:
        found = analyze("security", "--offline=yes", "--threshold=20", units / UNIT.name)
        assert found.returncode == 0, found.stdout

    def test_there_is_time_for_the_start_and_for_the_whole_drain(self) -> None:
        settings = as_written("01")
        words = shlex.split(of_unit("ExecStart")[0])
        assert float(of_unit("TimeoutStopSec")[0]) > settings.node.drain_s + 3
        assert float(of_unit("TimeoutStartSec")[0]) > float(words[words.index("--wait") + 1])

    def test_it_is_stopped_in_order_and_always_started_again(self) -> None:
        assert of_unit("KillSignal") == ["SIGTERM"]
        assert of_unit("Restart") == ["always"]

    def test_there_may_be_as_many_files_as_sessions_and_connections(self) -> None:
        limits = as_written("01").limits
        assert int(of_unit("LimitNOFILE")[0]) > limits.sessions + limits.http_connections


def as_written(instance: str) -> Settings:
    """Return what an instance runs with, the secrets replaced."""
    secrets = {"SWITCHBOARD_AUTH__SECRET": "x" * 44}
    return settings_of(variables(instance) | secrets, FOLDER / "config.toml")


class TestInstances:
    def test_they_share_a_port_and_have_one_each(self) -> None:
        one, two = as_written("01"), as_written("02")
        assert one.node.reuse_port
        assert one.node.port == two.node.port
        assert (one.api.port, two.api.port) == (9101, 9102)
        assert (one.node.name, two.node.name) == ("host7-01", "host7-02")

    def test_they_are_one_user_or_the_kernel_would_not_let_them_share(self) -> None:
        assert of_unit("DynamicUser") == ["yes"]
        assert of_unit("User") == ["switchboard"]


class Manager:
    """Starts instances of the unit as systemd does, and hears what they tell it.

    Args:
        folder: for the socket, and for /etc/switchboard.
        changed: variables that this machine needs otherwise.
    """

    def __init__(self, folder: Path, changed: dict[str, str]) -> None:
        self._folder = folder
        self._changed = changed
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("config.toml", "secrets.env"):
            shutil.copy(FOLDER / name, folder)
        (folder / "keys.toml").touch()

    def start(
        self, instance: str, own_port: int
    ) -> "tuple[subprocess.Popen[bytes], socket.socket]":
        """Start an instance; return it, and where it tells how it is."""
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(self._folder / f"notify-{len(self._processes)}")
        told.bind(address)
        told.setblocking(False)
        command = of_unit("ExecStart")[0].replace(PROGRAM, str(HERE))
        process = subprocess.Popen(
            shlex.split(command.replace("/etc/switchboard", str(self._folder))),
            cwd=self._folder,
            env={
                **variables(instance),
                **self._changed,
                "SWITCHBOARD_API__PORT": str(own_port),
                "NOTIFY_SOCKET": address,
            },
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process, told

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def heard(told: socket.socket, state: bytes) -> Callable[[], bool]:
    """Return what says whether the next thing that was told is this."""

    def so() -> bool:
        try:
            return told.recv(1_024) == state
        except BlockingIOError:
            return False

    return so


async def test_one_instance_is_restarted_while_another_takes_its_users(
    store: EmbeddedServer, tmp_path: Path
) -> None:
    ports = free_port_range(4)
    host = "127.0.0.1"
    manager = Manager(
        tmp_path,
        {
            "SWITCHBOARD_REDIS__URL": store.address.url,
            "SWITCHBOARD_REGISTRY__PREFIX": unique_prefix(),
            "SWITCHBOARD_AUTH__SECRET": SECRET,
            "SWITCHBOARD_NODE__HOST": host,
            "SWITCHBOARD_NODE__PORT": str(ports),
            "SWITCHBOARD_API__HOST": host,
            "SWITCHBOARD_LIMITS__ADDRESS_HANDSHAKES_BURST": "1000",
        },
    )
    try:
        first, of_first = manager.start("01", ports + 1)
        second, of_second = manager.start("02", ports + 2)
        for told in (of_first, of_second):
            await eventually(heard(told, b"READY=1"), 60.0)
        first.send_signal(signal.SIGTERM)  # systemctl restart switchboard@01
        await eventually(heard(of_first, b"STOPPING=1"), 60.0)
        seen = set()
        while first.poll() is None:
            seen.add(await node_of(f"{host}:{ports}"))
        assert seen <= {"host7-01", "host7-02"}
        assert first.returncode == 0
        assert await node_of(f"{host}:{ports}") == "host7-02"
        again, of_again = manager.start("01", ports + 1)
        await eventually(heard(of_again, b"READY=1"), 60.0)

        async def both() -> bool:
            seen.add(await node_of(f"{host}:{ports}"))
            return {"host7-01", "host7-02"} <= seen

        seen.clear()
        await eventually(both, 60.0)
        for process in (second, again):
            process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: second.poll() == again.poll() == 0, "both end")
        for told in (of_first, of_second, of_again):
            told.close()
    finally:
        manager.close()


async def node_of(address: str) -> str:
    """Connect as a user; return the name of the node that lets us in, or fail.

    A node that leaves in this very moment may let in and say goodbye in one: then we come again.
    """
    while True:
        client = await Client.open(address, "", token=token("alice"), welcomed=False)
        frame = await client.read()
        await client.close()
        if frame["type"] == "welcome":
            return str(frame["node"])
        assert (frame["type"], frame["reason"]) == ("goodbye", "drain")
