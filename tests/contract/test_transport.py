"""What the routed `Transport` promises, for each way of looking users up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from router.aio import Router
from router.codec import MAX_USERS_PER_ENVELOPE, Answer
from router.errors import Unavailable
from router.model import Confirm, Outcome, SessionId, UserId
from router.store import scripts
from router.store.embedded import EmbeddedServer
from router.transport.routed import RoutedTransport
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint, Endpoints, endpoints
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually

SMALL_INBOX = 512
PUSH = scripts.PUSH.sha.encode()


@pytest.fixture(params=[True, False], ids=["with the cache", "without the cache"])
def cache(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str, cache: bool) -> AsyncIterator[Endpoints]:
    settings = fast_settings(
        prefix,
        store.address.url,
        registry={"prefix": prefix, "cache": cache},
        inbox={"max_length": SMALL_INBOX},
        delivery={"timeout_s": 5.0},
    )
    async with endpoints(store.address.url, settings) as found:
        yield found


@pytest.fixture
async def nodes(world: Endpoints) -> list[Endpoint]:
    return [await world.start(name) for name in ("n1", "n2", "n3")]


@pytest.fixture
async def sender(world: Endpoints) -> Router:
    return await world.sender()


async def sent(sender: Router, user: str, data: Any = "x", **how: Any) -> Outcome:
    return (await sender.send(user, data, **how)).outcome


# ---- who receives -------------------------------------------------------------------------------


async def test_only_the_nodes_that_hold_the_user_receive_anything(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[1].attach("alice")
    for _ in range(3):
        assert await sent(sender, "alice") is Outcome.DELIVERED
    assert [len(node.messages) for node in nodes] == [0, 3, 0]
    assert [node.member.counts.received for node in nodes] == [0, 3, 0]


async def test_every_node_that_holds_the_user_receives_it_once(
    nodes: list[Endpoint], sender: Router
) -> None:
    for node in nodes[:2]:
        await node.attach("alice", "alice")
    result = await sender.send("alice", "hello")
    assert (result.outcome, result.sessions) == (Outcome.DELIVERED, 4)
    await eventually(lambda: [node.texts() for node in nodes] == [['"hello"'], ['"hello"'], []])


async def test_messages_of_one_sender_to_one_user_come_in_the_order_of_the_calls(
    nodes: list[Endpoint], sender: Router
) -> None:
    users = ("alice", "bob", "eve")
    for node, user in zip(nodes, users, strict=True):
        await node.attach(user)
    results = await asyncio.gather(
        *(sender.send(users[i % 3], i, confirm="written") for i in range(900))
    )
    assert {result.outcome for result in results} == {Outcome.WRITTEN}
    for number, (node, user) in enumerate(zip(nodes, users, strict=True)):
        assert node.texts(user) == [str(i) for i in range(number, 900, 3)]


async def test_the_order_holds_while_sends_of_different_kinds_overtake_look_ups(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    await nodes[1].attach("bob")
    tasks: list[asyncio.Future[Any]] = []
    for i in range(60):
        tasks.append(asyncio.ensure_future(sender.send("alice", i, confirm="accepted")))
        tasks.append(asyncio.ensure_future(sender.send_many(["bob", "alice"], i + 1_000)))
        if i % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    await eventually(lambda: len(nodes[0].messages) == 120)
    wanted = [str(n) for i in range(60) for n in (i, i + 1_000)]
    assert nodes[0].texts("alice") == wanted
    await eventually(lambda: len(nodes[1].messages) == 60)
    assert nodes[1].texts("bob") == [str(i + 1_000) for i in range(60)]


# ---- one envelope per node ----------------------------------------------------------------------


async def test_many_users_of_one_node_are_one_envelope(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    here, there = [f"h{i}" for i in range(300)], [f"t{i}" for i in range(200)]
    await nodes[0].attach(*here)
    await nodes[1].attach(*there)
    results = await sender.send_many([*here, *there, "nobody"], "sale", confirm="delivered")
    assert results.pop(UserId("nobody")).outcome is Outcome.OFFLINE
    assert {result.outcome for result in results.values()} == {Outcome.DELIVERED}
    assert len({result.id for result in results.values()}) == 1
    assert [node.member.counts.received for node in nodes] == [1, 1, 0]
    assert sorted(nodes[0].messages[0].users or ()) == sorted(here)


async def test_more_users_than_fit_are_as_few_envelopes_as_it_takes(
    nodes: list[Endpoint], sender: Router
) -> None:
    users = [f"u{i}" for i in range(2 * MAX_USERS_PER_ENVELOPE + 1)]
    await nodes[0].attach(*users)
    results = await sender.send_many(users, "sale", confirm="written")
    assert {result.outcome for result in results.values()} == {Outcome.WRITTEN}
    assert nodes[0].member.counts.received == 3


# ---- what changes behind a warm cache -----------------------------------------------------------


async def test_the_cache_holds_what_was_looked_up_and_nothing_without_it(
    nodes: list[Endpoint], sender: Router, cache: bool
) -> None:
    await nodes[0].attach("alice")
    await sent(sender, "alice")
    await sent(sender, "nobody")
    cached = cast(RoutedTransport, sender.member.transport)._routes.cached
    assert (cached(UserId("alice")) is not None) is cache
    assert cached(UserId("nobody")) is None


async def test_a_user_who_moved_is_found_at_the_new_place(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    assert await sent(sender, "alice", "before") is Outcome.DELIVERED
    for old, new in ((0, 1), (1, 2), (2, 0), (0, 1)):
        await nodes[old].detach("alice")
        await nodes[new].attach("alice")
        assert await sent(sender, "alice", f"to {new}") is Outcome.DELIVERED
        assert nodes[new].texts("alice")[-1] == f'"to {new}"'
    assert sum(len(node.messages) for node in nodes) == 5


async def test_a_new_second_device_is_seen(nodes: list[Endpoint], sender: Router) -> None:
    await nodes[0].attach("alice")
    assert await sent(sender, "alice") is Outcome.DELIVERED
    await nodes[1].attach("alice")

    async def both_have_the_same_message() -> bool:
        result = await sender.send("alice", "both")
        assert result.outcome is Outcome.DELIVERED
        ids = [[message.id for message in node.messages] for node in nodes]
        return result.id in ids[0] and result.id in ids[1]

    await eventually(both_have_the_same_message)


@pytest.mark.one_server
async def test_what_changed_while_the_sender_was_cut_off_is_seen(
    world: Endpoints, nodes: list[Endpoint], store: EmbeddedServer
) -> None:
    await nodes[0].attach("alice")
    async with Proxy(store.address.socket, store.address.login) as proxy:
        sender = await world.sender(proxy.url)
        assert await sent(sender, "alice") is Outcome.DELIVERED
        await proxy.refuse()
        await eventually(lambda: not sender.member.store.up)
        await nodes[1].attach("alice")
        await proxy.accept()

        async def both_have_it() -> bool:
            try:
                await sender.send("alice", "both")
            except Unavailable:
                return False
            return all('"both"' in node.texts() for node in nodes[:2])

        await eventually(both_have_it)
        await sender.close()


async def test_a_dead_endpoint_is_seen_and_its_route_removed(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    assert await sent(sender, "alice") is Outcome.DELIVERED
    dead = await world.unread("dead")
    await point_to(world, sender, "alice", dead)
    await world.redis.delete(world.key(dead, "open"))
    result = await sender.send("alice", "past the dead")
    assert result.outcome is Outcome.DELIVERED
    assert nodes[0].texts()[-1] == '"past the dead"'
    await eventually_routes(world, "alice", {nodes[0].id})


async def test_a_user_who_has_moved_off_a_dead_endpoint_is_reached_by_the_same_send(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    dead = await world.unread("dead")
    await point_to(world, sender, "alice", dead)
    assert await sent(sender, "alice", confirm="accepted") is Outcome.ACCEPTED
    await world.redis.delete(world.key(dead, "open"))
    await nodes[2].attach("alice")
    assert await sent(sender, "alice", "found") is Outcome.DELIVERED
    assert nodes[2].texts() == ['"found"']


async def point_to(world: Endpoints, sender: Router, user: str, endpoint: str) -> None:
    """Write a route by hand, and let the sender know what it says."""
    entry = b"\x93\xa3web\xa0\xcb" + b"\x00" * 8
    await world.redis.hset(world.key(user, "routes"), f"{endpoint}/ghost", entry)

    async def known() -> bool:
        await sender.send(user, "look", confirm="accepted")
        return await world.waiting(endpoint_id(endpoint)) > 0

    await eventually(known)


def endpoint_id(text: str) -> Any:
    return text


async def eventually_routes(world: Endpoints, user: str, expected: set[Any]) -> None:
    async def so() -> bool:
        return await world.routes(user) == expected

    await eventually(so)


# ---- the truth about each message ---------------------------------------------------------------


async def test_it_can_confirm_all_that_a_sender_may_ask_for(sender: Router) -> None:
    assert sender.member.transport.confirms == frozenset(Confirm)


@pytest.mark.parametrize(
    ("confirm", "answer", "outcome"),
    [
        ("delivered", None, Outcome.DELIVERED),
        ("written", None, Outcome.WRITTEN),
        ("written", Answer.DELIVERED, Outcome.DELIVERED),
        ("delivered", Answer.DROPPED, Outcome.DROPPED),
        ("delivered", Answer.EXPIRED, Outcome.EXPIRED),
        ("delivered", Answer.CLOSED, Outcome.UNKNOWN),
        ("delivered", Answer.UNSURE, Outcome.UNKNOWN),
        ("delivered", Answer.FAILED, Outcome.UNKNOWN),
        ("accepted", Answer.DROPPED, Outcome.ACCEPTED),
    ],
)
async def test_the_sender_hears_what_the_node_said(
    nodes: list[Endpoint], sender: Router, confirm: str, answer: Answer | None, outcome: Outcome
) -> None:
    await nodes[0].attach("alice")
    nodes[0].answer = answer
    result = await sender.send("alice", "x", confirm=confirm)
    assert result.outcome is outcome
    assert bool(result.reason) is (outcome is Outcome.UNKNOWN)


async def test_a_proof_from_one_node_outweighs_a_no_from_another(
    nodes: list[Endpoint], sender: Router
) -> None:
    for node in nodes[:2]:
        await node.attach("alice")
    nodes[0].answer = Answer.DROPPED
    assert await sent(sender, "alice") is Outcome.DELIVERED
    nodes[1].answer = Answer.CLOSED
    assert await sent(sender, "alice") is Outcome.UNKNOWN
    nodes[1].answer = Answer.DROPPED
    assert await sent(sender, "alice") is Outcome.DROPPED


async def test_a_node_that_says_nothing_leaves_it_unknown(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    nodes[0].silent = True
    result = await sender.send("alice", "x", timeout=0.1)
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "no proof came in 0.1 s")
    assert sender.member.sending.waiting == 0


async def test_accepted_means_it_lies_in_the_inbox(world: Endpoints, sender: Router) -> None:
    stopped = await world.unread("stopped")
    await point_to(world, sender, "alice", stopped)
    before = await world.waiting(stopped)
    assert await sent(sender, "alice", confirm="accepted") is Outcome.ACCEPTED
    assert await world.waiting(stopped) == before + 1


# ---- offline, only when absent ------------------------------------------------------------------


async def test_a_user_who_never_came_is_offline(nodes: list[Endpoint], sender: Router) -> None:
    for confirm in ("delivered", "written", "accepted"):
        result = await sender.send("nobody", "x", confirm=confirm)
        assert (result.outcome, result.sessions) == (Outcome.OFFLINE, 0)
    assert [node.member.counts.received for node in nodes] == [0, 0, 0]


async def test_a_user_who_left_is_offline_though_the_cache_was_warm(
    nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    await sent(sender, "alice")
    await nodes[0].detach("alice")
    assert await sent(sender, "alice") is Outcome.OFFLINE
    assert len(nodes[0].messages) == 1


async def test_a_user_whose_route_is_a_ghost_is_offline_and_the_ghost_removed(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    await nodes[0].attach("alice")
    nodes[0].here.clear()
    assert await sent(sender, "alice") is Outcome.OFFLINE
    assert await world.routes("alice") == set()


async def test_a_user_whose_only_endpoint_is_dead_is_offline(
    world: Endpoints, sender: Router
) -> None:
    dead = await world.unread("dead")
    await point_to(world, sender, "alice", dead)
    await world.redis.delete(world.key(dead, "open"))
    assert await sent(sender, "alice") is Outcome.OFFLINE
    assert await world.routes("alice") == set()


@pytest.mark.one_server
async def test_after_a_push_that_may_have_run_twice_nobody_is_called_offline(
    world: Endpoints, nodes: list[Endpoint], store: EmbeddedServer
) -> None:
    await nodes[0].attach("alice")
    nodes[0].here.clear()
    async with Proxy(store.address.socket, store.address.login) as proxy:
        sender = await world.sender(proxy.url)
        lost = proxy.when(PUSH, Fault.LOSE_REPLY)
        result = await sender.send("alice", "x", timeout=2.0)
        assert lost.is_set()
        assert result.outcome is Outcome.UNKNOWN
        await sender.close()


@pytest.mark.one_server
async def test_a_repeated_push_reaches_the_node_under_the_same_id(
    world: Endpoints, nodes: list[Endpoint], store: EmbeddedServer
) -> None:
    await nodes[0].attach("alice")
    async with Proxy(store.address.socket, store.address.login) as proxy:
        sender = await world.sender(proxy.url)
        nodes[0].silent = True
        proxy.when(PUSH, Fault.LOSE_REPLY)
        sending = asyncio.ensure_future(sender.send("alice", "x"))
        await eventually(lambda: len(nodes[0].messages) >= 2)
        assert len({message.id for message in nodes[0].messages}) == 1
        nodes[0].silent = False
        await sender.close()
        sending.cancel()


# ---- busy ---------------------------------------------------------------------------------------


async def test_a_full_inbox_is_busy_and_nothing_is_pushed(world: Endpoints, sender: Router) -> None:
    stopped = await world.unread("stopped")
    await point_to(world, sender, "alice", stopped)
    await fill(world, stopped)
    result = await sender.send("alice", "x")
    assert result.outcome is Outcome.BUSY
    assert stopped in result.reason
    assert await world.waiting(stopped) == SMALL_INBOX


async def test_a_full_inbox_does_not_hide_the_users_other_node(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    stopped = await world.unread("stopped")
    await point_to(world, sender, "alice", stopped)
    await nodes[0].attach("alice")
    await fill(world, stopped)

    async def seen() -> bool:
        return await sent(sender, "alice") is Outcome.DELIVERED

    await eventually(seen)
    assert await sent(sender, "alice", confirm="accepted") is Outcome.UNKNOWN


async def test_a_full_inbox_of_one_user_does_not_touch_another(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    stopped = await world.unread("stopped")
    await point_to(world, sender, "alice", stopped)
    await nodes[0].attach("bob")
    await fill(world, stopped)
    results = await sender.send_many(["alice", "bob"], "x", confirm="delivered")
    assert results[UserId("alice")].outcome is Outcome.BUSY
    assert results[UserId("bob")].outcome is Outcome.DELIVERED


async def fill(world: Endpoints, endpoint: Any) -> None:
    room = SMALL_INBOX - await world.waiting(endpoint)
    await world.redis.rpush(world.key(endpoint, "inbox"), *["x"] * room)


# ---- attach and detach --------------------------------------------------------------------------


async def test_attaching_twice_is_attaching_once(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    (session,) = await nodes[0].attach("alice")
    assert await nodes[0].member.transport.attach([(UserId("alice"), session)])
    assert await sender.sessions("alice") == [session]


async def test_a_fenced_endpoint_attaches_nobody(world: Endpoints, nodes: list[Endpoint]) -> None:
    await nodes[0].member.endpoint.stop()
    await world.redis.delete(world.key(nodes[0].id, "open"))
    session = nodes[0].session()
    assert not await nodes[0].member.transport.attach([(UserId("alice"), session)])


async def test_detaching_removes_nothing_but_what_it_names(
    world: Endpoints, nodes: list[Endpoint], sender: Router
) -> None:
    (old,) = await nodes[0].attach("alice")
    (new,) = await nodes[1].attach("alice")
    detach = nodes[0].member.transport.detach
    for _ in range(2):
        await detach(UserId("alice"), nodes[0].id, old.session, last_here=True)
    await detach(UserId("alice"), nodes[0].id, new.session, last_here=True)
    await detach(UserId("alice"), nodes[1].id, SessionId("other"), last_here=False)
    assert await sender.sessions("alice") == [new]


# ---- the store is away --------------------------------------------------------------------------


@pytest.mark.one_server
async def test_without_the_store_every_send_fails_at_once_and_nothing_keeps_waiting(
    world: Endpoints, nodes: list[Endpoint], store: EmbeddedServer
) -> None:
    await nodes[0].attach("alice")
    async with Proxy(store.address.socket, store.address.login) as proxy:
        sender = await world.sender(proxy.url)
        await sent(sender, "alice")
        await proxy.refuse()
        await eventually(lambda: not sender.member.store.up)
        for user in ("alice", "nobody"):
            with pytest.raises(Unavailable):
                await sender.send(user, "x", timeout=60.0)
        assert sender.member.sending.waiting == 0
        await proxy.accept()

        async def delivered_again() -> bool:
            try:
                return await sent(sender, "alice", "again") is Outcome.DELIVERED
            except Unavailable:
                return False

        await eventually(delivered_again)
        await sender.close()
    assert nodes[0].texts().count('"again"') >= 1
