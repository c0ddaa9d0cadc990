"""What clients run into who send too much, or who are too many; over real sockets."""

import asyncio
import json
from collections import Counter

import pytest
from tornado.httpclient import AsyncHTTPClient
from websockets.exceptions import InvalidStatus

from router.model import Outcome
from router.settings import LimitSettings
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.cluster import Cluster
from tests.support.waiting import eventually


def one_node(store: EmbeddedServer, **limits: float) -> Cluster:
    return Cluster(store.address.url, nodes=1, limits=limits)


def hits(cluster: Cluster) -> Counter[str]:
    return cluster.nodes[0].counts.limits


class TestOneSession:
    async def test_what_comes_too_fast_is_read_later_and_none_of_it_is_lost(
        self, store: EmbeddedServer
    ) -> None:
        async with one_node(store, frames_per_second=200.0, frames_burst=10) as cluster:
            alice, bob = [await cluster.connect(0, user) for user in ("alice", "bob")]
            for number in range(60):
                await alice.send(type="send", to="bob", data=number, confirm="written", ref=number)
            assert await bob.messages(60) == list(range(60))
            answers = [await alice.expect("outcome") for _ in range(60)]
            assert [answer["ref"] for answer in answers] == list(range(60))
            assert set(hits(cluster)) == {"frames"}

    async def test_bytes_are_bounded_as_frames_are(self, store: EmbeddedServer) -> None:
        limits = {"bytes_per_second": 65_536}
        async with one_node(store, **limits) as cluster:
            alice, bob = [await cluster.connect(0, user) for user in ("alice", "bob")]
            for _ in range(3):
                await alice.send(type="send", to="bob", data="x" * 32_000, confirm="written")
            assert [len(data) for data in await bob.messages(3)] == [32_000] * 3
            assert set(hits(cluster)) == {"bytes"}

    async def test_proofs_and_acknowledgements_of_what_it_was_sent_count_for_nothing(
        self, store: EmbeddedServer
    ) -> None:
        async with one_node(store, frames_per_second=1.0, frames_burst=5) as cluster:
            alice = await cluster.connect(0, "alice", ack="manual")
            async with cluster.router() as router:
                for number in range(30):
                    result = await router.send("alice", number)
                    assert result.outcome is Outcome.DELIVERED
                    frame = await alice.expect("message")
                    await alice.send(type="ack", id=frame["id"])
            assert await alice.nothing_came()
            assert not hits(cluster)

    async def test_acknowledgements_of_nothing_count(self, store: EmbeddedServer) -> None:
        async with one_node(store, frames_per_second=200.0, frames_burst=5) as cluster:
            alice = await cluster.connect(0, "alice", ack="manual")
            for number in range(20):
                await alice.send(type="ack", id=f"made-up-{number}")
            assert await alice.nothing_came()
            assert hits(cluster)["frames"]

    async def test_control_frames_and_fragments_count_too(self, store: EmbeddedServer) -> None:
        async with one_node(store, frames_per_second=200.0, frames_burst=5) as cluster:
            alice = await cluster.connect(0, "alice")
            for _ in range(20):
                await alice.connection.pong(b"nobody asked")
            assert await alice.nothing_came()
            pongs = hits(cluster)["frames"]
            assert pongs
            await alice.connection.send(iter('{"type":"ping"}'))
            await alice.expect("pong")
            assert hits(cluster)["frames"] > pongs

    async def test_text_that_is_not_utf_8_closes_with_1008(self, store: EmbeddedServer) -> None:
        async with one_node(store) as cluster:
            alice = await cluster.connect(0, "alice")
            await alice.connection.send(b'{"type":"\xff"}', text=True)
            assert await alice.closed() == (1008, "a text frame is not UTF-8", [])
            assert hits(cluster) == {"utf8": 1}

    async def test_a_list_too_long_is_refused_with_its_ref(self, store: EmbeddedServer) -> None:
        async with one_node(store, frame_recipients=2, call_recipients=2) as cluster:
            alice = await cluster.connect(0, "alice")
            answer = await alice.ask(type="send", to=["a", "b", "c"], data=1, ref=7)
            assert (answer["code"], answer["message"]) == (
                "invalid_request",
                "to: has at most 2 users",
            )
            assert (await alice.ask(type="send", to=["a", "b"], data=1, ref=8))["outcomes"]
            status, problem = await post(cluster, "/api/v1/messages", to=["a", "b", "c"], data=1)
            assert (status, problem["detail"]) == (422, "to: has at most 2 users")
            assert hits(cluster) == {"frame_recipients": 1, "call_recipients": 1}


