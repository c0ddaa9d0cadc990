"""Nodes as processes of their own: paused, killed, and stopped as an operator stops them."""

import asyncio
import json
import signal
from typing import Any

from router.codec import MessageEnvelope, decode_envelope
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.node_processes import NodeProcess, ProcessCluster, processes
from tests.support.waiting import eventually

# A pause must not end the lease of the node that is paused, unless the test wants that.
PATIENT = {"ttl_s": 60.0, "heartbeat_s": 0.5}


async def waiting_in(cluster: ProcessCluster, node: NodeProcess) -> list[Any]:
    """Return the data of the messages that wait in a node's inbox."""
    envelopes = [decode_envelope(entry) for entry in await cluster.inbox(node)]
    return [json.loads(e.data) for e in envelopes if isinstance(e, MessageEnvelope)]


async def test_while_a_node_is_paused_envelopes_wait_and_then_the_sender_learns_delivered(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2, lease=PATIENT) as cluster:
        paused, other = cluster.nodes
        alice = await cluster.connect(paused, "alice")
        bob = await cluster.connect(other, "bob")
        paused.pause()
        sends = [asyncio.create_task(cluster.router.send("alice", n, timeout=60)) for n in range(3)]
        await bob.send(type="send", ref=7, to="alice", data=3)

        async def they_wait() -> bool:
            return sorted(await waiting_in(cluster, paused)) == [0, 1, 2, 3]

        await eventually(they_wait)
        assert not any(send.done() for send in sends)
        assert (await cluster.router.send("bob", "hello")).outcome is Outcome.DELIVERED
        assert await bob.messages(1) == ["hello"]
        paused.resume()
        results = await asyncio.gather(*sends)
        assert [result.outcome for result in results] == [Outcome.DELIVERED] * 3
        assert (await bob.expect("outcome"))["outcome"] == "delivered"
        assert sorted(await alice.messages(4)) == [0, 1, 2, 3]

        async def inbox_is_empty() -> bool:
            return await cluster.inbox(paused) == []

        await eventually(inbox_is_empty)


async def test_a_node_whose_open_key_went_while_it_was_paused_comes_back_under_a_new_epoch(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 1) as cluster:
        (node,) = cluster.nodes
        alice = await cluster.connect(node, "alice")
        before = await cluster.described(node)
        assert before is not None
        node.pause()
        await cluster.redis.delete(cluster.keys.open(before.endpoint))
        node.resume()

        async def under_a_new_epoch() -> bool:
            routes = await cluster.routes("alice")
            return len(routes) == 1 and before.endpoint not in routes.pop()

        await eventually(under_a_new_epoch)
        assert (await cluster.router.send("alice", "again")).outcome is Outcome.DELIVERED
        assert await alice.messages(1) == ["again"]


async def test_a_killed_nodes_users_are_back_on_another_and_its_routes_are_seen_through(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2) as cluster:
        dies, lives = cluster.nodes
        before = [await cluster.connect(dies, f"u{n}") for n in range(5)]
        for n in range(5):
            assert (await cluster.router.send(f"u{n}", "before")).outcome is Outcome.DELIVERED
        endpoint = await cluster.described(dies)
        assert endpoint is not None
        await dies.kill()
        for client in before:
            code, _, _ = await client.closed()
            assert code == 1006
        after = [await cluster.connect(lives, f"u{n}") for n in range(5)]
        for n, client in enumerate(after):

            async def reached(n: int = n) -> bool:
                result = await cluster.router.send(f"u{n}", "after", timeout=1.0)
                return result.outcome is Outcome.DELIVERED

            await eventually(reached)
            assert (await client.messages(1)) == ["after"]
        # Once the dead endpoint may not receive any more, its routes go with the first send.
        await cluster.redis.delete(cluster.keys.open(endpoint.endpoint))
        for n in range(5):
            result = await cluster.router.send(f"u{n}", "alone")
            assert result.outcome is Outcome.DELIVERED

            async def only_the_living(n: int = n) -> bool:
                routes = await cluster.routes(f"u{n}")
                return len(routes) == 1 and endpoint.endpoint not in routes.pop()

            await eventually(only_the_living)


async def test_a_node_that_died_is_shown_as_lost_and_one_that_takes_its_name_as_live(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 1) as cluster:
        await cluster.nodes[0].kill()

        async def lost() -> bool:
            return [node.state for node in await cluster.router.nodes()] == ["lost"]

        await eventually(lost)
        again = await cluster.start("n1")
        states = {node.state for node in await cluster.router.nodes() if node.name == "n1"}
        assert "live" in states
        await cluster.connect(again, "alice")
        assert (await cluster.router.send("alice", 1)).outcome is Outcome.DELIVERED


