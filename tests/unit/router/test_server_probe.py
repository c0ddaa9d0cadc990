"""Looking at a server: only one that knows the password is ours."""

from dataclasses import replace
from pathlib import Path

from router.store.embedded import EmbeddedServer
from router.store.server_probe import Probe, look, shut_down
from tests.support.processes import is_gone, wait_until


def test_one_that_knows_the_password_says_who_it_is(store: EmbeddedServer) -> None:
    address = store.address
    assert look(address.socket, address.password) == Probe(address.pid, loading=False)


def test_one_that_does_not_is_nobody(store: EmbeddedServer) -> None:
    stranger = replace(store.address, password="other")
    assert look(stranger.socket, stranger.password) is None
    shut_down(stranger.socket, stranger.password)
    assert store.alive


def test_where_nobody_is_nothing_is_found(tmp_path: Path) -> None:
    assert look(str(tmp_path / "socket"), "password") is None
    shut_down(str(tmp_path / "socket"), "password")


def test_one_can_be_asked_to_end(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        shut_down(server.address.socket, server.address.password)
        wait_until(lambda: is_gone(server.address.pid), "it ends")
