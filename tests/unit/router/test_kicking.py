"""Closing a user's sessions, wherever they are."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from router.codec import KickEnvelope
from router.errors import InvalidRequest, Unavailable
from router.keys import Keys
from router.kicking import MAX_REASON_CHARACTERS, kick
from router.member import Member
from router.model import SessionId, UserId
from router.settings import Settings
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint, Endpoints, endpoints
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

ALICE = UserId("alice")


@pytest.fixture
def settings(prefix: str) -> Settings:
    return fast_settings(prefix)


@pytest.fixture
async def world(store: EmbeddedServer, settings: Settings) -> AsyncIterator[Endpoints]:
    async with endpoints(store.address.url, settings) as found:
        yield found


class Closer:
    """Closes sessions of an endpoint when told to, and notes down what it was told."""

    def __init__(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        self.orders: list[KickEnvelope] = []
        self._here = endpoint.here
        monkeypatch.setattr(endpoint, "kick", self.kick)

    def kick(self, envelope: KickEnvelope) -> int:
        self.orders.append(envelope)
        sessions = self._here.get(UserId(envelope.user), [])
        return sum(envelope.session in ("", session.session) for session in sessions)


@pytest.fixture
async def nodes(world: Endpoints) -> list[Endpoint]:
    return [await world.start(name) for name in ("n1", "n2", "n3")]


@pytest.fixture
def closers(nodes: list[Endpoint], monkeypatch: pytest.MonkeyPatch) -> list[Closer]:
    return [Closer(node, monkeypatch) for node in nodes]


@pytest.fixture
async def operator(world: Endpoints) -> Member:
    return (await world.sender()).member


async def test_every_session_is_closed_where_it_is(
    operator: Member, nodes: list[Endpoint], closers: list[Closer]
) -> None:
    await nodes[0].attach("alice", "alice", "bob")
    await nodes[1].attach("alice")
    assert await kick(operator, ALICE, None, "enough", 5.0) == 3
    assert [len(closer.orders) for closer in closers] == [1, 1, 0]
    order = closers[0].orders[0]
    assert (order.user, order.session, order.reason) == ("alice", "", "enough")
    assert order.sender == operator.endpoint.id


async def test_one_session_may_be_meant(
    operator: Member, nodes: list[Endpoint], closers: list[Closer]
) -> None:
    first, _ = await nodes[0].attach("alice", "alice")
    await nodes[1].attach("alice")
    assert await kick(operator, ALICE, first.session, "", 5.0) == 1
    assert [len(closer.orders) for closer in closers] == [1, 0, 0]
    assert closers[0].orders[0].session == first.session


async def test_who_is_nowhere_or_a_session_that_is_not_theirs_is_nothing_to_close(
    operator: Member, nodes: list[Endpoint], closers: list[Closer]
) -> None:
    await nodes[0].attach("alice")
    assert await kick(operator, UserId("nobody"), None, "", 5.0) == 0
    assert await kick(operator, ALICE, SessionId("elsewhere"), "", 5.0) == 0
    assert closers[0].orders == []


async def test_a_node_that_does_not_answer_counts_for_nothing(
    operator: Member, world: Endpoints, nodes: list[Endpoint], closers: list[Closer], redis: Redis
) -> None:
    await nodes[0].attach("alice")
    silent = await world.unread("n9")
    keys = Keys(world.settings.registry.prefix)
    redis.hset(keys.routes(ALICE), f"{silent}/s", redis.hvals(keys.routes(ALICE))[0])
    assert await kick(operator, ALICE, None, "", 0.2) == 1


async def test_a_closed_or_full_endpoint_counts_for_nothing_at_once(
    operator: Member, world: Endpoints, nodes: list[Endpoint], closers: list[Closer], redis: Redis
) -> None:
    await nodes[0].attach("alice")
    keys = Keys(world.settings.registry.prefix)
    entry = redis.hvals(keys.routes(ALICE))[0]
    redis.hset(keys.routes(ALICE), "gone.aa/s", entry)
    assert await kick(operator, ALICE, None, "", 60.0) == 1


async def test_who_asked_may_go_before_the_answer_comes(
    operator: Member, nodes: list[Endpoint], closers: list[Closer]
) -> None:
    await nodes[0].attach("alice")
    asking = asyncio.create_task(kick(operator, ALICE, None, "", 5.0))
    while not operator.sending.waiting:
        await rounds(1)
    asking.cancel()
    await eventually(lambda: operator.sending.waiting == 0)
    assert asking.cancelled()
    assert len(closers[0].orders) == 1


@pytest.mark.parametrize("reason", ["x" * (MAX_REASON_CHARACTERS + 1), "a\nb", "\x00", "a\u2028b"])
async def test_a_reason_that_is_too_long_or_holds_control_characters_is_refused(
    operator: Member, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await kick(operator, ALICE, None, reason, 5.0)
    assert caught.value.field == "reason"


async def test_the_longest_reason_travels(
    operator: Member, nodes: list[Endpoint], closers: list[Closer]
) -> None:
    await nodes[0].attach("alice")
    reason = "ä" * MAX_REASON_CHARACTERS
    assert await kick(operator, ALICE, None, reason, 5.0) == 1
    assert closers[0].orders[0].reason == reason


async def test_an_order_whose_push_was_lost_is_not_called_done(
    world: Endpoints,
    nodes: list[Endpoint],
    closers: list[Closer],
    proxy: Proxy,
    logs: StrictLogs,
) -> None:
    logs.expect("store connection lost")
    await nodes[0].attach("alice")
    router = await world.sender(proxy.url)
    proxy.when(b"EVALSHA", Fault.LOSE_COMMAND)
    with pytest.raises(Unavailable, match="may have run"):
        await kick(router.member, ALICE, None, "", 60.0)


async def test_a_store_that_is_away_is_unavailable(
    world: Endpoints, nodes: list[Endpoint], proxy: Proxy, logs: StrictLogs
) -> None:
    logs.expect("store connection lost", "heartbeat failed")
    router = await world.sender(proxy.url)
    await proxy.refuse()
    with pytest.raises(Unavailable):
        await kick(router.member, ALICE, None, "", 5.0)
    await proxy.accept()
