"""Our private store server: start it, find it, stop it.

One folder belongs to one `EmbeddedServer` at a time. Two locks in it say so, and the kernel drops
them however their holder ends, so nothing stale is ever believed:

- `owner.lock` is held by the process that runs the server (`switchboard up`);
- `server.lock` is inherited by the server itself: two servers never write the same files, not even
  when the owner was killed and its server still is on its way out.

`store.json` (readable by its owner only) tells other commands where the server is. It is a hint:
who reads it connects with the password and checks the process id before it believes it. Password
and port are kept for the next start, so that clients find the server again after a restart.
"""

import os
import secrets
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from router.errors import ServerFailed
from router.store import server_files as files
from router.store.binary import find_binary, spawn
from router.store.rights import acl_line
from router.store.server_address import StoreAddress, remembered
from router.store.server_probe import look, shut_down

START_S: Final = 15.0  # until it answers at all
LOAD_S: Final = 300.0  # until it has read back a large append-only file
STOP_S: Final = 10.0
ORPHAN_S: Final = 5.0
_OWNER_S: Final = 0.5  # an owner just killed may still be on its way out
_PORT_TRIES: Final = 5
_STEP_S: Final = 0.005


def find(data_dir: Path) -> StoreAddress | None:
    """Return where the server of this folder is, or None if none runs.

    Args:
        data_dir: the folder that `switchboard up` was given.
    """
    address = remembered(data_dir)
    if address is None:
        return None
    probe = look(address.socket, address.password)
    return address if probe is not None and probe.pid == address.pid else None


