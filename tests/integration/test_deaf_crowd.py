"""A crowd that reads nothing: a node's memory does not follow what is sent to it."""

import contextlib
import subprocess

from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.node_processes import NodeProcess, processes

CROWD = 100
ROOM_BYTES = 65_536
DATA = "x" * 4_096
MESSAGES = 20_000


def resident_bytes(node: NodeProcess) -> int:
    """Return how much memory a node's process has."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(node.pid)], capture_output=True, check=True, text=True
    )
    return int(listed.stdout) * 1_024


async def test_a_hundred_clients_that_read_nothing_do_not_fill_the_memory_of_their_node(
    store: EmbeddedServer,
) -> None:
    async with (
        processes(
            store.address.url, 1, node={"max_waiting_bytes": ROOM_BYTES, "ping_interval_s": 600.0}
        ) as cluster,
        contextlib.AsyncExitStack() as crowd,
    ):
        (node,) = cluster.nodes
        for number in range(CROWD):
            client = RawClient(node.address, f"/ws?user=deaf{number}", receive_buffer_bytes=4_096)
            await crowd.enter_async_context(client)
            assert (await client.message())["type"] == "welcome"
        quick = await cluster.connect(node, "quick")
        heard: set[Outcome] = set()

        async def flood() -> int:
            """Send to everybody from two users; return the node's memory then."""
            for first in range(0, MESSAGES, CROWD):
                users = [f"deaf{(first + number) % CROWD}" for number in range(CROWD)]
                origin = "bob" if first % (2 * CROWD) else "eve"
                results = await cluster.router.send_many(users, DATA, origin=origin)
                heard.update(result.outcome for result in results.values())
            assert (await cluster.router.send("quick", first, timeout=60)).outcome == "delivered"
            return resident_bytes(node)

        full = (
            await flood()
        )  # what waits is at its bound, and what is remembered of it grows little
        grown = await flood() - full
        assert await quick.messages(2) == [MESSAGES - CROWD] * 2
        assert grown < MESSAGES * len(DATA) / 3
        assert full < 100 * 2**20 + 2 * CROWD * ROOM_BYTES
        assert heard <= {Outcome.ACCEPTED, Outcome.BUSY, Outcome.OFFLINE}
