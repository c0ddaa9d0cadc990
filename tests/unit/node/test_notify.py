"""What a service manager is told."""

import socket
from pathlib import Path

import pytest

from node.notify import READY, STOPPING, Notify


def told(manager: socket.socket) -> list[bytes]:
    manager.setblocking(False)
    heard = []
    try:
        while True:
            heard.append(manager.recv(1_024))
    except BlockingIOError:
        return heard


def test_it_hears_each_state_as_a_datagram(tmp_path: Path) -> None:
    address = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        Notify(address).tell(READY)
        Notify(address).tell(STOPPING)
        assert told(manager) == [b"READY=1", b"STOPPING=1"]


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has names without files")
def test_its_socket_may_have_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{tmp_path}")
        Notify(f"@{tmp_path}").tell(READY)
        assert told(manager) == [b"READY=1"]


def test_nobody_need_be_there(tmp_path: Path) -> None:
    Notify().tell(READY)
    Notify(str(tmp_path / "nobody")).tell(READY)
