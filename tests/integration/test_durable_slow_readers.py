"""A client that reads slowly gets every durable message, at its own pace or when it returns."""

import json

from websockets.frames import Opcode

from router.model import Offset, Outcome, UserId
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.cluster import Cluster
from tests.support.followers import Follower

LARGE = "x" * 50_000


async def test_a_slow_reader_that_was_closed_gets_the_rest_by_replay(
    store: EmbeddedServer,
) -> None:
    limit, room = {"max_waiting_bytes": 200_000}, {"max_bytes": 2**26}
    async with Cluster(store.address.url, nodes=2, node=limit, mailbox=room) as cluster:
        path = "/ws?user=alice&device=web&ack=manual"
        async with RawClient(cluster.nodes[0].address, path, receive_buffer_bytes=4_096) as slow:
            since = (await slow.message())["offset"]
            (session,) = cluster.nodes[0].hub.get(UserId("alice"))
            sent = 0
            async with cluster.router() as router:
                while (
                    sent < 5 or not session.place.replaying
                ):  # until what waits is left to the mailbox
                    text = f"{sent} {LARGE}"
                    result = await router.send("alice", text, durable=True, confirm="accepted")
                    assert result.outcome is Outcome.ACCEPTED
                    sent += 1
                outcome = Outcome.WRITTEN
                while outcome is Outcome.WRITTEN:  # until there is no room for what cannot wait
                    result = await router.send("alice", LARGE, confirm="written", timeout=60.0)
                    outcome = result.outcome
                assert outcome is Outcome.DROPPED
                result = await router.send("alice", f"{sent} away", durable=True)
                assert result.outcome is Outcome.QUEUED
            heard, code = await read_to_the_end(slow)
        assert code == 4_408
        assert [number for number, _ in heard] == list(range(len(heard)))
        alice = Follower("alice")
        alice.since = Offset.parse(heard[-1][1] if heard else since)
        await alice.connect(cluster.nodes[1].address)
        assert alice.resumed
        texts = await alice.read(sent + 1 - len(heard))
        assert [int(text.split()[0]) for text in texts] == list(range(len(heard), sent + 1))
        await alice.close()


async def read_to_the_end(client: RawClient) -> tuple[list[tuple[int, str]], int]:
    """Return the number and the offset of each durable message that came, and the close code."""
    heard = []
    while (frame := await client.frame()).opcode is not Opcode.CLOSE:
        if frame.opcode is Opcode.TEXT and "offset" in (said := json.loads(bytes(frame.data))):
            heard.append((int(said["data"].split()[0]), said["offset"]))
    return heard, int.from_bytes(bytes(frame.data)[:2])


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
