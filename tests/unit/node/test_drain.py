"""Leaving the cluster in order."""

import asyncio
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient

from node import drain as drain_module
from node.node import Node
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.cluster import Cluster, endpoint_of
from tests.support.logs import Logs
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def no_errors(logs: Logs) -> None:
    """Fail a test in which an error is logged."""


async def leave(cluster: Cluster, node: Node) -> "asyncio.Task[None]":
    """Begin to drain a node; go on when it has begun."""
    ending = asyncio.create_task(cluster.stop(node))
    await eventually(lambda: node.drain.begun)
    return ending


@pytest.fixture
def slow_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the drain take as long as its deadline allows, however few sessions there are."""
    monkeypatch.setattr(drain_module, "window_s", lambda sessions, longest_s: longest_s)


class TestAnnouncing:
    @pytest.mark.usefixtures("slow_window")
    async def test_the_registry_shows_it_and_no_new_session_is_taken(
        self, store: EmbeddedServer
    ) -> None:
        async with Cluster(store.address.url, nodes=2) as cluster, cluster.router() as router:
            node = cluster.nodes[0]
            clients = [await cluster.connect(node, f"u{number}") for number in range(8)]
            ending = await leave(cluster, node)

            async def shown() -> bool:
                states = {each.name: each.state for each in await router.nodes()}
                return states == {"n1": "draining", "n2": "live"}

            await eventually(shown)
            answer = await AsyncHTTPClient().fetch(
                f"http://{node.address}/ws?user=late", raise_error=False
            )
            assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
            # Who was not told yet is reachable as ever.
            outcomes = [(await router.send(f"u{n}", 1)).outcome for n in range(8)]
            assert Outcome.DELIVERED in outcomes
            await ending
            for client in clients:
                code, _, frames = await client.closed()
                assert (code, frames[-1]["reason"]) == (1012, "drain")


class TestSendingAway:
    async def test_where_nobody_is_nothing_takes_long(self, store: EmbeddedServer) -> None:
        async with Cluster(store.address.url, nodes=2) as cluster:
            async with asyncio.timeout(2.0):  # of the five that it might take
                await cluster.stop(cluster.nodes[0])

    @pytest.mark.usefixtures("slow_window")
    async def test_who_goes_by_itself_is_fine(self, store: EmbeddedServer) -> None:
        async with Cluster(store.address.url, nodes=2) as cluster:
            node = cluster.nodes[0]
            clients = [await cluster.connect(node, f"u{number}") for number in range(4)]
            ending = await leave(cluster, node)
            for client in clients:
                await client.close()
            await ending
            assert len(node.hub) == 0

    @pytest.mark.usefixtures("slow_window")
    async def test_when_the_last_other_node_leaves_too_nobody_waits(
        self, store: EmbeddedServer
    ) -> None:
        async with Cluster(store.address.url, nodes=2, node={"drain_s": 60.0}) as cluster:
            nodes = list(cluster.nodes)
            clients = [await cluster.connect(n % 2, f"u{n}") for n in range(12)]
            async with asyncio.timeout(20.0):  # of the thirty that the window has
                await asyncio.gather(*(cluster.stop(node) for node in nodes))
            codes = {(await client.closed())[0] for client in clients}
            assert 1001 in codes
            assert codes <= {1001, 1012}

    async def test_told_that_all_leave_it_does_not_even_look(self, store: EmbeddedServer) -> None:
        async with Cluster(store.address.url, nodes=2, node={"drain_s": 60.0}) as cluster:
            clients = [await cluster.connect(0, f"u{number}") for number in range(3)]
            async with asyncio.timeout(20.0):
                await cluster.nodes.pop(0).stop(all_leave=True)
            for client in clients:
                code, reason, frames = await client.closed()
                assert (code, reason) == (1001, "node stopping")
                assert 0 <= frames[-1]["reconnect_after_ms"] <= 2_000


class TestFinishing:
    async def test_a_send_under_way_here_hears_its_outcome(self, store: EmbeddedServer) -> None:
        async with Cluster(store.address.url, nodes=2) as cluster:
            leaves, stays = cluster.nodes
            async with RawClient(stays.address, "/ws?user=slow") as slow:
                await slow.message()
                sending = asyncio.create_task(leaves.router.send("slow", 1, timeout=60))
                await eventually(lambda: stays.delivery.counts.delivered == 1)
                ending = await leave(cluster, leaves)
                await slow.message()
                await slow.answer()  # the pong
                assert (await sending).outcome is Outcome.DELIVERED
                await ending

    async def test_an_inbox_that_does_not_get_empty_is_sent_on_at_once(
        self, store: EmbeddedServer, logs: Logs
    ) -> None:
        async with (
            Cluster(store.address.url, nodes=1) as cluster,
            Proxy(store.address.socket, store.address.login) as proxy,
            cluster.router() as router,
        ):
            (stays,) = cluster.nodes
            leaves = await cluster.start("n2", proxy.url, inbox={"block_s": 60.0})
            endpoint = endpoint_of(leaves)
            before = await cluster.connect(leaves, "alice")
            hung = proxy.when(b"BLMOVE", Fault.HANG)  # its reader is deaf from here on
            await router.send("alice", "wake up", timeout=0.2)
            await hung.wait()
            sending = asyncio.create_task(router.send("alice", "late", timeout=60))

            async def it_waits() -> bool:
                return await cluster.inbox(leaves) >= 1

            await eventually(it_waits)
            alice = await cluster.connect(stays, "alice")
            await before.close()
            await cluster.stop(leaves)
            assert (await sending).outcome is Outcome.DELIVERED
            assert await alice.messages(1) == ["late"]
            assert logs.events("the inbox did not get empty, sending on what is in it")
            left = [key for key in await cluster.left_behind() if endpoint in key]
            assert left == []
            assert [node.name for node in await router.nodes() if node.role == "node"] == ["n1"]

    async def test_without_a_store_it_ends_all_the_same(self, store: EmbeddedServer) -> None:
        async with (
            Cluster(store.address.url, nodes=1) as cluster,
            Proxy(store.address.socket, store.address.login) as proxy,
        ):
            node = await cluster.start("cut", proxy.url)
            alice = await cluster.connect(node, "alice")
            await proxy.refuse()
            await eventually(lambda: not node.member.store.up)
            await cluster.stop(node)
            assert (await alice.closed())[0] in (1001, 1012)

    async def test_what_takes_too_long_is_left_to_a_rescue(
        self, store: EmbeddedServer, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def never(*_: Any) -> None:
            await asyncio.Event().wait()

        async with Cluster(store.address.url, nodes=1, node={"drain_s": 0.5}) as cluster:
            (node,) = cluster.nodes
            monkeypatch.setattr(node.drain, "_last_words", never)
            await cluster.stop(node)
            assert logs.events("not everything was done in time")
            # Its inbox is still open, and whoever is alive will rescue it.
            await cluster.redis.delete(cluster.keys.lease(endpoint_of(node)))
            await cluster.start("n2")

            async def rescued() -> bool:
                return len(await cluster.redis.smembers(cluster.keys.endpoints)) == 1

            await eventually(rescued)
