"""Our private server when the process that runs it is killed; played with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from router.errors import ServerFailed
from router.store import binary, embedded
from router.store.embedded import EmbeddedServer, find
from tests.support.processes import is_gone, wait_until
from tests.support.valkey import plain_client

OWNER = """
import sys, time
from pathlib import Path
from router.store.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.address.pid, flush=True)
time.sleep(600)
"""


def fetch(url: str, command: str, *arguments: str) -> Any:
    with plain_client(url) as client:
        return client.execute_command(command, *arguments)


@contextmanager
def owner_process(folder: Path) -> Iterator[tuple[int, int]]:
    """Run a process that owns a server; yield its process id and the server's."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


class TestOwnerKilled:
    def test_the_server_ends_and_a_new_one_starts_at_once(self, tmp_path: Path) -> None:
        with owner_process(tmp_path) as (owner, server_pid):
            address = find(tmp_path)
            assert address is not None
            fetch(address.url, "SET", "key", "value")
            os.kill(owner, signal.SIGKILL)
            with EmbeddedServer(tmp_path) as server:
                assert server.address.url == address.url
                assert fetch(server.address.url, "GET", "key") == b"value"
                assert is_gone(server_pid)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
    def test_the_server_ends_by_itself(self, tmp_path: Path) -> None:
        with owner_process(tmp_path) as (owner, server_pid):
            os.kill(owner, signal.SIGKILL)
            wait_until(lambda: is_gone(server_pid), "it happens")

    def test_a_second_owner_is_told_the_process_of_the_first(self, tmp_path: Path) -> None:
        with owner_process(tmp_path) as (owner, _):
            with pytest.raises(ServerFailed, match=f"process {owner}"):
                EmbeddedServer(tmp_path).start()

    def test_an_orphan_is_stopped_before_a_new_one_starts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As where the kernel does not end a child with its parent.
        monkeypatch.setattr(binary, "death_signal", lambda number: None)
        orphan = EmbeddedServer(tmp_path)
        orphan.start()
        fetch(orphan.address.url, "SET", "key", "value")
        orphan._owner.release()
        with EmbeddedServer(tmp_path) as server:
            wait_until(lambda: not orphan.alive, "it happens")
            assert fetch(server.address.url, "GET", "key") == b"value"

    def test_an_orphan_that_does_not_answer_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded, "ORPHAN_S", 0.1)
        orphan = EmbeddedServer(tmp_path)
        orphan.start()
        os.kill(orphan.address.pid, signal.SIGSTOP)
        orphan._owner.release()
        with pytest.raises(ServerFailed, match=f"kill process {orphan.address.pid}"):
            EmbeddedServer(tmp_path).start()
        orphan.kill()
        orphan.stop()
        with EmbeddedServer(tmp_path) as server:
            assert server.alive