async def test_sigterm_says_goodbye_and_leaves_nothing_behind(store: EmbeddedServer) -> None:
    async with processes(store.address.url, 2) as cluster:
        stops, stays = cluster.nodes
        leavers = [await cluster.connect(stops, f"u{n}") for n in range(3)]
        alice = await cluster.connect(stays, "alice")
        gone = await cluster.described(stops)
        assert gone is not None
        assert await stops.terminate() == 0, stops.said
        for client in leavers:
            code, reason, frames = await client.closed()
            assert (code, reason) == (1012, "drain")
            (goodbye,) = frames
            assert (goodbye["type"], goodbye["reason"]) == ("goodbye", "drain")
            assert 0 <= goodbye["reconnect_after_ms"] <= 2_000
        assert [node.name for node in await cluster.router.nodes()] == [stays.name]
        assert not [key for key in await cluster.left_behind() if gone.endpoint in key]
        for n in range(3):
            assert await cluster.routes(f"u{n}") == set()
            assert (await cluster.router.user(f"u{n}")).last_seen is not None
        assert await alice.nothing_came()


async def test_when_the_last_node_has_stopped_nothing_is_left_but_what_is_of_the_users(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2) as cluster:
        for number, node in enumerate(cluster.nodes):
            await cluster.connect(node, f"u{number}")
        assert (await cluster.router.send("u0", 1)).outcome is Outcome.DELIVERED
        assert await asyncio.gather(*(node.terminate() for node in cluster.nodes)) == [0, 0]
        await cluster.router.close()
        # Of the users, not of the nodes: their devices' places, and when they were last seen.
        assert await cluster.left_behind() == [
            f"{cluster.prefix}:{{u{number}}}:{what}"
            for number in range(2)
            for what in ("cursors", "seen")
        ]


async def test_messages_under_way_are_dealt_with_before_a_node_stops(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2, lease=PATIENT) as cluster:
        stops, stays = cluster.nodes
        leaves = await cluster.connect(stops, "alice")
        stops.pause()
        sending = asyncio.create_task(cluster.router.send("alice", "late", timeout=60))

        async def it_waits() -> bool:
            return await waiting_in(cluster, stops) == ["late"]

        await eventually(it_waits)
        alice = await cluster.connect(stays, "alice")
        ending = asyncio.create_task(stops.terminate())
        stops.resume()
        result = await sending
        assert result.outcome is Outcome.DELIVERED
        assert await ending == 0
        code, _, frames = await leaves.closed()
        assert code == 1012
        heard = [frame["data"] for frame in frames if frame["type"] == "message"]
        if not heard:
            heard = await alice.messages(1)
        assert heard == ["late"]


async def test_a_second_signal_ends_a_node_at_once_and_a_rescue_does_the_rest(
    store: EmbeddedServer,
) -> None:
    async with processes(store.address.url, 2, node={"drain_s": 600.0}) as cluster:
        stops, stays = cluster.nodes
        # A client that never answers: its last proof is waited for.
        async with RawClient(stops.address, "/ws?user=deaf") as deaf:
            await deaf.message()
            sending = asyncio.create_task(cluster.router.send("deaf", 1, timeout=60))
            await deaf.message()
            alice = await cluster.connect(stays, "alice")
            stops.tell(signal.SIGTERM)
            await eventually(lambda: "node is draining" in stops.said)
            stops.tell(signal.SIGINT)
            assert await stops.ended() == -signal.SIGINT
            assert "told twice to stop" in stops.said
        sending.cancel()

        async def only_one_is_left() -> bool:
            return [node.name for node in await cluster.router.nodes() if node.role == "node"] == [
                stays.name
            ]

        async def its_routes_are_gone() -> bool:  # which come after it is no longer listed
            return not await cluster.routes("deaf")

        await eventually(only_one_is_left, 30.0)
        await eventually(its_routes_are_gone)
        assert await alice.nothing_came()


async def test_a_signal_after_an_order_to_leave_is_only_the_first(store: EmbeddedServer) -> None:
    async with processes(store.address.url, 2) as cluster:
        node, _ = cluster.nodes
        for number in range(100):  # their goodbyes take a second
            await cluster.connect(node, f"u{number}")
        await cluster.router.drain(node.name)
        await eventually(lambda: "node is draining" in node.said)
        node.tell(signal.SIGTERM)
        assert await node.ended() == 0
        assert "told twice" not in node.said
