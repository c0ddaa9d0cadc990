"""Leaving a port that others listen on, too."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from node.shared_port import begin_nothing
from scripts.measuring.ports import free_port_range
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    "sys.platform != 'linux'", reason="only Linux spreads connections over those who share a port"
)
_HELLO: Final = b"hello"


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    listener.setblocking(False)
    return listener


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that listen at one port."""
    port = free_port_range(1)
    with listen(port) as leaving, listen(port) as staying:
        yield leaving, staying


@contextlib.asynccontextmanager
async def served(listener: socket.socket) -> AsyncIterator[list[int]]:
    """Greet everybody who connects; yield the ports of those who were."""
    loop = asyncio.get_running_loop()
    greeted: list[int] = []

    def take() -> None:
        with contextlib.suppress(BlockingIOError):
            connection, (_, port) = listener.accept()
            with connection:
                connection.sendall(_HELLO)
            greeted.append(port)

    loop.add_reader(listener, take)
    try:
        yield greeted
    finally:
        loop.remove_reader(listener)


async def hear(address: tuple[str, int]) -> bytes:
    """Connect, and return what is said; raise OSError when refused or reset."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        return await reader.read(100)
    finally:
        writer.close()


async def test_who_connects_while_one_leaves_is_taken_by_those_who_stay(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    leaving, staying = pair
    async with served(staying) as by_staying:
        async with served(leaving) as by_leaving:
            before = [await hear(staying.getsockname()) for _ in range(32)]
            assert before == [_HELLO] * 32
            came_before = len(by_leaving)
            assert came_before > 0
            going = asyncio.create_task(begin_nothing([leaving]))
            await asyncio.sleep(0)  # its filter is there
            clients = [asyncio.create_task(hear(staying.getsockname())) for _ in range(32)]
            await going
        leaving.close()
        assert await asyncio.gather(*clients) == [_HELLO] * 32
        assert len(by_leaving) == came_before
        assert len(by_staying) + len(by_leaving) == 64


async def test_who_is_in_the_queue_already_is_waited_for(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    leaving, staying = pair
    async with served(staying):
        clients = [asyncio.create_task(hear(staying.getsockname())) for _ in range(32)]
        await eventually(lambda: any(task.done() for task in clients))
        going = asyncio.create_task(begin_nothing([leaving]))
        async with served(leaving) as greeted:
            await going
            assert len(greeted) > 0
        leaving.close()
        assert await asyncio.gather(*clients) == [_HELLO] * 32


async def test_without_that_who_is_in_the_queue_is_reset(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    leaving, staying = pair
    async with served(staying):
        clients = [asyncio.create_task(hear(staying.getsockname())) for _ in range(32)]
        await eventually(lambda: any(task.done() for task in clients))
        leaving.close()
        heard = await asyncio.gather(*clients, return_exceptions=True)
        assert {type(each) for each in heard} == {bytes, ConnectionResetError}
