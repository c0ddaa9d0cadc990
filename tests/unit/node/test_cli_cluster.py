"""`up`, `serve` and `redis-url`, run as a user runs them."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.store.embedded import EmbeddedServer, find
from router.urls import printable_address
from tests.support.cli import call
from tests.support.processes import Switchboard, command_line, free_port_range, is_gone, wait_until
from tests.support.valkey import plain_client


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def pids_of(document: Any) -> list[int]:
    return [document["store"]["pid"], *(node["pid"] for node in document["nodes"])]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Switchboard, Path, Any]]:
    """A cluster that is up, its folder, and what it said when it was ready."""
    folder = tmp_path_factory.mktemp("up")
    port = free_port_range(2)
    with Switchboard(folder, "up", "--json", "--port", str(port)) as process:
        yield process, folder, process.document()
        assert process.stop() == 0


class TestUp:
    def test_it_says_what_runs_where(self, cluster: tuple[Switchboard, Path, Any]) -> None:
        _, folder, document = cluster
        assert [node["name"] for node in document["nodes"]] == ["n1", "n2"]
        for node in document["nodes"]:
            assert is_ready(node["url"])
        address = find(folder / "data")
        assert address is not None
        assert document["store"] == {
            "address": f"127.0.0.1:{address.port}",
            "socket": address.socket,
            "data_dir": str(folder / "data"),
            "pid": address.pid,
        }

    def test_the_password_is_nowhere_to_be_read(
        self, cluster: tuple[Switchboard, Path, Any]
    ) -> None:
        process, folder, document = cluster
        address = find(folder / "data")
        assert address is not None
        assert address.password not in json.dumps(document)
        assert not process.heard(address.password)
        for pid in [process.pid, *pids_of(document)]:
            assert address.password not in command_line(pid)

    def test_other_commands_find_its_store(
        self, cluster: tuple[Switchboard, Path, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(cluster[1])
        plain, as_json = call("redis-url"), call("redis-url", "--json")
        assert (plain.status, as_json.status) == (0, 0)
        url = plain.out.strip()
        assert url.startswith("redis://default:")
        assert json.loads(as_json.out) == {"url": url}
        with plain_client(url) as client:
            assert client.ping()

    def test_a_second_one_in_the_folder_is_told_who_runs_the_first(
        self, cluster: tuple[Switchboard, Path, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process, folder, _ = cluster
        monkeypatch.chdir(folder)
        answer = call("up", "--port", str(free_port_range(2)))
        assert (answer.status, answer.out) == (1, "")
        assert f"already run by process {process.pid}" in answer.err
        assert answer.err.count("\n") == 1

    def test_a_port_that_is_taken_is_told_before_anything_starts(
        self,
        cluster: tuple[Switchboard, Path, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        port = int(cluster[2]["nodes"][1]["url"].rstrip("/").rpartition(":")[2])
        monkeypatch.chdir(tmp_path)
        answer = call("up", "--nodes", "1", "--port", str(port))
        assert answer.status == 1
        assert f"node n1 cannot listen on 127.0.0.1:{port}: Address already in use" in answer.err
        assert answer.err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_what_dies_is_started_again(self, cluster: tuple[Switchboard, Path, Any]) -> None:
        process, _, document = cluster
        node = document["nodes"][1]
        os.kill(node["pid"], signal.SIGKILL)
        wait_until(lambda: process.heard("node n2 was killed by SIGKILL"), "it says so")
        wait_until(lambda: is_ready(node["url"]), "n2 is back")
        os.kill(document["store"]["pid"], signal.SIGKILL)
        wait_until(lambda: process.heard("the store server is back"), "it says so")
        wait_until(lambda: all(is_ready(n["url"]) for n in document["nodes"]), "ready again")


class TestEndOfUp:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_stops_everything_in_order(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        port = free_port_range(1)
        with Switchboard(tmp_path, "up", "--json", "--nodes", "1", "--port", str(port)) as process:
            document = process.document()
            assert process.stop(number) == 0
        assert all(is_gone(pid) for pid in pids_of(document))
        assert not Path(document["store"]["socket"]).exists()
        assert not process.heard("Traceback")

    def test_killed_it_leaves_nothing_behind_and_can_start_again(self, tmp_path: Path) -> None:
        arguments = ("up", "--json", "--nodes", "1", "--port", str(free_port_range(1)))
        with Switchboard(tmp_path, *arguments) as process:
            first = process.document()
            process.stop(signal.SIGKILL)
        with Switchboard(tmp_path, *arguments) as process:
            second = process.document()
            assert second["store"]["address"] == first["store"]["address"]
            assert all(is_gone(pid) for pid in pids_of(first))

    def test_a_node_that_cannot_start_ends_it_with_the_reason(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text('[redis]\nurl = "redis://127.0.0.1:1"\n')
        port = str(free_port_range(1))
        with Switchboard(tmp_path, "up", "--nodes", "1", "--port", port) as process:
            assert process.wait() == 1
        assert process.heard("the store at 127.0.0.1:1 is not available: Connection refused")
        assert process.heard("switchboard: node n1 ended with status 1 before it was ready")


class TestUpWithAnotherStore:
    def test_it_uses_what_the_flag_names(
        self, tmp_path: Path, store: EmbeddedServer, prefix: str
    ) -> None:
        arguments = ["--nodes", "1", "--port", str(free_port_range(1))]
        with Switchboard(
            tmp_path,
            *["up", "--json", "--redis", store.address.tcp_url, *arguments],
            environment={"SWITCHBOARD_REGISTRY__PREFIX": prefix},
        ) as process:
            document = process.document()
            assert document["store"] == {"address": f"127.0.0.1:{store.address.port}"}
            assert not (tmp_path / "data").exists()
            assert process.stop() == 0

    def test_without_json_it_prints_for_people(
        self, tmp_path: Path, store: EmbeddedServer, prefix: str
    ) -> None:
        port = free_port_range(1)
        with Switchboard(
            tmp_path,
            *["up", "--nodes", "1", "--port", str(port)],
            environment={
                "SWITCHBOARD_REGISTRY__PREFIX": prefix,
                "SWITCHBOARD_REDIS__URL": store.address.url,
            },
        ) as process:
            assert process.line().startswith(f"node n1   http://127.0.0.1:{port}/  (process ")
            assert printable_address(store.address.url) in process.line()
            assert process.line() == f"Ready (process {process.pid}). Ctrl-C stops everything."


class TestServe:
    def test_without_a_store_it_says_how_to_start_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        answer = call("serve", "--port", "0")
        assert (answer.status, answer.out) == (1, "")
        assert "no embedded store is running under data; start one with 'switchboard up'" in (
            answer.err
        )

    def test_a_store_that_is_not_there_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        answer = call("serve", "--port", "0", "--redis", "redis://127.0.0.1:1")
        assert answer.status == 1
        assert "the store at 127.0.0.1:1 is not available: Connection refused" in answer.err

    def test_it_waits_for_a_store_as_long_as_it_is_told(self, tmp_path: Path, prefix: str) -> None:
        port = free_port_range(1)
        with (
            Switchboard(
                tmp_path,
                *["serve", "--wait", "30", "--name", "w1", "--port", str(port)],
                environment={"SWITCHBOARD_REGISTRY__PREFIX": prefix},
            ) as process,
            EmbeddedServer(tmp_path / "data"),
        ):
            wait_until(lambda: is_ready(f"http://127.0.0.1:{port}/"), "ready")
            assert process.stop() == 0
        assert process.heard("w1")

    def test_it_ends_with_the_parent_it_was_given(self, tmp_path: Path) -> None:
        with Switchboard(tmp_path, "serve", "--parent", "1") as process:
            assert process.wait() == 1
        assert process.said == []

    def test_a_port_that_is_taken_is_one_sentence(
        self, tmp_path: Path, store: EmbeddedServer
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            arguments = ("serve", "--port", port, "--redis", store.address.url)
            with Switchboard(tmp_path, *arguments) as process:
                assert process.wait() == 1
        (sentence,) = process.said
        assert sentence.startswith("switchboard: ")
        assert port in sentence


class TestRedisUrl:
    def test_without_a_store_it_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        answer = call("redis-url")
        assert (answer.status, answer.out) == (1, "")
        assert "no embedded store is running under data" in answer.err

    def test_a_configured_store_is_printed_as_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        answer = call("redis-url", "--redis", "redis://:pw@example.org:7000/1")
        assert (answer.status, answer.out) == (0, "redis://:pw@example.org:7000/1\n")
