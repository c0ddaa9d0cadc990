"""The folder of our private server: what is in it, and folders that will not do."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from router.errors import ServerFailed
from router.store import server_files
from router.store.embedded import EmbeddedServer, find


def test_a_path_too_long_for_a_socket_gets_one_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    with EmbeddedServer(folder) as server:
        place = Path(server.address.socket).parent
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert find(folder) == server.address
        before = server.address
    assert not place.exists()
    with EmbeddedServer(folder) as server:
        assert server.address.url == before.url


def test_a_socket_folder_that_others_could_enter_is_not_used_again(tmp_path: Path) -> None:
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


def test_a_path_with_spaces_and_quotes_will_do(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" \\ näme'
    with EmbeddedServer(folder) as server:
        assert find(folder) == server.address
        assert (folder / "appendonlydir").is_dir()


def test_a_file_in_its_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerFailed, match=r"cannot be made: File exists; set redis\.data_dir"):
        EmbeddedServer(tmp_path / "file").start()


def test_a_folder_nobody_may_write_to_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write anywhere, so the answer of the system is made up
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ServerFailed, match=r"is not writable; set redis\.data_dir"):
        server_files.make_folder(tmp_path)


def test_files_that_cannot_be_written_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ServerFailed, match="cannot be locked: No locks available"):
        EmbeddedServer(tmp_path).start()


def test_no_free_port_at_all_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_files, "HOST", "192.0.2.1")  # nobody's address
    with pytest.raises(ServerFailed, match="no TCP port is free"):
        server_files.free_port(0)


def test_a_log_or_note_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert server_files.log_since(tmp_path, 0) == ""
    assert server_files.Lock(tmp_path / "lock").read_note() == ""
    assert server_files.last_words("") == "it said nothing"


def test_a_large_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_files, "_MAX_LOG_BYTES", 100)
    for _ in range(2):
        with EmbeddedServer(tmp_path):
            pass
    assert (tmp_path / f"{server_files.LOG}.1").exists()