class EmbeddedServer:
    """One private server over one folder.

    Args:
        data_dir: where its data, log, locks and state live; made if it is not there.
        append_fsync: `always`, `everysec` or `no`, as Redis means them.
        port: TCP port on 127.0.0.1; 0 for the last one used, else any free one.

    Start it from the main thread: on Linux the server ends with the thread that started it, so
    that it ends with this process even if that is killed.
    """

    def __init__(self, data_dir: Path, append_fsync: str = "everysec", port: int = 0) -> None:
        self.data_dir = data_dir.absolute()
        self._append_fsync = append_fsync
        self._port = port
        self._owner = files.Lock(self.data_dir / files.OWNER_LOCK)
        self._process: subprocess.Popen[bytes] | None = None
        self._address: StoreAddress | None = None
        self._launched_at = 0.0
        self._log_start = 0
        self._port_tries = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> StoreAddress:
        """Return where it is.

        Raises:
            ServerFailed: it was not started.
        """
        if self._address is None:
            raise ServerFailed(f"the store in {self.data_dir} was not started")
        return self._address

    @property
    def alive(self) -> bool:
        """Say whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> StoreAddress:
        """Start the server and wait until it answers.

        Returns:
            Where it is.

        Raises:
            ServerFailed: it cannot be started; nothing of it is left running then.
        """
        binary = find_binary()
        files.make_folder(self.data_dir)
        self._claim()
        try:
            self.launch(binary)
            while not self.ready():
                time.sleep(_STEP_S)
        except BaseException:  # Ctrl-C while a large file loads, too
            self.stop()
            raise
        return self.address

    def launch(self, binary: Path | None = None) -> None:
        """Start the process without waiting; `ready` says when it serves.

        Also the way to start it again after it died: address and password stay.

        Args:
            binary: the server program; None to look for it.

        Raises:
            ServerFailed: it cannot be started.
        """
        program = binary or find_binary()
        before = self._address or remembered(self.data_dir)
        lock = self._take_server_lock(before)
        try:
            self._forget_former_socket(before)
            address = self._choose(before)
            config = self._config(address)
            self._log_start, log = files.open_log(self.data_dir)
            with log:
                self._process = spawn(program, config, log.fileno(), lock.fileno())
            self._launched_at = time.monotonic()
            self._address = replace(address, pid=self._process.pid)
            files.write_private(self.data_dir / files.STATE, msgspec.json.encode(self._address))
        finally:
            lock.release()  # the server has inherited it

    def ready(self) -> bool:
        """Say whether the launched server serves; does not wait.

        Raises:
            ServerFailed: it has ended, or has had its time; the sentence has its last words.
        """
        process, address = self._process, self.address
        if process is None or process.poll() is not None:
            return self._launch_elsewhere_or_fail()
        probe = look(address.socket, address.password)
        if probe is not None and probe.pid == process.pid and not probe.loading:
            return True
        limit_s = LOAD_S if probe is not None else START_S
        if time.monotonic() - self._launched_at > limit_s:
            self._end_process()
            raise self._failure(f"was not ready within {limit_s:g} s")
        return False

    def stop(self) -> None:
        """End the server and let go of the folder. Idempotent."""
        self._end_process()
        if self._address is not None:
            files.remove_socket(self._address.socket)
        self._owner.release()

    def kill(self) -> None:
        """End the server at once; what it has answered is in its file."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _claim(self) -> None:
        deadline = time.monotonic() + _OWNER_S
        while not self._owner.take():
            if time.monotonic() < deadline:
                time.sleep(_STEP_S)
                continue
            holder = self._owner.read_note()
            raise ServerFailed(
                f"the store in {self.data_dir} is already run by process {holder or 'unknown'}: "
                "stop that `switchboard up`, or set redis.data_dir to another folder"
            )
        self._owner.note(str(os.getpid()))

    def _take_server_lock(self, before: StoreAddress | None) -> files.Lock:
        """Return the server's lock; a server whose owner was killed is told to end first."""
        lock = files.Lock(self.data_dir / files.SERVER_LOCK)
        deadline = time.monotonic() + ORPHAN_S
        asked = False
        while not lock.take():
            if before is not None and not asked:
                shut_down(before.socket, before.password)
                asked = True
            if time.monotonic() > deadline:
                who = f"process {before.pid}" if before is not None else "a process"
                raise ServerFailed(
                    f"the store server of a `switchboard up` that was killed still holds "
                    f"{self.data_dir} and does not end: kill {who}, then start again"
                )
            time.sleep(_STEP_S)
        return lock

    def _forget_former_socket(self, before: StoreAddress | None) -> None:
        if before is not None:
            Path(before.socket).unlink(missing_ok=True)

    def _choose(self, before: StoreAddress | None) -> StoreAddress:
        """Return where the server shall be: where it was before, as far as that is still free."""
        socket = files.socket_path(self.data_dir, before.socket if before is not None else "")
        port = self._port or files.free_port(before.port if before is not None else 0)
        if before is not None:
            return replace(before, socket=socket, port=port, pid=0)
        return StoreAddress(socket, port, 0, secrets.token_hex(24), secrets.token_hex(24))

    def _config(self, address: StoreAddress) -> bytes:
        """Return the server's configuration; whatever the prefix of its keys will be."""
        place = (self.data_dir, address.socket, address.port)
        user = acl_line("*", address.user_password)
        return files.server_config(*place, address.password, user, self._append_fsync)

    def _launch_elsewhere_or_fail(self) -> bool:
        if "Address already in use" not in self._said():
            raise self._failure("ended at once")
        if self._port:
            raise ServerFailed(
                f"port {self._port} on {files.HOST} is already taken: choose another"
            )
        # Somebody took the port between our look and the server's start.
        self._port_tries += 1
        if self._port_tries >= _PORT_TRIES:
            raise self._failure("found no free port")
        self.launch()
        return False

    def _said(self) -> str:
        return files.log_since(self.data_dir, self._log_start)

    def _failure(self, what: str) -> ServerFailed:
        words = files.last_words(self._said())
        return ServerFailed(f"the store server {what} (log: {self.data_dir / files.LOG}): {words}")

    def _end_process(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
