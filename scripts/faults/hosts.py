"""Hosts of a run: network namespaces, each with a link of its own to one switch.

They see each other and nothing else: neither this machine's loopback nor the world, and the world
does not see them. So their addresses cannot be in anybody's way.
"""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scripts.measuring.place import NAMESPACES, Place, tool

BRIDGE: Final = "bridge"
_PREFIX: Final = "switchboard"
_NETWORK: Final = "10.86.0"
_TUN: Final = Path("/dev/net/tun")
_SWITCH: Final = "switch"
_LIMIT_S: Final = 20.0


class NoHosts(Exception):
    """Hosts cannot be made here; the sentence says why."""


def missing() -> str:
    """Return what is missing for hosts on this machine; "" for nothing."""
    if sys.platform != "linux":
        return "hosts are network namespaces, which only Linux has"
    absent = [name for name in ("ip", "nft") if tool(name) is None]
    if absent:
        return f"hosts need {' and '.join(absent)} (Debian: apt install iproute2 nftables)"
    if os.geteuid() != 0:
        return "only root may make hosts"
    if not _TUN.exists():
        return f"hosts need {_TUN}"
    try:
        with Hosts(()):
            return ""
    except NoHosts as exc:
        return str(exc)


class Hosts:
    """Some hosts and the switch between them; after the block they are gone, whatever happened.

    What a run that was killed has left is removed by the next one.

    Args:
        names: of the hosts; short, as they become names of links.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._run = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"
        self.switch = Place(namespace=f"{self._run}-{_SWITCH}")
        self.places = {
            name: Place(f"{_NETWORK}.{number}", f"{self._run}-host-{name}")
            for number, name in enumerate(names, 1)
        }

    def __enter__(self) -> Self:
        try:
            _remove(_orphans())
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _make(self) -> None:
        inside = self.switch.namespace
        _ip("netns", "add", inside)
        _ip("-n", inside, "link", "add", "name", BRIDGE, "type", "bridge")
        _ip("-n", inside, "link", "set", "dev", BRIDGE, "up")
        for name, place in self.places.items():
            host = place.namespace
            _ip("netns", "add", host)
            link = ("link", "add", "name", name, "type", "veth", "peer", "name", "eth0")
            _ip("-n", inside, *link, "netns", host)
            _ip("-n", inside, "link", "set", "dev", name, "master", BRIDGE, "up")
            _ip("-n", host, "addr", "add", f"{place.host}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host, "link", "set", "dev", device, "up")

    def _remove(self) -> None:
        # With a namespace goes its end of each link, and with that the other end.
        _remove([self.switch.namespace, *(place.namespace for place in self.places.values())])


def _orphans() -> list[str]:
    """Return the namespaces of runs whose process is gone."""
    found = []
    for path in NAMESPACES.glob(f"{_PREFIX}-*-*-*"):
        pid = path.name.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            found.append(path.name)
    return found


def _remove(namespaces: Sequence[str]) -> None:
    for namespace in namespaces:
        if (NAMESPACES / namespace).exists():
            with contextlib.suppress(NoHosts):  # somebody was faster
                _ip("netns", "delete", namespace)


def _ip(*arguments: str) -> None:
    """Run `ip`.

    Raises:
        NoHosts: it refuses.
    """
    command = [tool("ip") or "ip", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if ended.returncode != 0:
        said = ended.stderr.strip()
        raise NoHosts(f"hosts cannot be made here: ip {' '.join(arguments)}: {said}")
