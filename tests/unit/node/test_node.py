import asyncio
import os
import signal
import socket

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from node.node import Node
from node.serve import serve
from router.errors import InvalidUser, ServerFailed, Unavailable
from router.model import Outcome, UserId
from router.store.embedded import EmbeddedServer
from scripts.measuring.ports import free_port_range
from tests.support.clients import Client, RawClient
from tests.support.cluster import Cluster, fast_settings
from tests.support.logs import Logs
from tests.support.serving import serving
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def no_errors(logs: Logs) -> None:
    """Fail a test in which an error is logged."""


class Hello(RequestHandler):
    def get(self) -> None:
        self.finish("hello")


async def test_a_node_lives_inside_an_application_of_your_own(
    store: EmbeddedServer, prefix: str
) -> None:
    node = await Node.start(fast_settings(prefix), store.address.url)
    routes = [*node.routes(), (r"/hello", Hello)]
    async with serving(routes, **node.app_settings()) as address:
        assert (await AsyncHTTPClient().fetch(f"http://{address}/hello")).body == b"hello"
        async with await Client.open(address, "alice") as alice:
            assert (await node.router.send("alice", 1)).outcome is Outcome.DELIVERED
            assert await alice.messages(1) == [1]
        await node.stop()


async def test_an_application_may_say_who_its_users_are(store: EmbeddedServer, prefix: str) -> None:
    def authenticate(request: HTTPServerRequest) -> UserId:
        if request.query_arguments["user"] != [b"secret"]:
            raise InvalidUser("wrong word")
        return UserId("alice")

    node = await Node.start(fast_settings(prefix), store.address.url, authenticate)
    async with serving(node.routes(), **node.app_settings()) as address:
        async with await Client.open(address, "secret") as alice:
            assert alice.greeting["user"] == "alice"
        with pytest.raises(Exception, match="HTTP 422"):
            await Client.open(address, "wrong")
        await node.stop()


# Tornado's bind_sockets lets go of a socket that it could not bind without closing it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_port_that_is_taken_is_named(prefix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = Node(fast_settings(prefix, node={"port": port}), "unix:///nowhere")
        with pytest.raises(ServerFailed, match=f"127.0.0.1:{port}: .*choose another node.port"):
            node.listen()


async def test_without_a_store_a_node_does_not_start_and_leaves_nothing_running(
    prefix: str,
) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(Unavailable):
        await Node.start(fast_settings(prefix), "unix:///nowhere")
    assert asyncio.all_tasks() == before


async def test_one_that_serves_gives_its_port_back_when_there_is_no_store(prefix: str) -> None:
    port = free_port_range(1)
    with pytest.raises(Unavailable):
        await serve(fast_settings(prefix, node={"port": port}), "unix:///nowhere")
    socket.create_server(("127.0.0.1", port)).close()


async def test_a_node_says_why_it_takes_nobody(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=1) as cluster:
        (node,) = cluster.nodes
        assert node.not_ready() is None
        await node.member.endpoint.stop()
        await eventually(lambda: node.not_ready() == "the node's lease has ended")
        await cluster.stop(node)
        assert node.not_ready() == "the node is draining"


async def test_a_node_that_has_not_begun_takes_nobody(prefix: str) -> None:
    node = Node(fast_settings(prefix), "unix:///nowhere")
    assert node.not_ready() == "the store is not available"


async def test_a_stopped_node_leaves_nothing_behind_but_what_users_come_back_to(
    store: EmbeddedServer,
) -> None:
    async with Cluster(store.address.url, nodes=2) as cluster:
        clients = [await cluster.connect(number % 2, f"u{number}") for number in range(4)]
        before = set(await cluster.left_behind())
        assert before
        for node in list(cluster.nodes):
            await cluster.stop(node)
        for number, client in enumerate(clients):
            code, _, frames = await client.closed()
            # The first node sent them to the second, the second had nowhere to send them.
            expected = (1012, "drain") if number % 2 == 0 else (1001, "node stopping")
            assert (code, frames[-1]["reason"]) == expected
            assert [frame["type"] for frame in frames] == ["goodbye"]
        assert await cluster.left_behind() == [
            f"{cluster.prefix}:{{u{number}}}:{what}"
            for number in range(4)
            for what in ("cursors", "seen")
        ]


async def test_no_task_outlives_a_stopped_node(store: EmbeddedServer, prefix: str) -> None:
    before = asyncio.all_tasks()
    node = Node(fast_settings(prefix), store.address.url)
    node.listen()
    await node.open()
    async with await Client.open(node.address, "alice"):
        pass
    await node.stop()

    def none_left() -> bool:
        return asyncio.all_tasks() == before

    await eventually(none_left)


async def test_one_that_waits_for_its_store_ends_when_it_is_told_to(prefix: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    serving_node = asyncio.create_task(serve(fast_settings(prefix), "unix:///nowhere", 60.0))
    await eventually(lambda: signal.getsignal(signal.SIGTERM) is not before)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await serving_node == 0


async def test_clients_that_prove_nothing_do_not_keep_a_node_from_stopping(
    store: EmbeddedServer,
) -> None:
    async with Cluster(store.address.url, nodes=1) as cluster, cluster.router() as router:
        (node,) = cluster.nodes
        async with RawClient(node.address, "/ws?user=deaf") as deaf:
            await deaf.message()
            sending = asyncio.create_task(router.send("deaf", 1, timeout=60.0))
            await eventually(lambda: node.delivery.counts.delivered == 1)
            await cluster.stop(node)
            result = await sending
    assert result.outcome is Outcome.UNKNOWN
    assert result.reason == "the connection closed before it proved receipt"
