"""Our private server, always a real one: starting, finding, stopping, and what can go wrong."""

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.exceptions import AuthenticationError

from router.errors import ServerFailed
from router.store import embedded, server_files
from router.store.embedded import EmbeddedServer, find
from router.store.server_address import StoreAddress
from tests.support.processes import PROC, command_line, is_gone, wait_until
from tests.support.valkey import plain_client


def fetch(url: str, command: str, *arguments: str) -> Any:
    with plain_client(url) as client:
        return client.execute_command(command, *arguments)


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
            ("proto-max-bulk-len", str(32 * 1024 * 1024)),
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
        address = running.address
        assert address.password not in command_line(address.pid)
        if PROC.exists():
            environment = (PROC / str(address.pid) / "environ").read_text()
            assert address.password not in environment
        assert address.password not in repr(address)

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
        stale = StoreAddress(str(tmp_path / "store.sock"), 1, os.getpid(), "secret", "other")
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
            wait_until(lambda: not server.alive, "it happens")
            server.launch()
            wait_until(server.ready, "it happens")
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

    def test_nobody_takes_a_port_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            monkeypatch.setattr(server_files, "free_port", lambda _: port)
            with pytest.raises(ServerFailed, match="found no free port"):
                EmbeddedServer(tmp_path).start()

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


class TestTrouble:
    def test_a_relative_path_is_found_from_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with EmbeddedServer(Path("data")) as server:
            monkeypatch.chdir("/")
            assert find(tmp_path / "data") == server.address

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
