"""What `router.transport.base.Transport` promises in every delivery mode."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from router.aio import Router
from router.codec import MAX_USERS_PER_ENVELOPE
from router.errors import Unavailable, Unsupported
from router.model import Confirm, EndpointId, Outcome, Session, SessionId, UserId
from router.store.embedded import EmbeddedServer
from scripts.measuring.rabbit import Rabbit
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint, Endpoints, endpoints
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

MODES: Final = ("routed", "routed, not cached", "channel", "broadcast", "fanout")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, store: EmbeddedServer, prefix: str, mode: str
) -> AsyncIterator[Endpoints]:
    name, _, cached = mode.partition(", ")
    delivery: dict[str, Any] = {"mode": name, "timeout_s": 5.0}
    if name == "fanout":
        rabbit: Rabbit = request.getfixturevalue("rabbit")
        delivery["amqp_url"] = rabbit.url
    registry = {"prefix": prefix, "cache": not cached}
    settings = fast_settings(prefix, store.address.url, registry=registry, delivery=delivery)
    async with endpoints(store.address.url, settings) as found:
        yield found


@pytest.fixture
async def nodes(world: Endpoints) -> list[Endpoint]:
    return [await world.start(name) for name in ("n1", "n2", "n3")]


@pytest.fixture
async def sender(world: Endpoints) -> Router:
    return await world.sender()


def best(sender: Router) -> Outcome:
    """Return the outcome of a message that arrives, as far as the mode can know."""
    return Outcome[sender.level(None).name]


async def has(node: Endpoint, user: str, *texts: str) -> None:
    """Wait until exactly these messages have come for a user."""
    await eventually(lambda: node.texts(user) == list(texts))


async def all_passed(nodes: list[Endpoint], sender: Router) -> None:
    """Wait until all that was sent before has come where it comes to: it keeps its order."""
    for number, node in enumerate(nodes):
        await node.attach(f"mark{number}")
        await sender.send(f"mark{number}", "mark")
        await has(node, f"mark{number}", '"mark"')


# ---- what can be confirmed ----------------------------------------------------------------------


async def test_without_a_word_a_sender_waits_as_far_as_the_mode_can_know(
    nodes: list[Endpoint], sender: Router, mode: str
) -> None:
    await nodes[0].attach("alice")
    result = await sender.send("alice", 1)
    routed = mode.startswith("routed")
    assert result.outcome is best(sender)
    assert result.outcome is (Outcome.DELIVERED if routed else Outcome.ACCEPTED)


async def test_many_users_are_only_accepted_if_nobody_asks_for_more(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice", "bob")
    results = await sender.send_many(["alice", "bob"], 1)
    assert {result.outcome for result in results.values()} == {Outcome.ACCEPTED}


async def test_each_level_is_kept_or_refused(nodes: list[Endpoint], sender: Router) -> None:
    await nodes[0].attach("alice")
    for level in Confirm:
        if level in sender.member.transport.confirms:
            result = await sender.send("alice", 1, confirm=level)
            assert result.outcome is Outcome[level.name]
        else:
            with pytest.raises(Unsupported, match="can only promise: accepted") as one:
                await sender.send("alice", 1, confirm=level.name.lower())
            assert one.value.field == "confirm"
            with pytest.raises(Unsupported):
                await sender.send_many(["alice"], 1, confirm=level)
    assert sender.member.sending.waiting == 0


# ---- who receives -------------------------------------------------------------------------------


async def test_every_node_that_holds_the_user_receives_it_once_and_no_other_user_does(
    nodes: list[Endpoint], sender: Router
) -> None:
    for node in nodes[:2]:
        await node.attach("alice", "alice")
    await nodes[2].attach("bob")
    for number in range(3):
        assert (await sender.send("alice", number)).outcome is best(sender)
    await has(nodes[0], "alice", "0", "1", "2")
    await has(nodes[1], "alice", "0", "1", "2")
    await all_passed(nodes, sender)
    assert nodes[2].texts() == ['"mark"']


async def test_messages_of_one_sender_to_one_user_come_in_the_order_of_the_calls(
    nodes: list[Endpoint], sender: Router
) -> None:
    users = ("alice", "bob", "eve")
    for node, user in zip(nodes, users, strict=True):
        await node.attach(user)
    many = (sender.send(users[i % 3], i, confirm="accepted") for i in range(900))
    results = await asyncio.gather(*many)
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    for number, (node, user) in enumerate(zip(nodes, users, strict=True)):
        await has(node, user, *(str(i) for i in range(number, 900, 3)))


async def test_a_message_to_many_users_comes_once_for_each_of_them(
    nodes: list[Endpoint], sender: Router
) -> None:
    here = [f"h{i}" for i in range(MAX_USERS_PER_ENVELOPE + 1)]
    there = [f"t{i}" for i in range(10)]
    await nodes[0].attach(*here)
    await nodes[1].attach(*there)
    results = await sender.send_many([*here, *there], "sale")
    assert {result.outcome for result in results.values()} == {Outcome.ACCEPTED}
    assert len({result.id for result in results.values()}) == 1

    def came(node: Endpoint) -> list[str]:
        return sorted(u for m in node.messages for u in m.users or () if UserId(u) in node.here)

    await eventually(lambda: (came(nodes[0]), came(nodes[1])) == (sorted(here), sorted(there)))


async def test_a_message_as_large_as_may_be_comes_whole(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    large = "x" * (sender.member.settings.node.max_message_bytes - 2)
    await asyncio.gather(*(sender.send("alice", large) for _ in range(5)))
    await has(nodes[0], "alice", *([f'"{large}"'] * 5))


# ---- attach and detach --------------------------------------------------------------------------


async def test_whoever_is_attached_is_reachable_at_once(
    nodes: list[Endpoint], sender: Router
) -> None:
    for number in range(30):
        await nodes[number % 3].attach(f"u{number}")
        await sender.send(f"u{number}", number)
    for number in range(30):
        await has(nodes[number % 3], f"u{number}", str(number))


async def test_two_who_wait_for_one_user_are_both_reachable_when_told_so(
    nodes: list[Endpoint], sender: Router
) -> None:
    async def arrive() -> str:
        await nodes[0].attach("alice")
        return (await sender.send("alice", "here", confirm="accepted")).id

    ids = await asyncio.gather(*(arrive() for _ in range(10)))
    await eventually(lambda: {message.id for message in nodes[0].messages} == set(ids))


async def test_attaching_twice_is_attaching_once(nodes: list[Endpoint], sender: Router) -> None:
    (session,) = await nodes[0].attach("alice")
    assert await nodes[0].member.transport.attach([(UserId("alice"), session)])
    assert await sender.sessions("alice") == [session]
    await nodes[0].detach("alice")
    assert await sender.sessions("alice") == []
    await sender.send("alice", "late")
    await all_passed(nodes, sender)
    assert nodes[0].texts("alice") == []


async def test_one_of_two_sessions_here_leaves_and_the_other_is_reachable_still(
    nodes: list[Endpoint], sender: Router
) -> None:
    first, second = await nodes[0].attach("alice", "alice")
    detach = nodes[0].member.transport.detach
    await detach(UserId("alice"), nodes[0].id, first.session, last_here=False)
    await sender.send("alice", "still here")
    await has(nodes[0], "alice", '"still here"')
    assert await sender.sessions("alice") == [second]


async def test_detaching_removes_nothing_but_what_it_names(
    nodes: list[Endpoint], sender: Router
) -> None:
    (session,) = await nodes[0].attach("alice")
    detach = nodes[0].member.transport.detach
    for endpoint, name in (
        (nodes[0].id, SessionId("other")),
        (nodes[1].id, session.session),
        # The same session under an epoch that has ended: what is left of it is removed as if no
        # session of the user were here any more, since none is, under that epoch.
        (EndpointId("n1.before"), session.session),
    ):
        await detach(UserId("alice"), endpoint, name, last_here=endpoint != nodes[0].id)
    await sender.send("alice", "still here")
    await has(nodes[0], "alice", '"still here"')
    assert await sender.sessions("alice") == [session]


async def test_a_user_who_leaves_and_comes_back_at_the_same_time_is_reachable(
    nodes: list[Endpoint], sender: Router
) -> None:
    node = nodes[0]
    transport = node.member.transport
    alice = UserId("alice")
    (old,) = await node.attach("alice")
    for number in range(30):
        new = node.session()
        node.here[alice] = [new]
        leaving = transport.detach(alice, node.id, old.session, last_here=False)
        coming = transport.attach([(alice, new)])
        both = (leaving, coming) if number % 2 else (coming, leaving)
        await asyncio.gather(*both)
        await sender.send("alice", number)
        await has(node, "alice", *(str(i) for i in range(number + 1)))
        old = new
    assert await sender.sessions("alice") == [old]


async def test_a_user_who_moved_is_found_at_the_new_place(
    nodes: list[Endpoint], sender: Router
) -> None:
    wanted: list[list[str]] = [['"before"'], [], []]
    await nodes[0].attach("alice")
    await sender.send("alice", "before")
    await has(nodes[0], "alice", *wanted[0])
    for old, new in ((0, 1), (1, 2), (2, 0)):
        await nodes[old].detach("alice")
        await nodes[new].attach("alice")
        await sender.send("alice", f"to {new}")
        wanted[new].append(f'"to {new}"')
        await has(nodes[new], "alice", *wanted[new])
    assert [node.texts("alice") for node in nodes] == wanted


async def test_a_fenced_endpoint_attaches_nobody(world: Endpoints, nodes: list[Endpoint]) -> None:
    await nodes[0].member.endpoint.stop()
    await world.redis.delete(world.key(nodes[0].id, "open"))
    session = nodes[0].session()
    assert not await nodes[0].member.transport.attach([(UserId("alice"), session)])


@pytest.mark.one_server
async def test_a_session_that_could_not_be_attached_is_not_held(
    world: Endpoints, store: EmbeddedServer, nodes: list[Endpoint], sender: Router
) -> None:
    async with Proxy(store.address.socket, store.address.login) as proxy:
        cut_off = await world.start("n4", proxy.url)
        await proxy.refuse()
        await eventually(lambda: not cut_off.member.store.up)
        with pytest.raises(Unavailable):
            await cut_off.attach("alice")
        await proxy.accept()
        await eventually(lambda: cut_off.member.store.up)
        held: Session = cut_off.here[UserId("alice")][0]

        async def attached() -> bool:
            try:
                return bool(await cut_off.member.transport.attach([(UserId("alice"), held)]))
            except Unavailable:
                return False

        await eventually(attached)
        await sender.send("alice", "there")
        await has(cut_off, "alice", '"there"')
        await cut_off.member.close()


# ---- the store is away --------------------------------------------------------------------------


@pytest.mark.one_server
async def test_after_the_store_was_away_everybody_is_reachable_again(
    world: Endpoints, store: EmbeddedServer, sender: Router
) -> None:
    users = [f"u{i}" for i in range(1_200)]  # more than are subscribed at once
    async with Proxy(store.address.socket, store.address.login) as proxy:
        node = await world.start("n1", proxy.url)
        await node.attach(*users)
        await proxy.refuse()
        await eventually(lambda: not node.member.store.up)
        await proxy.accept()

        def came(ids: set[Any]) -> bool:
            found = [u for m in node.messages if m.id in ids for u in m.users or ()]
            assert len(found) == len(set(found))
            return len(found) == len(users)

        async def all_have_it() -> bool:
            results = await sender.send_many(users, "again")
            ids = {result.id for result in results.values()}
            try:
                await eventually(lambda: came(ids), 1.0)
            except AssertionError:
                return False  # sent too soon
            return True

        await eventually(all_have_it)
        await node.member.close()
