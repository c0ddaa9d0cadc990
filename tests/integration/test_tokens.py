"""Users with tokens, over real sockets: who is let in, what they may do, and for how long."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from node import Node
from node.identity import Identity
from router.errors import Unauthenticated
from router.model import UserId
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.cluster import Cluster
from tests.support.keyserver import KeyServer
from tests.support.logs import Logs
from tests.support.tokens import OTHER_SECRET, SECRET, claims, forged, jwk, jwks, signed_for, token
from tests.support.waiting import eventually

AUTH = {"mode": "jwt", "secret": SECRET, "leeway_s": 0.0}


@pytest.fixture
async def cluster(store: EmbeddedServer) -> AsyncIterator[Cluster]:
    async with Cluster(store.address.url, 1, auth=AUTH) as cluster:
        yield cluster


async def entered(cluster: Cluster, text: str, **more: Any) -> Client:
    return await Client.open(cluster.nodes[0].address, "", token=text, **more)


async def refused(address: str, query: str = "", *protocols: str, **headers: str) -> Any:
    """Return the answer to a handshake that must be refused."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            f"ws://{address}/ws{query}",
            subprotocols=[Subprotocol(name) for name in protocols] or None,
            additional_headers=headers,
            proxy=None,
        )
    return caught.value.response


async def test_who_has_no_good_token_gets_401_and_nothing_else(cluster: Cluster) -> None:
    address = cluster.nodes[0].address
    bad = {
        "expired": token(life_s=-60),
        "alg none": forged({"alg": "none"}, claims()),
        "another secret": token(key=OTHER_SECRET),
        "no token": "nonsense",
        "too long": token(padding="x" * 4_096),
    }
    answers = {name: await refused(address, Authorization=f"Bearer {t}") for name, t in bad.items()}
    answers["none at all"] = await refused(address, "?user=alice")
    answers["in the query"] = await refused(address, f"?token={token()}")
    answers["subprotocol"] = await refused(address, "", f"switchboard.bearer.{bad['expired']}")
    answers["two"] = await refused(address, f"?token={token()}", Authorization=f"Bearer {token()}")
    for name, answer in answers.items():
        assert answer.status_code == 401, name
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="switchboard"', name
        assert b'"code":"unauthenticated"' in answer.body, name
        assert SECRET.encode() not in answer.body, name
    assert await cluster.redis.keys(f"{cluster.prefix}*alice*") == []


async def test_a_token_may_stand_in_a_header_a_subprotocol_or_shortly_in_the_query(
    cluster: Cluster,
) -> None:
    address = cluster.nodes[0].address
    async with await entered(cluster, token()) as client:
        assert (client.greeting["user"], client.greeting["device"]) == ("alice", "default")
    offers = [Subprotocol(f"switchboard.bearer.{token()}"), Subprotocol("switchboard.v1.json")]
    async with connect(f"ws://{address}/ws", subprotocols=offers, proxy=None) as socket:
        assert socket.subprotocol == "switchboard.v1.json"
        assert '"user":"alice"' in str(await socket.recv())
    async with connect(f"ws://{address}/ws?token={token(life_s=200)}", proxy=None) as socket:
        assert '"user":"alice"' in str(await socket.recv())


async def test_a_token_may_bind_the_device(cluster: Cluster) -> None:
    bound = token(device="phone")
    connection = await connect(
        f"ws://{cluster.nodes[0].address}/ws",
        additional_headers={"Authorization": f"Bearer {bound}"},
        proxy=None,
    )
    async with Client(connection) as client:
        assert (await client.expect("welcome"))["device"] == "phone"
    answer = await refused(cluster.nodes[0].address, "?device=web", Authorization=f"Bearer {bound}")
    assert answer.status_code == 403
    assert b"may only be the device 'phone'" in answer.body


async def test_rights_are_enforced_on_each_send(cluster: Cluster) -> None:
    async with (
        await entered(cluster, token("bob")) as bob,
        await entered(cluster, token("listener", can=[])) as listener,
        await entered(cluster, token("talker", can=["send"])) as talker,
        await entered(cluster, token("clerk", to=["b*", "team-*"])) as clerk,
    ):
        refusal = await listener.ask(type="send", ref=1, to="bob", data=1)
        assert (refusal["code"], refusal["message"]) == (
            "forbidden",
            "this session may only receive",
        )
        refusal = await talker.ask(type="send", ref=2, to="bob", data=2, durable=True)
        assert (refusal["code"], "durable" in refusal["message"]) == ("forbidden", True)
        assert (await talker.ask(type="send", ref=3, to="bob", data=3))["outcome"] == "delivered"
        for to in ("eve", ["bob", "eve"]):
            refusal = await clerk.ask(type="send", ref=4, to=to, data=4)
            assert (refusal["code"], "'eve'" in refusal["message"]) == ("forbidden", True)
        answer = await clerk.ask(type="send", ref=5, to=["bob", "team-7"], data=5)
        assert answer["outcomes"] == {"bob": "accepted", "team-7": "offline"}
        answer = await clerk.ask(type="send", ref=6, to="listener", data=6)
        assert answer["code"] == "forbidden"
        assert await bob.messages(2) == [3, 5]
        assert await listener.nothing_came()


