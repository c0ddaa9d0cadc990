"""Every SDK against real nodes: outcomes, resuming, nodes that stop or are killed."""

import asyncio
import time

import pytest

from node.node import Node
from router.aio import Router
from router.model import UserId
from router.store.embedded import EmbeddedServer
from tests.conformance.drivers import Driver, Failed
from tests.support.cluster import Cluster
from tests.support.node_processes import NodeProcess, processes
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually


def url_of(node: Node | NodeProcess) -> str:
    return f"ws://{node.address}/ws"


async def store_for(router: Router, user: str, numbers: range) -> list[str]:
    """Send durable messages with these numbers; return their outcomes."""
    results = [await router.send(user, n, durable=True, confirm="accepted") for n in numbers]
    return [result.outcome.value for result in results]


async def noted(cluster: Cluster, offset: str) -> None:
    """Wait until the store knows that alice's device has acknowledged everything up to `offset`."""
    cursors = cluster.keys.cursors(UserId("alice"))

    async def is_there() -> bool:
        cursor = await cluster.redis.hget(cursors, "web")
        return cursor is not None and cursor.decode().split()[0] == offset

    await eventually(is_there)


async def test_outcomes_are_those_of_the_nodes(driver: Driver, store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, 2) as cluster:
        opened = await driver.opened(url_of(cluster.nodes[0]))
        assert (opened["node"], opened["resumed"]) == ("n1", False)
        bob = await cluster.connect(1, "bob")
        result = await driver.send("bob", {"order": 42})
        assert (result["outcome"], result["user"]) == ("delivered", "bob")
        frame = await bob.expect("message")
        assert (frame["id"], frame["from"]) == (result["id"], "alice")
        assert frame["data"] == {"order": 42}
        assert (await driver.send("bob", 1, confirm="accepted"))["outcome"] == "accepted"
        assert (await driver.send("nobody", 1))["outcome"] == "offline"
        assert (await driver.send("nobody", 1, durable=True))["outcome"] == "queued"
        first = await driver.send("nobody", 2, durable=True, key="k")
        again = await driver.send("nobody", 2, durable=True, key="k")
        assert (again["outcome"], again["id"]) == ("duplicate", first["id"])
        for to, code in (("no such user", "invalid_user"), ("x" * 200, "invalid_user")):
            with pytest.raises(Failed) as failed:
                await driver.send(to, 1)
            assert failed.value.code == code


async def test_a_session_outlives_its_token(driver: Driver, store: EmbeddedServer) -> None:
    pages = ["http://127.0.0.1:9"]  # that of the driver `chromium`
    auth = {"mode": "jwt", "secret": SECRET, "leeway_s": 0.0, "origins": pages}
    async with Cluster(store.address.url, 1, auth=auth) as cluster:
        node = cluster.nodes[0]
        opened = await driver.opened(url_of(node), tokens=[token(life_s=2), token(life_s=200)])
        (session,) = node.hub
        ends_at = session.identity.expires_at
        await eventually(lambda: session.identity.expires_at > ends_at)
        await eventually(lambda: time.time() > ends_at + 2)
        assert (await driver.send("nobody", 1))["outcome"] == "offline"
        assert session.id == opened["session"]
        assert not session.closed


async def test_a_sender_can_wait_for_the_application(driver: Driver, store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, 1) as cluster, cluster.router() as router:
        await driver.opened(url_of(cluster.nodes[0]))
        durable = await router.send("alice", 1, durable=True, confirm="acked")
        assert durable.outcome == "acked"
        plain = await router.send("alice", 2)
        assert plain.outcome == "delivered"
        assert await driver.messages(2) == [1, 2]


async def test_what_came_meanwhile_is_told_once_and_in_order(
    driver: Driver, store: EmbeddedServer
) -> None:
    async with Cluster(store.address.url, 2) as cluster, cluster.router() as router:
        await driver.opened(*map(url_of, cluster.nodes))
        await store_for(router, "alice", range(1, 11))
        assert await driver.messages(10) == list(range(1, 11))
        await cluster.stop(cluster.nodes[0])
        await driver.state("waiting")
        await store_for(router, "alice", range(11, 21))
        assert (await driver.state("open"))["node"] == "n2"
        await store_for(router, "alice", range(21, 31))
        assert await driver.messages(20) == list(range(11, 31))
        assert len(driver.heard("message")) == 30
        assert driver.heard("gap") == []


