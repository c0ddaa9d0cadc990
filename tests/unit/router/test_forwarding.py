"""A copy is sent on to where its user is now, and what is said of it is true."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from redis import Redis

from router.codec import MAX_HOPS, Answer, MessageEnvelope, decode_envelope
from router.errors import SwitchboardError
from router.forwarding import Copy, Forwarder
from router.keys import Keys
from router.model import EndpointId, Session, SessionId, UserId
from router.settings import RegistrySettings
from router.store import scripts
from router.store.registry import Registry
from router.store.store import Store
from router.transport.outbox import Outbox
from tests.support.proxy import Fault, Proxy
from tests.support.rooms import room
from tests.support.waiting import eventually

LEFT, N2, N3 = EndpointId("n1.aa"), EndpointId("n2.bb"), EndpointId("n3.cc")
ALICE, BOB = UserId("alice"), UserId("bob")
FULL_AT = 3


def nobody(_: UserId) -> Sequence[SessionId]:
    return ()


def message(hop: int = 0) -> MessageEnvelope:
    return MessageEnvelope("m1", "s.1", "bob", 2, hop, 1.0, 0, [ALICE, BOB], [7, 8], b"1")


class Cluster:
    """Three endpoints that may receive, and a forwarder."""

    def __init__(self, store: Store, redis: "Redis", keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self.registry = Registry(store, keys, RegistrySettings())
        self.outbox = Outbox(store, keys, room(FULL_AT), 50_000)
        self.forwarder = Forwarder(self.registry, self.outbox)
        redis.mset({keys.open(endpoint): b"said" for endpoint in (LEFT, N2, N3)})

    async def attach(self, user: UserId, *endpoints: EndpointId) -> None:
        for endpoint in endpoints:
            session = Session(SessionId(f"s-{endpoint}"), endpoint, "web", "", 1.0)
            assert await self.registry.register([(user, session)])

    def closes(self, *endpoints: EndpointId) -> None:
        self.redis.delete(*(self.keys.open(endpoint) for endpoint in endpoints))

    def fills(self, *endpoints: EndpointId) -> None:
        for endpoint in endpoints:
            self.redis.rpush(self.keys.inbox(endpoint), *(b"x" for _ in range(FULL_AT)))

    def inbox(self, endpoint: EndpointId) -> list[MessageEnvelope]:
        entries: Any = self.redis.lrange(self.keys.inbox(endpoint), 0, -1)
        found = [decode_envelope(entry) for entry in entries if entry != b"x"]
        return [each for each in found if isinstance(each, MessageEnvelope)]

    def routes(self, user: UserId) -> set[str]:
        fields: Any = self.redis.hkeys(self.keys.routes(user))
        return {field.decode().rpartition("/")[0] for field in fields}

    async def send_on(
        self,
        envelope: MessageEnvelope | None = None,
        *,
        index: int = 0,
        alive: Callable[[UserId], Sequence[SessionId]] = nobody,
        sure: bool = True,
    ) -> Answer | None:
        return await self.forwarder.send_on(envelope or message(), index, LEFT, alive, sure=sure)


@pytest.fixture
def cluster(plain_store: Store, redis: Redis, keys: Keys) -> Cluster:
    return Cluster(plain_store, redis, keys)


async def test_it_follows_its_user_alone_and_one_hop_further(cluster: Cluster) -> None:
    await cluster.attach(BOB, LEFT, N2)
    assert await cluster.send_on(index=1) is None
    (onward,) = cluster.inbox(N2)
    assert (onward.users, onward.refs, onward.hop) == ([BOB], [8], 1)
    assert (onward.id, onward.sender, onward.origin, onward.data) == ("m1", "s.1", "bob", b"1")
    assert cluster.routes(BOB) == {N2}
    assert cluster.forwarder.counts.sent_on == 1


async def test_it_goes_to_each_endpoint_that_holds_the_user(cluster: Cluster) -> None:
    await cluster.attach(ALICE, LEFT, N2, N3)
    assert await cluster.send_on() is None
    assert len(cluster.inbox(N2)) == len(cluster.inbox(N3)) == 1
    assert cluster.forwarder.counts.sent_on == 1


@pytest.mark.parametrize(("sure", "answer"), [(True, Answer.NOT_HERE), (False, Answer.UNSURE)])
async def test_of_one_that_finds_nobody_no_more_is_said_than_is_known(
    cluster: Cluster, sure: bool, answer: Answer
) -> None:
    await cluster.attach(ALICE, LEFT)
    assert await cluster.send_on(sure=sure) is answer
    assert cluster.routes(ALICE) == set()
    assert cluster.inbox(LEFT) == []


async def test_sessions_that_are_alive_here_after_all_get_it_here(cluster: Cluster) -> None:
    await cluster.attach(ALICE, LEFT)
    assert await cluster.send_on(alive=lambda _: [SessionId(f"s-{LEFT}")]) is None
    assert len(cluster.inbox(LEFT)) == 1
    assert cluster.routes(ALICE) == {LEFT}


@pytest.mark.parametrize("hop", range(MAX_HOPS))
async def test_hops_are_counted(cluster: Cluster, hop: int) -> None:
    await cluster.attach(ALICE, N2)
    assert await cluster.send_on(message(hop)) is None
    assert cluster.inbox(N2)[0].hop == hop + 1


async def test_routes_of_another_type_hold_up_nobody_elses_messages(cluster: Cluster) -> None:
    await cluster.attach(BOB, N2)
    cluster.redis.set(cluster.keys.routes(ALICE), b"not a hash")
    copies = [Copy(message(), 0, sure=True), Copy(message(), 1, sure=True)]
    answers = await cluster.forwarder.send_on_all(copies, LEFT, nobody)
    assert answers == [("s.1", 7, Answer.UNSURE)]
    assert len(cluster.inbox(N2)) == 1
    assert cluster.forwarder.counts.garbage == 1


async def test_what_has_come_too_far_goes_no_further(cluster: Cluster) -> None:
    await cluster.attach(ALICE, LEFT, N2)
    assert await cluster.send_on(message(MAX_HOPS), sure=False) is Answer.UNSURE
    assert cluster.inbox(N2) == []
    assert cluster.routes(ALICE) == {N2}


async def test_a_closed_endpoint_is_forgotten_and_the_user_looked_up_again(
    cluster: Cluster,
) -> None:
    await cluster.attach(ALICE, N2)
    cluster.closes(N2)
    assert await cluster.send_on() is Answer.UNSURE
    assert cluster.routes(ALICE) == set()


async def test_one_closed_among_several_is_left_to_the_next_look_up(cluster: Cluster) -> None:
    await cluster.attach(ALICE, N2, N3)
    cluster.closes(N2)
    assert await cluster.send_on() is None
    assert len(cluster.inbox(N3)) == 1


async def test_what_was_kept_here_is_not_kept_there(cluster: Cluster) -> None:
    await cluster.attach(ALICE, N2)
    cluster.closes(N2)
    kept = [SessionId(f"s-{N2}")]
    assert await cluster.send_on(alive=lambda _: kept) is Answer.UNSURE
    assert cluster.routes(ALICE) == set()


async def test_more_closed_endpoints_than_hops_end_in_unsure(cluster: Cluster) -> None:
    closed = [EndpointId(f"x{number}.aa") for number in range(MAX_HOPS + 1)]
    cluster.redis.mset({cluster.keys.open(endpoint): b"said" for endpoint in closed})
    await cluster.attach(ALICE, *closed)
    cluster.closes(*closed)
    assert await cluster.send_on() is Answer.UNSURE
    assert 0 < len(cluster.routes(ALICE)) <= MAX_HOPS  # the rest goes with the next message


@pytest.mark.parametrize("others", [(), (N3,)], ids=["alone", "beside a closed one"])
async def test_a_full_inbox_takes_nothing_and_the_sender_is_told(
    cluster: Cluster, others: tuple[EndpointId, ...]
) -> None:
    await cluster.attach(ALICE, N2, *others)
    cluster.fills(N2)
    cluster.closes(LEFT, *others)
    assert await cluster.send_on() is Answer.UNSURE
    assert cluster.routes(ALICE) == {N2}


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
@pytest.mark.parametrize("script", [scripts.FORGET, scripts.PUSH], ids=lambda each: each.name)
async def test_when_the_store_goes_away_it_is_an_error_and_again_is_safe(
    shaky_store: Store, proxy: Proxy, redis: Redis, keys: Keys, fault: Fault, script: scripts.Script
) -> None:
    cluster = Cluster(shaky_store, redis, keys)
    await cluster.attach(ALICE, LEFT, N2)
    sprung = proxy.when(script.sha.encode(), fault)
    with pytest.raises(SwitchboardError):
        await cluster.send_on()
    assert sprung.is_set()
    await eventually(lambda: shaky_store.up)
    assert await cluster.send_on() is None
    copies = cluster.inbox(N2)
    ran = script is scripts.PUSH and fault is Fault.LOSE_REPLY
    assert [each.id for each in copies] == ["m1"] * (2 if ran else 1)
    assert cluster.routes(ALICE) == {N2}


async def test_the_place_in_the_mailbox_travels_with_its_user(cluster: Cluster) -> None:
    await cluster.attach(BOB, LEFT, N2)
    durable = msgspec.structs.replace(message(), offsets=["5-0", "7-1"], before=["0-0", "7-0"])
    assert await cluster.send_on(durable, index=1) is None
    (onward,) = cluster.inbox(N2)
    assert (onward.offsets, onward.before) == (["7-1"], ["7-0"])


async def test_a_message_without_a_place_has_none_when_it_is_sent_on(cluster: Cluster) -> None:
    await cluster.attach(ALICE, LEFT, N2)
    assert await cluster.send_on() is None
    (onward,) = cluster.inbox(N2)
    assert (onward.offsets, onward.before) == ([], [])
