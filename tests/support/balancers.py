"""Real nginx and HAProxy, with the files of `deploy` in which only places are replaced."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from router.orphans import death_signal
from tests.support.certificates import Authority, Pair
from tests.support.documents import ROOT
from tests.support.valkey import free_port
from tests.support.waiting import eventually

HOST: Final = "127.0.0.1"
NODES: Final = 4  # as many as the files have
_SMALL: Final = "events { worker_connections 2000; }"
_START_S: Final = 20.0
_STOP_S: Final = 20.0
_TRIES: Final = 3  # somebody may take the port before it does
# A place of some machine. What is left of a file without the places that are replaced has none.
_PLACE: Final = re.compile(r"/etc/|/var/|/run/|example\.com|\b\d+\.\d+\.\d+\.\d+|:\d+\b|listen \d")


def replaced(text: str, places: Mapping[str, str]) -> str:
    """Return a file with other places in it.

    Args:
        text: of the file, its comments included.
        places: what stands there -> what takes its place; each must stand there, and only once.
    """
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    rest = code
    for before, after in places.items():
        assert code.count(before) == 1, f"{before!r} stands there {code.count(before)} times"
        code = code.replace(before, after)
        rest = rest.replace(before, "")
    assert not _PLACE.findall(rest), _PLACE.findall(rest)
    return f"{code}\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of balancer.

    Args:
        name: of its program.
        write: puts its configuration into a folder.
        command: runs it there, as a child that stays one.
        check: looks at that configuration, and does nothing else.
        reload: the signal that has it read its configuration again.
    """

    name: str
    write: Callable[["Balancer"], None]
    command: tuple[str, ...]
    check: tuple[str, ...]
    reload: signal.Signals

    @property
    def program(self) -> str:
        """Return where it is."""
        found = shutil.which(self.name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        if found is None:
            pytest.skip(f"{self.name} is not installed; scripts/test installs it on Debian as root")
        return found


class Balancer:
    """A balancer in front of some nodes; an async context manager. It is up when the block begins.

    Args:
        kind: which.
        folder: for its files; of its own.
        nodes: `host:port` of each node; as many as the file has.
        beside: what stands beside the file of nginx.
    """

    def __init__(
        self, kind: Kind, folder: Path, nodes: Sequence[str], beside: str = _SMALL
    ) -> None:
        assert len(nodes) == NODES
        self.beside = beside
        self.kind = kind
        self.folder = folder
        self.nodes = nodes
        self.port = 0
        folder.mkdir()
        self.authority = Authority(folder)
        self.pair: Pair = self.authority.issue("balancer", HOST)
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        for _ in range(_TRIES):
            self.port = free_port()
            self.kind.write(self)
            self._launch()
            try:
                await eventually(self._answers_or_ended, _START_S, f"{self.kind.name} listens")
            except BaseException:
                await self.close()
                raise
            if not self._ended():
                return self
        raise AssertionError(f"{self.kind.name} does not start: {self.said}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
        if error is not None:
            print(f"---- {self.kind.name} ----\n{self.said}")

    async def close(self) -> None:
        """End it. Idempotent."""
        assert self._process is not None
        if not self._ended():
            self._process.terminate()
            with contextlib.suppress(AssertionError):
                await eventually(self._ended, _STOP_S)
        if not self._ended():
            self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        """Return where clients of users connect."""
        return f"wss://{HOST}:{self.port}/ws"

    @property
    def address(self) -> str:
        """Return `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def said(self) -> str:
        """Return all that it has written so far: its log, and what went to its standard streams."""
        return "".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))
        )

    @property
    def configuration(self) -> Path:
        """Return the file that was written for it."""
        return self.folder / "configuration"

    def check(self) -> str:
        """Let it look at its configuration; return what it says about it."""
        self.port = self.port or free_port()
        self.kind.write(self)
        done = subprocess.run(
            self._line(self.kind.check), capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def reload(self) -> None:
        """Have it read its configuration again."""
        assert self._process is not None
        self._process.send_signal(self.kind.reload)

    def _line(self, arguments: Sequence[str]) -> list[str]:
        named = (each.format(folder=self.folder, file=self.configuration) for each in arguments)
        return [self.kind.program, *named]

    def _launch(self) -> None:
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._line(self.kind.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LC_ALL": "C", "PATH": os.defpath},
                # A test run that is killed leaves nothing.
                preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509 - calls prctl and no more
            )

    def _ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    async def _answers_or_ended(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return self._ended()
        writer.close()
        return True


def _places(balancer: Balancer) -> dict[str, str]:
    return {f"10.0.0.1{number}:8001": node for number, node in enumerate(balancer.nodes, 1)}


# ---- nginx ----------------------------------------------------------------------------------

# Around the file, in the place of Debian's nginx.conf: nothing of what is tried stands here.
_AROUND = """\
pid {folder}/pid;
error_log {folder}/error.log warn;
worker_processes 2;
{beside}
http {{
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    include {folder}/switchboard.conf;
}}
"""


def _write_nginx(balancer: Balancer) -> None:
    folder = balancer.folder
    places = _places(balancer) | {
        "listen 443 ssl": f"listen {HOST}:{balancer.port} ssl",
        "chat.example.com": HOST,
        "/etc/ssl/switchboard/fullchain.pem": str(balancer.pair.certificate),
        "/etc/ssl/switchboard/privkey.pem": str(balancer.pair.key),
        "/var/log/nginx/switchboard.log": f"{folder}/access.log",
        "/var/log/nginx/switchboard-error.log": f"{folder}/error-ws.log",
    }
    shipped = (ROOT / "deploy" / "nginx" / "switchboard.conf").read_text()
    (folder / "switchboard.conf").write_text(replaced(shipped, places))
    balancer.configuration.write_text(_AROUND.format(folder=folder, beside=balancer.beside))


NGINX: Final = Kind(
    "nginx",
    _write_nginx,
    command=("-p", "{folder}", "-e", "{folder}/error.log", "-c", "{file}", "-g", "daemon off;"),
    check=("-p", "{folder}", "-e", "{folder}/error.log", "-c", "{file}", "-t"),
    reload=signal.SIGHUP,
)

# ---- HAProxy --------------------------------------------------------------------------------


def _write_haproxy(balancer: Balancer) -> None:
    folder, pair = balancer.folder, balancer.pair
    both = folder / "both.pem"
    both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    places = _places(balancer) | {
        "bind :443 ": f"bind {HOST}:{balancer.port} ",
        "/etc/haproxy/certs/switchboard.pem": str(both),
        "/run/haproxy/admin.sock": f"{folder}/admin.sock",
        "/var/lib/haproxy": str(folder),
    }
    if os.geteuid() != 0:  # only root can become somebody else
        places |= {"user haproxy": "", "group haproxy": "", f"chroot {folder}": ""}
    shipped = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    balancer.configuration.write_text(replaced(shipped, places))


HAPROXY: Final = Kind(
    "haproxy",
    _write_haproxy,
    command=("-W", "-f", "{file}"),
    check=("-c", "-f", "{file}"),
    reload=signal.SIGUSR2,
)
