"""The folder of our private store server: its locks, state, log, socket and configuration text."""

import contextlib
import fcntl
import os
import random
import re
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import IO, Final

from router.errors import ServerFailed

STATE: Final = "store.json"
OWNER_LOCK: Final = "owner.lock"
SERVER_LOCK: Final = "server.lock"
LOG: Final = "store.log"
HOST: Final = "127.0.0.1"
_SOCKET: Final = "store.sock"
_TEMP_PREFIX: Final = "switchboard-"
_MAX_SOCKET_BYTES: Final = 100  # sockaddr_un: 108 on Linux, 104 on macOS, the closing zero included
# No value is larger than an envelope, and half of this is the most that one may have: what somebody
# else puts there must not fill our memory when it is read.
_MAX_VALUE_BYTES: Final = 32 * 1024 * 1024
_MAX_LOG_BYTES: Final = 1024 * 1024
PORTS: Final = range(20_000, 32_768)  # above, Linux gives them to clients; macOS begins higher
_PORT_LOOKS: Final = 16
# "81:M 26 Jul 2025 12:13:14.123 # Bad file format": Redis marks what went wrong with a hash sign.
_LOG_LINE: Final = re.compile(r"^\d+:[A-Z] .*?\d\.\d{3} ([.\-*#]) (.*)$")


class Lock:
    """A lock file: held until released or until every process that has it open has ended."""

    def __init__(self, path: Path) -> None:
        """Args: path: the file, in a folder that exists by the time of `take`."""
        self._path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Take the lock without waiting; say whether it is ours now.

        Raises:
            ServerFailed: the folder does not let us.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise ServerFailed(f"{self._path}: {exc.strerror}") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as exc:
            os.close(descriptor)
            raise ServerFailed(f"{self._path} cannot be locked: {exc.strerror}") from exc
        self._descriptor = descriptor
        return True

    def note(self, text: str) -> None:
        """Write into the held lock who holds it, for those it turns away."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def read_note(self) -> str:
        """Return what the holder wrote; "" if nothing yet."""
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def fileno(self) -> int:
        """Return the descriptor, for a child that shall hold the lock too."""
        return self._descriptor

    def release(self) -> None:
        """Let go of it; children that inherited it still hold it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def make_folder(folder: Path) -> None:
    """Make the data folder, private, if it is not there.

    Raises:
        ServerFailed: it cannot be made, or is no folder we may write to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ServerFailed(
            f"the data folder {folder} cannot be made: {exc.strerror}; set redis.data_dir"
        ) from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ServerFailed(f"the data folder {folder} is not writable; set redis.data_dir")


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by its owner only.

    Raises:
        ServerFailed: the folder does not let us.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        fresh.replace(path)
    except OSError as exc:
        raise ServerFailed(f"{path} cannot be written: {exc.strerror}") from exc


def socket_path(folder: Path, before: str) -> str:
    """Return where the unix socket goes: in `folder`, or in a private one if its path is too long.

    Args:
        folder: the data folder.
        before: where it was the last time, "" if unknown; kept if it still can be, so that clients
            find the server again.
    """
    here = folder / _SOCKET
    if len(os.fsencode(here)) <= _MAX_SOCKET_BYTES:
        return str(here)
    if before and Path(before).parent.name.startswith(_TEMP_PREFIX):
        parent = Path(before).parent
        with contextlib.suppress(OSError):
            parent.mkdir(mode=0o700, exist_ok=True)
            found = parent.lstat()
            # Whoever else made a folder of that name in a shared place could listen in our stead.
            private = stat.S_IMODE(found.st_mode) & 0o077 == 0
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and private:
                return before
    base = tempfile.gettempdir()
    room = _MAX_SOCKET_BYTES - len(_SOCKET) - len(_TEMP_PREFIX) - 10
    return str(
        Path(tempfile.mkdtemp(prefix=_TEMP_PREFIX, dir=base if len(base) < room else "/tmp"))  # noqa: S108 - mkdtemp makes it private # nosec B108
        / _SOCKET
    )


def remove_socket(path: str) -> None:
    """Remove the socket and the private folder made for it, if any."""
    Path(path).unlink(missing_ok=True)
    if Path(path).parent.name.startswith(_TEMP_PREFIX):
        shutil.rmtree(Path(path).parent, ignore_errors=True)


def free_port(wanted: int) -> int:
    """Return `wanted` if nobody listens there, else a port that is free now; 0 wants any.

    It lies below the ports that the system gives to clients, as long as there is one: while the
    server is down for a moment, any connection of this machine could be given such a one.
    """
    first = [wanted] if wanted else []
    for port in (*first, *random.sample(PORTS, _PORT_LOOKS), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerFailed(f"no TCP port is free on {HOST}")


def server_config(
    folder: Path, socket_file: str, port: int, password: str, user: str, fsync: str
) -> bytes:
    """Return the server's configuration, to be fed to its standard input.

    Never in its arguments, which everybody on the machine can read.

    Args:
        folder: of its data.
        socket_file: path of its unix socket.
        port: on `HOST`.
        password: of the user `default`.
        user: an ACL line that makes one more.
        fsync: `appendfsync`.
    """
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f"unixsocket {_quoted(socket_file)}",
        "unixsocketperm 700",
        f"requirepass {password}",
        user,
        "protected-mode yes",
        "daemonize no",
        'logfile ""',  # standard output, which we have put into the log file
        f"dir {_quoted(str(folder))}",
        "appendonly yes",
        f"appendfsync {fsync}",
        'save ""',
        f"proto-max-bulk-len {_MAX_VALUE_BYTES}",
        "maxmemory-policy noeviction",  # an evicted inbox would be a lost message
    ]
    return os.fsencode("\n".join(lines) + "\n")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def open_log(folder: Path) -> tuple[int, IO[bytes]]:
    """Open the server's log at its end; one that has grown large is put aside first.

    Returns:
        Where the part to come begins, in bytes, and the open file.
    """
    path = folder / LOG
    try:
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_name(f"{LOG}.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as exc:
        raise ServerFailed(f"{path} cannot be written: {exc.strerror}") from exc
    file = os.fdopen(descriptor, "ab", buffering=0)
    return os.fstat(descriptor).st_size, file


def log_since(folder: Path, start: int) -> str:
    """Return what the log says from byte `start` on."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(start)
            return file.read(_MAX_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def last_words(log: str) -> str:
    """Return the end of a log as one line: its last warnings, else its last lines."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    matches = [_LOG_LINE.match(line) for line in lines]
    warnings = [match[2] for match in matches if match is not None and match[1] == "#"]
    plain = [
        line if match is None else match[2] for line, match in zip(lines, matches, strict=True)
    ]
    return " / ".join((warnings or plain)[-3:]) or "it said nothing"
