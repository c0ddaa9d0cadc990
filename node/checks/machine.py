"""Limits of this machine, and what runs on it."""

import errno
import importlib.metadata
import re
import resource
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from node import descriptors
from node.checks.finding import Finding, fail, ok, warn
from router.settings import LimitSettings

_FEW_PORTS: Final = 10_000
_SHORT_QUEUE: Final = 1_024
_PROC: Final = Path("/proc/sys/net")


def open_files(limits: LimitSettings, hard: int) -> Iterator[Finding]:
    """Compare how many files may be open with how many connections there may be.

    Args:
        limits: of connections.
        hard: the limit of this process that nobody but root can raise; -1 for none. A node raises
            the other one by itself.
    """
    wanted = descriptors.wanted(limits)
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        told = "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,} at most"
        yield ok("open files", told)
    else:
        fit = descriptors.sessions_that_fit(hard, limits)
        told = f"{hard:,} at most: of {limits.sessions:,} sessions (limits.sessions) {fit:,} fit"
        mend = f"ulimit -Hn {wanted} (as root), or LimitNOFILE={wanted} in the service's unit"
        yield warn("open files", told, f"{mend}, or limits.sessions = {fit}")


def backlog(somaxconn: int | None) -> Iterator[Finding]:
    """Look at how many connections may wait to be taken."""
    if somaxconn is None:
        return
    if somaxconn < _SHORT_QUEUE:
        mend = "sysctl -w net.core.somaxconn=4096"
        yield warn("connections that wait", f"at most {somaxconn}: a crowd is refused", mend)
    else:
        yield ok("connections that wait", f"at most {somaxconn:,}")


def ports(span: tuple[int, int] | None, port: int) -> Iterator[Finding]:
    """Look at the ports that connections from here are given.

    Args:
        span: first and last of them; None for unknown.
        port: `node.port`.
    """
    if span is None:
        return
    first, last = span
    if first <= port <= last:
        mend = f"choose a node.port below {first}"
        says = f"{port} is one that connections from here are given ({first} to {last})"
        yield warn("node.port", says, mend)
    if last - first < _FEW_PORTS:
        mend = 'sysctl -w net.ipv4.ip_local_port_range="32768 60999"'
        yield warn("ports of connections", f"only {last - first + 1:,} of them", mend)
    else:
        yield ok("ports of connections", f"{last - first + 1:,} of them")


def free(host: str, port: int, taken_by: str) -> Iterator[Finding]:
    """See whether a node could listen.

    Args:
        host, port: where.
        taken_by: the node of this cluster that listens there already; "" for none.
    """
    check = "node.port"
    if port == 0:
        yield ok(check, "any free one")
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE and taken_by:
            yield ok(check, f"{host}:{port} is node {taken_by}")
        else:
            mend = "choose another node.port, or end what listens there"
            yield fail(check, f"cannot listen on {host}:{port}: {exc.strerror}", mend)
    else:
        yield ok(check, f"{host}:{port} is free")


def python(version: tuple[int, ...]) -> Iterator[Finding]:
    """Look at the version of Python."""
    told = ".".join(str(part) for part in version)
    if version[:2] < (3, 11):
        yield fail("python", f"it is {told}", "3.11 is the oldest that will do")
    else:
        yield ok("python", told)


def libraries(requirements: Sequence[str]) -> Iterator[Finding]:
    """Compare the libraries that are installed with those that were tested.

    Args:
        requirements: of this package, as `tornado<7,>=6.6`.
    """
    wrong = 0
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[\[<>=!;, ]", requirement, maxsplit=1)[0]
        low, high = re.search(r">=([0-9.]+)", requirement), re.search(r"<([0-9.]+)", requirement)
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong += 1
            yield fail("libraries", f"{name} is not installed", f"pip install '{requirement}'")
            continue
        below = low is not None and _parts(version) < _parts(low[1])
        above = high is not None and _parts(version) >= _parts(high[1])
        if below or above:
            wrong += 1
            says = f"{name} is {version}, which was not tested"
            yield warn("libraries", says, f"pip install '{requirement}'")
    if not wrong:
        yield ok("libraries", "every one is of a version that was tested")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _number(path: Path) -> list[int] | None:
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):  # not Linux
        return None


def everything(host: str, port: int, limits: LimitSettings, taken_by: str) -> Iterator[Finding]:
    """Look at all of it; see `open_files` and `free` for the arguments."""
    yield from python(tuple(sys.version_info[:3]))
    yield from libraries(importlib.metadata.requires("switchboard") or [])
    yield from open_files(limits, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    queue = _number(_PROC / "core/somaxconn")
    yield from backlog(queue[0] if queue else None)
    span = _number(_PROC / "ipv4/ip_local_port_range")
    yield from ports((span[0], span[1]) if span else None, port)
    yield from free(host, port, taken_by)
