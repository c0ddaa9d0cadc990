"""A message goes to the nodes that hold its user, and no other node hears of it."""

import asyncio

from node.frames import JSON_PROTOCOL, MSGPACK_PROTOCOL
from router.model import Outcome, UserId
from tests.support.cluster import Cluster
from tests.support.waiting import eventually


async def test_only_the_node_that_holds_the_user_receives_anything(cluster: Cluster) -> None:
    alice = await cluster.connect(1, "alice")
    await cluster.connect(0, "bob")
    await cluster.connect(2, "eve")
    async with cluster.router() as router:
        for number in range(5):
            result = await router.send("alice", {"order": number})
            assert (result.outcome, result.sessions) == (Outcome.DELIVERED, 1)
    assert await alice.messages(5) == [{"order": number} for number in range(5)]
    assert cluster.received() == [0, 5, 0]
    assert cluster.delivered() == [0, 5, 0]


async def test_the_counters_every_process_sees_say_the_same(cluster: Cluster) -> None:
    await cluster.connect(1, "alice")
    async with cluster.router() as router:
        for _ in range(3):
            await router.send("alice", 1)

        async def counted() -> bool:
            nodes = await router.nodes()
            return [(n.name, n.received, n.delivered, n.sessions) for n in nodes] == [
                ("n1", 0, 0, 0),
                ("n2", 3, 3, 1),
                ("n3", 0, 0, 0),
            ]

        await eventually(counted)


async def test_a_client_on_one_node_reaches_a_client_on_another(cluster: Cluster) -> None:
    alice, bob = await cluster.connect(0, "alice"), await cluster.connect(2, "bob")
    outcome = await bob.ask(type="send", ref="7", to="alice", data=[1, {"x": 2}])
    assert (outcome["outcome"], outcome["user"]) == ("delivered", "alice")
    message = await alice.expect("message")
    assert (message["from"], message["data"]) == ("bob", [1, {"x": 2}])
    assert message["id"] == outcome["id"]
    assert cluster.received() == [1, 0, 0]


async def test_a_client_reaches_another_on_its_own_node(cluster: Cluster) -> None:
    alice, bob = await cluster.connect(0, "alice"), await cluster.connect(0, "bob")
    assert (await bob.ask(type="send", ref=1, to="alice", data=1))["outcome"] == "delivered"
    assert await alice.messages(1) == [1]
    assert cluster.received() == [1, 0, 0]


async def test_a_client_may_send_to_itself_and_the_message_comes_before_the_outcome(
    cluster: Cluster,
) -> None:
    alice = await cluster.connect(0, "alice")
    await alice.send(type="send", ref=1, to="alice", data="me")
    assert [(await alice.read())["type"] for _ in range(2)] == ["message", "outcome"]


async def test_two_sessions_on_two_nodes_both_receive(cluster: Cluster) -> None:
    phone = await cluster.connect(0, "alice", device="phone")
    web = await cluster.connect(2, "alice", device="web")
    async with cluster.router() as router:
        result = await router.send("alice", "both")
        assert (result.outcome, result.sessions) == (Outcome.DELIVERED, 2)
    assert await phone.messages(1) == await web.messages(1) == ["both"]
    assert cluster.received() == [1, 0, 1]


async def test_two_sessions_on_one_node_are_one_envelope(cluster: Cluster) -> None:
    clients = [await cluster.connect(1, "alice", device=name) for name in ("phone", "web")]
    async with cluster.router() as router:
        assert (await router.send("alice", "both")).outcome is Outcome.DELIVERED
    assert [await client.messages(1) for client in clients] == [["both"], ["both"]]
    assert cluster.received() == [0, 1, 0]


async def test_many_users_are_one_envelope_per_node_that_holds_any(cluster: Cluster) -> None:
    here = [await cluster.connect(0, f"h{number}") for number in range(10)]
    there = [await cluster.connect(2, f"t{number}") for number in range(10)]
    users = [f"{side}{number}" for side in "ht" for number in range(10)]
    async with cluster.router() as router:
        results = await router.send_many([*users, "nobody"], "sale", confirm="delivered")
    assert results.pop(UserId("nobody")).outcome is Outcome.OFFLINE
    assert {result.outcome for result in results.values()} == {Outcome.DELIVERED}
    for client in here + there:
        assert await client.messages(1) == ["sale"]
    assert cluster.received() == [1, 0, 1]


async def test_a_broadcast_reaches_every_session_once(cluster: Cluster) -> None:
    clients = [await cluster.connect(number % 3, f"u{number % 4}") for number in range(8)]
    async with cluster.router() as router:
        assert await router.broadcast({"maintenance": True}, origin="admin") == 3
    for client in clients:
        message = await client.expect("message")
        assert (message["data"], message["from"]) == ({"maintenance": True}, "admin")
        assert await client.nothing_came()


async def test_a_user_who_is_nowhere_is_offline_and_no_node_hears_of_it(cluster: Cluster) -> None:
    bob = await cluster.connect(0, "bob")
    assert (await bob.ask(type="send", ref=1, to="alice", data=1))["outcome"] == "offline"
    alice = await cluster.connect(1, "alice")
    await alice.close()

    async def gone() -> bool:
        return not await cluster.routes("alice")

    await eventually(gone)
    assert (await bob.ask(type="send", ref=2, to="alice", data=1))["outcome"] == "offline"
    assert cluster.received() == [0, 0, 0]


async def test_json_and_msgpack_clients_live_side_by_side(cluster: Cluster) -> None:
    plain = await cluster.connect(0, "alice", protocol=JSON_PROTOCOL)
    packed = await cluster.connect(1, "alice", protocol=MSGPACK_PROTOCOL)
    bob = await cluster.connect(2, "bob", protocol=MSGPACK_PROTOCOL)
    data = {"text": "żółć", "list": [1, 2.5, None, True], "big": 2**63}
    outcome = await bob.ask(type="send", ref=7, to="alice", data=data)
    assert outcome["outcome"] == "delivered"
    for client in (plain, packed):
        message = await client.expect("message")
        assert (message["data"], message["from"]) == (data, "bob")
    outcome = await plain.ask(type="send", ref="8", to="bob", data=data)
    assert outcome["outcome"] == "delivered"
    assert await bob.messages(1) == [data]


async def test_numbers_and_texts_that_are_hard_on_one_side_pass_or_are_refused(
    cluster: Cluster,
) -> None:
    packed = await cluster.connect(1, "alice", protocol=MSGPACK_PROTOCOL)
    bob = await cluster.connect(0, "bob")
    hard = ["99999999999999999999999999", "1e999", "-1e-999", "[" * 64 + "]" * 64]
    for ref, data in enumerate(hard):
        await bob.connection.send(f'{{"type":"send","ref":{ref},"to":"alice","data":{data}}}')
        outcome = await bob.read()
        assert (outcome["ref"], outcome["outcome"]) == (ref, "delivered")
    assert await packed.messages(3) == [1e26, float("inf"), 0.0]
    await packed.expect("message")
    await bob.connection.send(b'{"type":"send","ref":9,"to":"alice","data":"\xff"}')
    assert (await bob.read())["code"] == "bad_frame"
    assert await packed.nothing_came()


async def test_messages_of_one_sender_come_in_order(cluster: Cluster) -> None:
    alice = await cluster.connect(1, "alice")
    async with cluster.router() as router:
        results = await asyncio.gather(*(router.send("alice", i) for i in range(1_000)))
    assert {result.outcome for result in results} == {Outcome.DELIVERED}
    assert await alice.messages(1_000) == list(range(1_000))
