"""The node, its API and the commands in the delivery modes beside routed."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from unittest.mock import patch

import pytest
from tornado.httpclient import AsyncHTTPClient

from node.node import Node
from router.errors import Unavailable
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from router.transport import broker
from router.transport.fanout import FanoutTransport
from scripts.measuring.rabbit import Rabbit
from tests.support.cli import Answer, call
from tests.support.clients import Client
from tests.support.cluster import Cluster, fields_of
from tests.support.rabbit import START_S
from tests.support.waiting import eventually

MODES: Final = ("channel", "broadcast", "fanout")


@pytest.fixture(autouse=True)
def quick_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Come back to a broker soon; of the library's log, hear what our programs hear."""
    monkeypatch.setattr(broker, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(broker, "_LONGEST_PAUSE_S", 0.2)
    logger = logging.getLogger("aiormq.connection")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def delivery(mode: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if mode != "fanout":
        return {"mode": mode}
    rabbit: Rabbit = request.getfixturevalue("rabbit")
    return {"mode": mode, "amqp_url": rabbit.url}


@pytest.fixture(params=MODES)
async def modes(request: pytest.FixtureRequest, store: EmbeddedServer) -> AsyncIterator[Cluster]:
    """Two nodes, in each mode."""
    settings = delivery(request.param, request)
    async with Cluster(store.address.url, nodes=2, delivery=settings) as found:
        yield found


async def ask(cluster: Cluster, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return the status and the document of an answer of the first node's API."""
    answer = await AsyncHTTPClient().fetch(
        f"http://{cluster.nodes[0].address}{path}",
        method=method,
        body=json.dumps(body) if body is not None else None,
        raise_error=False,
    )
    return answer.code, json.loads(answer.body)


async def switchboard(cluster: Cluster, *arguments: str) -> Answer:
    """Run a command against a cluster."""
    settings = cluster.settings()
    environment = {
        "SWITCHBOARD_REDIS__URL": cluster.url,
        "SWITCHBOARD_REGISTRY__PREFIX": cluster.prefix,
        "SWITCHBOARD_DELIVERY__MODE": settings.delivery.mode,
        "SWITCHBOARD_DELIVERY__AMQP_URL": settings.delivery.amqp_url,
    }
    with patch.dict(os.environ, environment):
        return await asyncio.to_thread(call, *arguments)


async def test_clients_reach_each_other_and_hear_what_is_known(modes: Cluster) -> None:
    alice, bob = await modes.connect(0, "alice"), await modes.connect(1, "bob")
    outcome = await bob.ask(type="send", ref=1, to="alice", data={"x": 1})
    assert outcome["outcome"] == "accepted"
    message = await alice.expect("message")
    assert (message["from"], message["data"], message["id"]) == ("bob", {"x": 1}, outcome["id"])
    for level in ("written", "delivered"):
        refused = await bob.ask(type="send", ref=2, to="alice", data=1, confirm=level)
        assert (refused["type"], refused["code"]) == ("error", "unsupported")
        assert refused["field"] == "confirm"
    several = await bob.ask(type="send", ref=3, to=["alice", "eve"], data=2, confirm="accepted")
    assert several["outcomes"] == {"alice": "accepted", "eve": "accepted"}
    assert await alice.messages(1) == [2]
    assert await alice.nothing_came()


async def test_the_api_says_what_the_mode_can_promise_and_refuses_the_rest(modes: Cluster) -> None:
    alice = await modes.connect(1, "alice")
    mode = modes.settings().delivery.mode
    status, stats = await ask(modes, "GET", "/api/v1/stats")
    assert (status, stats["mode"], stats["confirms"]) == (200, mode, ["accepted"])
    path = "/api/v1/users/alice/messages"
    for body in ({"data": 1}, {"data": 1, "confirm": None}, {"data": 1, "confirm": "accepted"}):
        status, sent = await ask(modes, "POST", path, body)
        assert (status, sent["outcome"]) == (202, "accepted")
    assert await alice.messages(3) == [1, 1, 1]
    status, problem = await ask(modes, "POST", path, {"data": 1, "confirm": "delivered"})
    assert (status, problem["code"], problem["field"]) == (422, "unsupported", "confirm")
    status, sent = await ask(modes, "POST", "/api/v1/messages", {"to": ["alice"], "data": 2})
    assert (status, sent["outcomes"]) == (202, {"alice": "accepted"})
    assert await alice.messages(1) == [2]
    assert (await ask(modes, "POST", "/api/v1/broadcast", {"data": 3}))[0] == 202
    assert await alice.messages(1) == [3]
    assert await alice.nothing_came()


async def test_the_commands_work(modes: Cluster) -> None:
    alice = await modes.connect(1, "alice", device="web")
    sent = await switchboard(modes, "send", "alice", "1", "--json")
    assert (sent.status, sent.err, json.loads(sent.out)["outcome"]) == (0, "", "accepted")
    assert await alice.messages(1) == [1]
    refused = await switchboard(modes, "send", "alice", "1", "--confirm", "delivered")
    assert (refused.status, refused.out) == (2, "")
    assert "can only promise: accepted" in refused.err
    users = json.loads((await switchboard(modes, "users", "--json")).out)["users"]
    assert [(user["user"], user["nodes"]) for user in users] == [("alice", ["n2"])]
    user = json.loads((await switchboard(modes, "user", "alice", "--json")).out)
    assert [session["device"] for session in user["sessions"]] == ["web"]
    nodes = json.loads((await switchboard(modes, "nodes", "--json")).out)["nodes"]
    assert [(node["name"], node["state"]) for node in nodes] == [("n1", "live"), ("n2", "live")]
    kicked = await switchboard(modes, "kick", "alice", "--json")
    assert (kicked.status, json.loads(kicked.out)) == (0, {"closed": 1})
    assert (await alice.closed())[0] == 4410


async def test_two_sessions_here_the_last_one_ends_it(modes: Cluster) -> None:
    phone = await modes.connect(0, "alice", device="phone")
    web = await modes.connect(0, "alice", device="web")
    async with modes.router() as router:
        await router.send("alice", "both")
        assert await phone.messages(1) == await web.messages(1) == ["both"]
        await phone.close()
        await eventually_routes(modes, "alice", {web})
        await router.send("alice", "one")
        assert await web.messages(1) == ["one"]
        await web.close()
        await eventually_routes(modes, "alice", set())
        before = modes.received()
        result = await router.send("alice", "nobody")
        assert result.outcome is Outcome.ACCEPTED
        if modes.settings().delivery.mode == "channel":
            assert await modes.redis.pubsub_channels(f"{modes.prefix}:*") == []
            return
        await eventually(lambda: modes.received()[0] == before[0] + 1)


async def eventually_routes(cluster: Cluster, user: str, clients: set[Client]) -> None:
    async def so() -> bool:
        return await cluster.routes(user) == fields_of(clients, cluster.nodes)

    await eventually(so)


async def test_only_the_nodes_that_must_hear_of_a_message_do(modes: Cluster) -> None:
    await modes.connect(0, "bob")
    alice = await modes.connect(1, "alice")
    async with modes.router() as router:
        for number in range(5):
            await router.send("alice", number)
    assert await alice.messages(5) == list(range(5))
    filtered = 0 if modes.settings().delivery.mode == "channel" else 5
    await eventually(lambda: modes.received() == [filtered, 5])
    assert modes.delivered() == [0, 5]


async def test_a_user_who_leaves_and_comes_back_at_once_stays_reachable(modes: Cluster) -> None:
    client = await modes.connect(0, "alice")
    async with modes.router() as router:
        for number in range(15):
            leaving, client = asyncio.ensure_future(client.close()), await modes.connect(0, "alice")
            await router.send("alice", number)
            assert await client.messages(1) == [number]
            await leaving
    await eventually_routes(modes, "alice", {client})


@pytest.mark.parametrize("mode", MODES)
async def test_after_a_restart_of_the_store_all_users_are_reachable_again(
    request: pytest.FixtureRequest, own_store: EmbeddedServer, mode: str
) -> None:
    settings = delivery(mode, request)
    async with Cluster(own_store.address.url, nodes=2, delivery=settings) as cluster:
        clients = [await cluster.connect(number % 2, f"u{number}") for number in range(6)]
        own_store.kill()
        await eventually(lambda: not any(node.member.store.up for node in cluster.nodes))
        own_store.launch()
        await eventually(own_store.ready)
        async with cluster.router() as router:
            for client in clients:
                await reachable(client, router.send)
        await eventually(lambda: all(node.not_ready() is None for node in cluster.nodes))


async def test_after_a_restart_of_the_broker_all_users_are_reachable_again(
    request: pytest.FixtureRequest, store: EmbeddedServer, rabbit: Rabbit
) -> None:
    settings = delivery("fanout", request)
    async with Cluster(store.address.url, nodes=2, delivery=settings) as cluster:
        clients = [await cluster.connect(number, f"u{number}") for number in range(2)]
        async with cluster.router() as router, cluster.router() as late:
            await reachable(clients[0], router.send)
            rabbit.kill()

            async def refused() -> bool:
                try:
                    await router.send("u0", "lost")
                except Unavailable as exc:
                    return str(exc).startswith("the broker at 127.0.0.1:")
                return False

            await eventually(refused)
            with pytest.raises(Unavailable, match="the broker at"):
                await late.send("u0", "never connected")
            await eventually(lambda: not any(consuming(node) for node in cluster.nodes))
            newcomer = await Client.open(cluster.nodes[0].address, "u9", welcomed=False)
            assert (await newcomer.closed())[0] == 1013
            status, problem = await ask(cluster, "POST", "/api/v1/users/u0/messages", {"data": 1})
            assert (status, problem["code"]) == (503, "unavailable")
            assert (await ask(cluster, "GET", "/api/v1/users/u0"))[1]["online"]
            rabbit.launch()
            await eventually(rabbit.answers, START_S)
            for client in clients:
                await reachable(client, router.send)
            await reachable(clients[0], late.send)


def consuming(node: Node) -> bool:
    transport = node.member.transport
    assert isinstance(transport, FanoutTransport)
    return transport._consumer.up


async def reachable(client: Client, send: Any) -> None:
    """Send until a message comes; what was sent before the way was clear is gone."""
    user = client.greeting["user"]
    ids = []

    async def came() -> bool:
        try:
            ids.append((await send(user, "there?")).id)
            return (await client.read(0.5))["id"] in ids
        except (Unavailable, TimeoutError):
            return False

    await eventually(came, 30.0)