async def post(cluster: Cluster, path: str, **body: object) -> tuple[int, dict[str, object]]:
    url = f"http://{cluster.nodes[0].address}{path}"
    text = body["raw"] if "raw" in body else json.dumps(body)
    answer = await AsyncHTTPClient().fetch(
        url,
        method="POST",
        body=str(text),
        headers={"Content-Type": "application/json"},
        raise_error=False,
    )
    return answer.code, json.loads(answer.body)


class TestDepth:
    async def test_data_at_the_limit_passes_and_one_level_more_is_refused_on_every_way(
        self, store: EmbeddedServer
    ) -> None:
        async with one_node(store) as cluster:
            alice = await cluster.connect(0, "alice")
            packed = await cluster.connect(0, "bob", protocol="switchboard.v1.msgpack")
            fits, deeper = [nested(levels) for levels in (64, 65)]
            for sender in (alice, packed):
                told = await sender.ask(type="send", to="eve", data=fits, ref=1)
                assert told["outcome"] == "offline"
                told = await sender.ask(type="send", to="eve", data=deeper, ref=2)
                assert told["code"] == "invalid_request"
            path = "/api/v1/users/eve/messages"
            assert (await post(cluster, path, data=fits))[0] == 200
            status, problem = await post(cluster, path, data=deeper)
            assert (status, problem["field"]) == (422, "data")

    @pytest.mark.parametrize("levels", [900, 30_000])
    async def test_however_deep_it_is_the_node_answers_and_goes_on(
        self, store: EmbeddedServer, levels: int
    ) -> None:
        async with one_node(store) as cluster:
            alice = await cluster.connect(0, "alice")
            data = "[" * levels + "]" * levels
            await alice.connection.send(f'{{"type":"send","to":"eve","ref":1,"data":{data}}}')
            assert (await alice.expect("error"))["code"] in ("invalid_request", "bad_frame")
            await alice.connection.send(f'{{"type":"ping","other":{data}}}')
            assert (await alice.read())["type"] in ("error", "pong")
            for path in ("users/eve/messages", "messages", "users/query"):
                raw = f'{{"to":["eve"],"users":["eve"],"data":{data}}}'
                assert (await post(cluster, f"/api/v1/{path}", raw=raw))[0] in (400, 422)
                raw = data
                assert (await post(cluster, f"/api/v1/{path}", raw=raw))[0] in (400, 422)
            assert await alice.nothing_came()


def nested(levels: int) -> list[object]:
    found: list[object] = []
    for _ in range(levels - 1):
        found = [found]
    return found


