"""What every `Transport` promises, whatever the delivery mode."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.aio import Router
from router.errors import SwitchboardError, Unavailable, Unsupported
from router.model import Confirm, Outcome, SessionId, UserId
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint, Endpoints, endpoints
from tests.support.proxy import Proxy
from tests.support.waiting import eventually


@pytest.fixture(params=["routed", "channel", "broadcast"])
async def world(
    store: EmbeddedServer, prefix: str, request: pytest.FixtureRequest
) -> AsyncIterator[Endpoints]:
    settings = fast_settings(prefix, delivery={"mode": request.param})
    async with endpoints(store.address.url, settings) as found:
        yield found


@pytest.fixture
async def nodes(world: Endpoints) -> list[Endpoint]:
    return [await world.start(name) for name in ("n1", "n2", "n3")]


@pytest.fixture
async def sender(world: Endpoints) -> Router:
    return await world.sender()


async def accepted(sender: Router, user: str, data: object) -> None:
    result = await sender.send(user, data, confirm="accepted")
    assert result.outcome is Outcome.ACCEPTED


async def came(nodes: list[Endpoint], *expected: list[str]) -> None:
    """Wait until exactly these texts have come to each node."""

    def so() -> bool:
        assert [node.texts() for node in nodes] == list(expected)
        return True

    await eventually(so)


async def test_a_message_reaches_its_users_sessions_and_nobody_elses(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("bob")
    await nodes[1].attach("alice")
    await accepted(sender, "alice", 1)
    await accepted(sender, "bob", 2)
    await came(nodes, ["2"], ["1"], [])
    assert nodes[1].messages[0].users == ["alice"]


async def test_every_node_that_holds_the_user_gets_it_once(
    nodes: list[Endpoint], sender: Router
) -> None:
    for node in nodes[:2]:
        await node.attach("alice", "alice")
    await accepted(sender, "alice", 1)
    await came(nodes, ["1"], ["1"], [])


async def test_many_users_are_reached_by_one_call(nodes: list[Endpoint], sender: Router) -> None:
    for number, node in enumerate(nodes):
        await node.attach(*[f"u{number}-{n}" for n in range(20)])
    users = [f"u{number}-{n}" for number in range(3) for n in range(20)]
    results = await sender.send_many(users, "sale")
    assert {result.outcome for result in results.values()} == {Outcome.ACCEPTED}

    def all_have_it() -> bool:
        return all(node.texts(f"u{number}-19") for number, node in enumerate(nodes))

    await eventually(all_have_it)


async def test_messages_of_one_sender_to_one_user_come_in_order(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    await nodes[1].attach("bob")
    sends = [
        sender.send(user, n, confirm="accepted") for n in range(300) for user in ("alice", "bob")
    ]
    await asyncio.gather(*sends)
    numbers = [str(n) for n in range(300)]
    await came(nodes, numbers, numbers, [])


async def test_a_session_is_reachable_from_the_moment_it_is_attached(
    nodes: list[Endpoint], sender: Router
) -> None:
    for number in range(20):
        user = f"u{number}"
        await nodes[number % 3].attach(user)
        await accepted(sender, user, number)
    every_third = [[str(n) for n in range(first, 20, 3)] for first in range(3)]
    await came(nodes, *every_third)


async def test_a_user_who_moves_is_reached_at_the_new_place(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    await accepted(sender, "alice", 0)
    await came(nodes, ["0"], [], [])
    await nodes[0].detach("alice")
    await nodes[1].attach("alice")
    await accepted(sender, "alice", 1)
    await came(nodes, ["0"], ["1"], [])


async def test_detaching_one_session_leaves_the_users_others_reachable(
    nodes: list[Endpoint], sender: Router
) -> None:
    first, _ = await nodes[0].attach("alice", "alice")
    await nodes[1].attach("alice")
    await nodes[0].member.transport.detach(
        UserId("alice"), nodes[0].id, first.session, last_here=False
    )
    await nodes[0].member.transport.detach(
        UserId("alice"), nodes[0].id, SessionId("never there"), last_here=False
    )
    await accepted(sender, "alice", 1)
    await came(nodes, ["1"], ["1"], [])


async def test_attaching_twice_is_attaching_once(nodes: list[Endpoint], sender: Router) -> None:
    (session,) = await nodes[0].attach("alice")
    assert await nodes[0].member.transport.attach([(UserId("alice"), session)])
    assert await sender.sessions("alice") == [session]
    await accepted(sender, "alice", 1)
    await came(nodes, ["1"], [], [])


async def test_a_fenced_endpoint_attaches_nobody(world: Endpoints, nodes: list[Endpoint]) -> None:
    await nodes[0].member.endpoint.stop()
    await world.redis.delete(world.key(nodes[0].id, "open"))
    session = nodes[0].session()
    assert not await nodes[0].member.transport.attach([(UserId("alice"), session)])


async def test_what_a_mode_cannot_know_it_refuses_to_promise(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    for confirm in Confirm:
        if confirm in sender.member.transport.confirms:
            await sender.send("alice", 1, confirm=confirm)
        else:
            with pytest.raises(Unsupported) as caught:
                await sender.send("alice", 1, confirm=confirm)
            assert caught.value.field == "confirm"


async def test_without_the_store_a_send_fails_at_once_and_later_ones_arrive_again(
    world: Endpoints, nodes: list[Endpoint], store: EmbeddedServer
) -> None:
    await nodes[0].attach("alice")
    async with Proxy(store.address.socket, store.address.password) as proxy:
        sender = await world.sender(proxy.url)
        await accepted(sender, "alice", 1)
        await proxy.refuse()
        await eventually(lambda: not sender.member.link.up)
        with pytest.raises(Unavailable):
            await sender.send("alice", 2, confirm="accepted", timeout=60.0)
        assert sender.member.sending.waiting == 0
        await proxy.accept()

        async def accepted_again() -> bool:
            try:
                await accepted(sender, "alice", 3)
            except SwitchboardError:
                return False
            return True

        await eventually(accepted_again)
        await sender.close()
    await came(nodes, ["1", "3"], [], [])