async def test_the_next_client_of_a_device_goes_on_where_the_last_one_was(
    driver: Driver, store: EmbeddedServer
) -> None:
    async with Cluster(store.address.url, 1) as cluster, cluster.router() as router:
        url = url_of(cluster.nodes[0])
        await driver.opened(url)
        await store_for(router, "alice", range(3))
        messages = [await driver.next("message") for _ in range(3)]
        assert [message["data"] for message in messages] == [0, 1, 2]
        await noted(cluster, messages[-1]["offset"])
        await driver.do("close")
        await eventually(lambda: _is_away(router, "alice"))
        assert await store_for(router, "alice", range(3, 5)) == ["queued"] * 2
        assert (await driver.opened(url))["resumed"] is True
        replayed = [await driver.next("message") for _ in range(2)]
        assert [message["data"] for message in replayed] == [3, 4]
        assert all(message["replay"] for message in replayed)


async def test_what_the_application_has_not_handled_comes_again(
    driver: Driver, store: EmbeddedServer
) -> None:
    async with Cluster(store.address.url, 1) as cluster, cluster.router() as router:
        url = url_of(cluster.nodes[0])
        await driver.do("ack_mode", manual=True)
        await driver.opened(url)
        await store_for(router, "alice", range(3))
        messages = [await driver.next("message") for _ in range(3)]
        await driver.do("ack", id=messages[0]["id"])
        await noted(cluster, messages[0]["offset"])
        await driver.do("close")
        await driver.opened(url)
        assert await driver.messages(2) == [1, 2]


async def test_a_mailbox_that_is_not_what_it_was_is_told(
    driver: Driver, store: EmbeddedServer
) -> None:
    async with Cluster(store.address.url, 1) as cluster:
        opened = await driver.opened(url_of(cluster.nodes[0]), since="5-0")
        assert opened["resumed"] is False
        await driver.next("gap")


async def test_a_long_replay_to_a_slow_application_is_whole(
    driver: Driver, store: EmbeddedServer
) -> None:
    async with Cluster(store.address.url, 1) as cluster, cluster.router() as router:
        await store_for(router, "alice", range(300))
        await driver.opened(url_of(cluster.nodes[0]), handler_s=0.002, max_messages=16)
        assert await driver.messages(300) == list(range(300))
        assert len(driver.heard("message")) == 300


async def _is_away(router: Router, user: str) -> bool:
    return not await router.sessions(user)


class TestProcesses:
    async def test_a_node_that_is_killed(self, driver: Driver, store: EmbeddedServer) -> None:
        async with processes(store.address.url, 2) as cluster:
            first, second = cluster.nodes
            await driver.opened(url_of(first), url_of(second))
            sending = asyncio.create_task(_send_all(cluster.router, "alice", 60))
            assert await driver.messages(5) == list(range(5))
            await first.kill()
            assert (await driver.state("open"))["node"] == "n2"
            await sending
            assert await driver.messages(55) == list(range(5, 60))
            assert len(driver.heard("message")) == 60
            assert driver.heard("gap") == []

    async def test_a_node_that_is_stopped_says_when_to_come_back(
        self, driver: Driver, store: EmbeddedServer
    ) -> None:
        async with processes(store.address.url, 2) as cluster:
            first, second = cluster.nodes
            # Without the node's word it would wait for a minute, or not at all.
            await driver.opened(url_of(first), url_of(second), retry_base_s=60, retry_cap_s=60)
            assert await first.terminate() == 0
            assert (await driver.state("open"))["node"] == "n2"

    async def test_a_send_that_is_repeated_does_not_double(
        self, driver: Driver, store: EmbeddedServer
    ) -> None:
        async with processes(store.address.url, 2) as cluster:
            first, second = cluster.nodes
            await driver.opened(url_of(first), url_of(second))
            bob = await cluster.connect(second, "bob")
            second.pause()  # nobody can answer now
            answer = driver.start("send", to="bob", data="once", durable=True, timeout_s=60)
            await eventually(lambda: cluster.inbox(second))
            await first.kill()
            await driver.state("waiting")
            second.resume()
            assert (await answer)["outcome"] == "duplicate"
            assert (await bob.expect("message"))["data"] == "once"
            assert await bob.nothing_came()


async def _send_all(router: Router, user: str, count: int) -> None:
    for number in range(count):
        await router.send(user, number, durable=True, confirm="accepted")
        await asyncio.sleep(0.02)