class TestOneUser:
    async def test_all_sessions_share_a_rate_and_what_is_refused_says_when_to_come_again(
        self, store: EmbeddedServer
    ) -> None:
        limits = {"user_messages_per_second": 2.0, "user_messages_burst": 4, "user_refusals": 9_999}
        async with one_node(store, **limits) as cluster:
            one, other = [await cluster.connect(0, "alice") for _ in range(2)]
            for number, client in enumerate((one, other, one, other)):
                answer = await client.ask(type="send", to="eve", data=1, ref=number)
                assert answer["outcome"] == "offline"
            answer = await one.ask(type="send", to="eve", data=1, ref=9)
            assert (answer["type"], answer["code"]) == ("error", "too_many")
            assert "limits.user_messages_per_second" in answer["message"]
            assert 1 <= answer["retry_after_ms"] <= 500
            bob = await cluster.connect(0, "bob")
            assert (await bob.ask(type="send", to="eve", data=1, ref=1))["outcome"] == "offline"

            async def passes_again() -> bool:
                answer = await other.ask(type="send", to="eve", data=1, ref=10)
                return "outcome" in answer

            await eventually(passes_again)
            assert hits(cluster)["user_messages"]

    async def test_a_list_counts_for_each_in_it(self, store: EmbeddedServer) -> None:
        limits = {"user_messages_per_second": 1.0, "user_messages_burst": 4}
        async with one_node(store, **limits) as cluster:
            alice = await cluster.connect(0, "alice")
            users = [f"u{number}" for number in range(100)]
            assert "outcomes" in await alice.ask(type="send", to=users, data=1, ref=1)
            answer = await alice.ask(type="send", to="eve", data=1, ref=2)
            assert (answer["code"], answer["retry_after_ms"] > 90_000) == ("too_many", True)

    async def test_who_goes_on_is_closed_with_4429_and_told_when_to_come_back(
        self, store: EmbeddedServer
    ) -> None:
        limits = {"user_messages_per_second": 0.1, "user_messages_burst": 1, "user_refusals": 3}
        async with one_node(store, **limits) as cluster:
            alice = await cluster.connect(0, "alice")
            for number in range(4):
                await alice.send(type="send", to="eve", data=1, ref=number)
            code, reason, frames = await alice.closed()
            assert (code, reason) == (4429, "too many")
            *_, goodbye = frames
            assert 8_000 < goodbye["reconnect_after_ms"] <= 10_000
            refused = [frame["ref"] for frame in frames if frame["type"] == "error"]
            assert refused == [1, 2, 3]
            assert hits(cluster) == {"user_messages": 3, "user_refusals": 1}

    async def test_they_have_so_many_sessions_and_one_more_when_one_has_gone(
        self, store: EmbeddedServer
    ) -> None:
        async with one_node(store, user_sessions=2) as cluster:
            first, _ = [await cluster.connect(0, "alice") for _ in range(2)]
            await cluster.connect(0, "bob")
            assert await refusal(cluster, "alice") == (429, 5, "too_many")
            await first.close()

            async def one_more() -> bool:
                try:
                    await cluster.connect(0, "alice")
                except InvalidStatus:
                    return False
                return True

            await eventually(one_more)
            assert hits(cluster)["user_sessions"]

    async def test_of_many_that_come_at_once_no_more_stay(self, store: EmbeddedServer) -> None:
        async with one_node(store, user_sessions=3) as cluster:
            coming = [cluster.connect(0, "alice", welcomed=False) for _ in range(20)]
            came = await asyncio.gather(*coming, return_exceptions=True)
            clients = [client for client in came if isinstance(client, Client)]
            assert all(isinstance(e, (Client, InvalidStatus)) for e in came)
            await eventually(lambda: len(cluster.nodes[0].hub) == 3)
            stayed = 0
            for client in clients:
                frame = await client.read()
                stayed += frame["type"] == "welcome"
                if frame["type"] == "goodbye":
                    assert (await client.closed())[0] == 4429
            assert stayed == 3


async def refusal(cluster: Cluster, user: str) -> tuple[int, int, str]:
    """Return the status, `Retry-After` and code with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await cluster.connect(0, user)
    answer = caught.value.response
    code = json.loads(answer.body or b"{}")["code"]
    return answer.status_code, int(answer.headers["Retry-After"]), code


class TestOneNode:
    async def test_a_full_node_says_when_to_come_again(self, store: EmbeddedServer) -> None:
        async with one_node(store, sessions=2) as cluster:
            for user in ("alice", "bob"):
                await cluster.connect(0, user)
            told = {await refusal(cluster, "eve") for _ in range(30)}
            assert {(status, code) for status, _, code in told} == {(503, "unavailable")}
            seconds = {after_s for _, after_s, _ in told}
            assert min(seconds) >= 5
            assert max(seconds) <= 15
            assert len(seconds) > 1
            assert hits(cluster) == {"sessions": 30}

    async def test_a_crowd_is_told_its_turns_and_everybody_gets_in(
        self, store: EmbeddedServer
    ) -> None:
        async with one_node(store, handshakes_per_second=40.0) as cluster:
            waits = await asyncio.gather(*(persistent(cluster, f"u{n}") for n in range(120)))
            assert len(cluster.nodes[0].hub) == 120
            told = [wait for each in waits for wait in each]
            assert cluster.nodes[0].counts.refused == {"unavailable": len(told)}
            assert hits(cluster)["handshakes"] == len(told)
            assert len(told) >= 60
            assert set(told) <= {2, 3, 4, 5}
            assert max(map(len, waits)) <= 3


async def persistent(cluster: Cluster, user: str) -> list[int]:
    """Come in, and return how often and for how long one was asked to wait before."""
    waits: list[int] = []
    while True:
        try:
            await cluster.connect(0, user)
        except InvalidStatus as exc:
            waits.append(int(exc.response.headers["Retry-After"]))
            await asyncio.sleep(waits[-1])
        else:
            return waits


async def test_with_the_limits_as_they_come_a_lively_client_notices_none(
    store: EmbeddedServer,
) -> None:
    async with Cluster(store.address.url, nodes=1, limits=LimitSettings().model_dump()) as cluster:
        alice, bob = [await cluster.connect(0, user) for user in ("alice", "bob")]
        for number in range(30):
            await alice.ask(type="send", to="bob", data=number, ref=number)
        assert await bob.messages(30) == list(range(30))
        assert not hits(cluster)
