"""A client that reads slowly gets every durable message, at its own pace or when it returns."""

import itertools
import json

from websockets.frames import Opcode

from router.model import Offset, Outcome
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.cluster import Cluster
from tests.support.followers import Follower

LARGE = "x" * 50_000


async def test_a_slow_reader_that_was_closed_gets_the_rest_by_replay(
    store: EmbeddedServer,
) -> None:
    limit = {"max_waiting_bytes": 200_000}
    async with Cluster(store.address.url, nodes=2, node=limit) as cluster:
        path = "/ws?user=alice&device=web&ack=manual"
        address = cluster.nodes[0].address
        async with RawClient(address, path, receive_buffer_bytes=4_096) as slow:
            since = (await slow.message())["offset"]
            async with cluster.router() as router:
                for number in itertools.count():
                    text = f"{number} {LARGE}"
                    result = await router.send(
                        "alice", text, durable=True, confirm="written", timeout=60.0
                    )
                    assert result.outcome in (Outcome.WRITTEN, Outcome.QUEUED)
                    if result.outcome is Outcome.QUEUED:
                        break
                await router.send("alice", f"{number + 1} while away", durable=True)
            heard = []
            while (frame := await slow.frame()).opcode is not Opcode.CLOSE:
                if frame.opcode is Opcode.TEXT:
                    heard.append(read(bytes(frame.data)))
            assert bytes(frame.data)[:2] == (4_408).to_bytes(2)
        assert [number for number, _ in heard] == list(range(len(heard)))
        alice = Follower("alice")
        alice.since = Offset.parse(heard[-1][1] if heard else since)
        await alice.connect(cluster.nodes[1].address)
        assert alice.resumed
        texts = await alice.read(number + 2 - len(heard))
        assert [int(text.split()[0]) for text in texts] == list(range(len(heard), number + 2))
        await alice.close()


def read(payload: bytes) -> tuple[int, str]:
    """Return the number in a message and its offset."""
    frame = json.loads(payload)
    return int(frame["data"].split()[0]), frame["offset"]


async def test_a_replay_waits_for_a_slow_reader_and_does_not_close_it(
    store: EmbeddedServer,
) -> None:
    limit = {"max_waiting_bytes": 200_000}
    async with Cluster(store.address.url, nodes=1, node=limit) as cluster:
        async with cluster.router() as router:
            for number in range(60):
                result = await router.send("alice", f"{number} {LARGE}", durable=True)
                assert result.outcome is Outcome.QUEUED
            path = "/ws?user=alice&device=web&ack=manual"
            address = cluster.nodes[0].address
            async with RawClient(address, path, receive_buffer_bytes=4_096) as slow:
                await slow.message()
                result = await router.send("alice", "60 last", durable=True, confirm="accepted")
                assert result.outcome is Outcome.ACCEPTED
                heard = [await slow.message() for _ in range(61)]
        assert [int(frame["data"].split()[0]) for frame in heard] == list(range(61))
