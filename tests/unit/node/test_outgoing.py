"""What waits for one client: in order, in one write, and bounded."""

from typing import cast

import pytest

from node.limits import Room
from node.outgoing import Outgoing
from node.sockets import Socket


class TakingSocket:
    """Keeps what it is written; the test says how much of it waits."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


@pytest.fixture
def socket() -> TakingSocket:
    return TakingSocket()


@pytest.fixture
def outgoing(socket: TakingSocket) -> Outgoing:
    return Outgoing(cast(Socket, socket), 100)


def test_what_has_collected_leaves_in_one_write_in_order(
    outgoing: Outgoing, socket: TakingSocket
) -> None:
    for frames in (b"b", b"c"):
        assert outgoing.put(frames, "") is Room.TAKE
    outgoing.first(b"a")
    assert outgoing.waiting_bytes == 2
    outgoing.flush(b"d")
    assert socket.writes == [b"abcd"]
    assert outgoing.waiting_bytes == 0


def test_with_nothing_to_write_nothing_is_written(outgoing: Outgoing, socket: TakingSocket) -> None:
    outgoing.flush()
    assert socket.writes == []
    outgoing.flush(b"ping")
    assert socket.writes == [b"ping"]


def test_what_is_dropped_is_never_written(outgoing: Outgoing, socket: TakingSocket) -> None:
    outgoing.put(b"gone", "")
    outgoing.drop()
    outgoing.flush()
    assert (socket.writes, outgoing.waiting_bytes) == ([], 0)


def test_what_can_wait_leaves_half_of_the_room(outgoing: Outgoing, socket: TakingSocket) -> None:
    assert outgoing.fits(1_000)  # nothing waits
    outgoing.put(b"x" * 10, "")
    assert outgoing.fits(40)
    assert not outgoing.fits(41)
    socket.waiting_bytes = 30
    assert not outgoing.fits(11)


def test_the_socket_counts_too(outgoing: Outgoing, socket: TakingSocket) -> None:
    socket.waiting_bytes = 95
    assert outgoing.put(b"x" * 6, "bob") is Room.CLOSE
    assert outgoing.put(b"x" * 5, "bob") is Room.TAKE
