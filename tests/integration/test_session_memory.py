"""What an idle session leaves in the memory of its node, counted in bytes and not by pages."""

import contextlib
import functools
import gc
import tracemalloc
from collections.abc import Iterator
from typing import Final

from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.cluster import Cluster
from tests.support.waiting import eventually

# About 5,200 when this was written, and 21,500 before: a request with all its headers stayed, too.
_MOST_BYTES: Final = 8_000
_FRAMES: Final = 12
_FIRST: Final = 20
_SESSIONS: Final = 60
_PATIENT: Final = {"ping_interval_s": 600.0}  # the clients answer nothing
# As a browser sends them: none of it may stay.
_HEADERS: Final = {"User-Agent": "x" * 500, "Accept-Language": "y" * 500, "Pragma": "z" * 500}
# Only what these allocate or have allocated: the clients live in this process, too.
_OURS: Final = ("/node/", "/router/", "/tornado/")


@functools.cache
def is_ours(file: str) -> bool:
    return any(folder in file for folder in _OURS)


@contextlib.contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start(_FRAMES)
    try:
        yield
    finally:
        tracemalloc.stop()


def held_bytes() -> int:
    gc.collect()
    return sum(
        trace.size
        for trace in tracemalloc.take_snapshot().traces
        if any(is_ours(frame.filename) for frame in trace.traceback)
    )


async def test_an_idle_session_takes_few_bytes(store: EmbeddedServer) -> None:
    async with (
        Cluster(store.address.url, nodes=1, node=_PATIENT) as cluster,
        contextlib.AsyncExitStack() as stack,
    ):
        node = cluster.nodes[0]

        async def come(first: int, count: int) -> None:
            for number in range(first, first + count):
                client = RawClient(node.address, f"/ws?user=u{number}", headers=_HEADERS)
                await stack.enter_async_context(client)
                await client.message()
                # One of them says something, so that buffers have been used.
                await client.text('{"type":"ping"}')
                await client.message()

        with traced():
            await come(0, _FIRST)
            before = held_bytes()
            await come(_FIRST, _SESSIONS)
            await eventually(lambda: len(node.hub) == _FIRST + _SESSIONS)
            each = (held_bytes() - before) / _SESSIONS
        assert 1_000 < each < _MOST_BYTES