async def test_a_session_is_told_renewed_in_place_and_closed_at_the_end(cluster: Cluster) -> None:
    async with await entered(cluster, token(life_s=2, can=[])) as client:
        told = await client.expect("expiring")
        first_end = told["expires_at"]
        refusal = await client.ask(type="refresh", ref=1, token=token("bob"))
        assert (refusal["code"], refusal["ref"]) == ("forbidden", 1)
        refusal = await client.ask(type="refresh", ref=2, token=token(life_s=-60))
        assert refusal["code"] == "unauthenticated"
        told = await client.ask(type="refresh", ref=3, token=token(life_s=2))
        assert told["type"] == "refreshed"
        assert told["expires_at"] != first_end
        await client.send(type="send", to="alice", data=1, confirm="written")
        assert {(await client.read())["type"] for _ in range(2)} == {"message", "outcome"}
        (session,) = await cluster.nodes[0].router.sessions("alice")
        assert session.session == client.session
        code, reason, frames = await client.closed()
        assert (code, reason) == (4401, "the token has expired")
        assert time.time() > told["expires_at"]
        assert [f["type"] for f in frames if f["type"] in {"expiring", "goodbye"}] == [
            "expiring",
            "goodbye",
        ]
        await eventually(lambda: cluster.nodes[0].counts.closed[4401] == 1)
    assert len(cluster.nodes[0].expiry._ends) == 0


async def test_keys_at_an_address_are_used_as_they_change(store: EmbeddedServer) -> None:
    async with KeyServer() as keys:
        keys.body = jwks(jwk("ES256", "a"))
        keys.status = "503 Away"
        auth = {"mode": "jwt", "algorithms": ["ES256", "EdDSA"], "jwks_url": keys.url}
        async with Cluster(store.address.url, 1, auth=auth) as cluster:
            node = cluster.nodes[0]
            old = signed_for("ES256", headers={"kid": "a"})
            answer = await refused(node.address, Authorization=f"Bearer {old}")
            assert answer.status_code == 503
            assert b"could not be fetched yet" in answer.body
            keys.status = "200 OK"
            await eventually(lambda: node.not_ready() is None)
            client = await entered(cluster, old)
            keys.body = jwks(jwk("EdDSA", "b"))
            node.gate._keys._again_s = 0.0  # type: ignore[attr-defined]
            async with await entered(cluster, signed_for("EdDSA", headers={"kid": "b"})) as other:
                assert other.greeting["user"] == "alice"
            answer = await refused(node.address, Authorization=f"Bearer {old}")
            assert answer.status_code == 401
            await keys.go_away()
            async with await entered(cluster, signed_for("EdDSA", headers={"kid": "b"})) as other:
                assert (await other.ask(type="send", ref=1, to="x", data=1))["outcome"] == "offline"
            assert await client.nothing_came()  # it was let in before
            await client.close()


class TestInsideAProgram:
    """A node whose program knows the users, and answers calls."""

    @staticmethod
    async def node(
        store: EmbeddedServer, cluster: Cluster, **functions: Callable[..., Any]
    ) -> Node:
        settings = cluster.settings(auth={"mode": "application"}, node={"name": "app"})
        node = await Node.start(settings, store.address.url, **functions)
        node.listen()
        return node

    async def test_it_says_who_comes_and_answers_calls(
        self, store: EmbeddedServer, logs: Logs
    ) -> None:
        logs.expect("authenticate has failed")

        def authenticate(request: HTTPServerRequest) -> Identity | str | None:
            name = request.headers.get("X-Name", "")
            if name == "bug":
                raise KeyError("the password is 1234")
            if name == "banned":
                raise Unauthenticated("banned since Monday")
            if name == "brief":
                return Identity(UserId("brief"), expires_at=time.time() + 1.0)
            return name or None

        async def on_message(caller: Any, data: Any) -> Any:
            return {"you": caller.user, "said": data}

        async with Cluster(store.address.url, 0, auth={"leeway_s": 0.0}) as cluster:
            node = await self.node(store, cluster, authenticate=authenticate, on_message=on_message)
            try:
                assert (await refused(node.address)).status_code == 401
                answer = await refused(node.address, **{"X-Name": "banned"})
                assert b"banned since Monday" in answer.body
                answer = await refused(node.address, **{"X-Name": "bug"})
                assert answer.status_code == 500
                assert b'"code":"application_failed"' in answer.body
                assert b"1234" not in answer.body
                assert node.counts.failures["authenticate"] == 1
                url = f"ws://{node.address}/ws"
                headers = {"X-Name": "alice"}
                async with connect(url, additional_headers=headers, proxy=None) as socket:
                    client = Client(socket)
                    assert (await client.expect("welcome"))["user"] == "alice"
                    reply = await client.ask(type="call", ref=7, data=[1])
                    assert reply["data"] == {"you": "alice", "said": [1]}
                    refusal = await client.ask(type="refresh", ref=8, token="a.b.c")
                    assert refusal["code"] == "unauthenticated"
                headers = {"X-Name": "brief"}
                async with connect(url, additional_headers=headers, proxy=None) as socket:
                    code, _, frames = await Client(socket).closed()
                    assert code == 4401
                    assert [frame["type"] for frame in frames] == ["welcome", "goodbye"]
            finally:
                await node.stop()

    async def test_without_on_message_a_call_is_not_supported(self, store: EmbeddedServer) -> None:
        async with Cluster(store.address.url, 1) as cluster:
            async with await Client.open(cluster.nodes[0].address, "alice") as client:
                refusal = await client.ask(type="call", ref=7, data=[1])
                assert refusal["code"] == "unsupported"
