"""Crowds at the door, in full size: minutes, and thousands of sockets."""

import asyncio
import time
from collections import Counter

import pytest

from node.descriptors import claim
from router.store.embedded import EmbeddedServer
from tests.support.node_processes import processes
from tests.support.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

CLIENTS = 5_000
HALF_OPEN = 10_000
HANDSHAKE = (
    "GET /ws?user={} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Comer(asyncio.Protocol):
    """One try to come in: `answer` is the seconds to wait, 0 for being in, None for a lost try."""

    def __init__(self, user: str) -> None:
        self._user = user
        self._heard = b""
        self.answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(HANDSHAKE.format(self._user).encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, rest = self._heard.partition(b"\r\n\r\n")
        if not end or self.answer.done():
            return
        if b" 503 " in head:
            after = head.lower().partition(b"retry-after: ")[2].split(b"\r\n")[0]
            self.answer.set_result(int(after))
            self.transport.close()
        elif b'"welcome"' in rest:
            self.answer.set_result(0)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_result(None)


async def come_in(host: str, port: int, user: str, told: Counter[int]) -> tuple[Comer, float]:
    """Come again as one is told until one is in; return when that was."""
    loop = asyncio.get_running_loop()
    while True:
        _, comer = await loop.create_connection(lambda: Comer(user), host, port)
        after_s = await comer.answer
        if after_s == 0:
            return comer, time.monotonic()
        told[after_s or 0] += 1
        await asyncio.sleep(after_s or 1)


async def test_five_thousand_come_back_within_a_second_and_all_get_in_evenly(
    store: EmbeddedServer,
) -> None:
    assert claim(2 * CLIENTS) >= 2 * CLIENTS
    limits = {"handshakes_per_second": 500.0}
    quiet = {"level": "warning"}
    async with processes(store.address.url, 1, limits=limits, log=quiet) as cluster:
        host, _, port = cluster.nodes[0].address.rpartition(":")
        told: Counter[int] = Counter()

        async def later(number: int) -> tuple[Comer, float]:
            await asyncio.sleep(number / CLIENTS)
            return await come_in(host, int(port), f"u{number}", told)

        began = time.monotonic()
        async with asyncio.timeout(240):
            came = await asyncio.gather(*(later(number) for number in range(CLIENTS)))
        seconds = Counter(int(at - began) for _, at in came)
        assert len(seconds) >= 5
        assert max(seconds.values()) <= 2.2 * limits["handshakes_per_second"]
        assert told[0] == 0
        found = await cluster.described(cluster.nodes[0])
        assert found is not None
        for comer, _ in came:
            comer.transport.close()


async def test_ten_thousand_half_open_connections_are_bounded_and_keep_nobody_out(
    store: EmbeddedServer,
) -> None:
    assert claim(HALF_OPEN + 500) >= HALF_OPEN + 500
    async with processes(store.address.url, 1, log={"level": "warning"}) as cluster:
        (node,) = cluster.nodes
        host, _, port = node.address.rpartition(":")
        opened = []
        for _ in range(HALF_OPEN):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /ws HTTP/1.1\r\nX-")
            opened.append((reader, writer))
        client = await cluster.connect(node, "alice")
        still = sum(not reader.at_eof() for reader, _ in opened)
        assert still <= 5_100

        def all_gone() -> bool:
            return all(reader.at_eof() or reader.exception() for reader, _ in opened)

        await eventually(all_gone, 60.0)
        assert await client.nothing_came()
        for _, writer in opened:
            writer.transport.abort()
