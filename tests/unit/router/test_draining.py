"""Telling a node to leave, from anywhere."""

from dataclasses import replace

import msgspec
import pytest
from redis import Redis

from router.codec import DrainEnvelope, Lease, decode_envelope, encode
from router.draining import chosen, drain
from router.errors import InvalidRequest, StoreRefused, Unavailable, UnknownNode
from router.keys import Keys
from router.member import Member, sender_lease
from router.model import Endpoint, EndpointId
from router.settings import Settings
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.waiting import eventually, rounds

NODE = Endpoint(
    name="n1",
    endpoint=EndpointId("n1.e1"),
    role="node",
    pid=7,
    address="127.0.0.1:8001",
    state="live",
    sessions=0,
    inbox_length=0,
    heartbeat_age_seconds=0.5,
    received=0,
    delivered=0,
    received_per_second=0.0,
    delivered_per_second=0.0,
)
TWIN = replace(NODE, endpoint=EndpointId("n1.e2"))


class TestWhoIsMeant:
    def test_a_node_is_found_by_its_name_or_its_endpoint(self) -> None:
        other = replace(NODE, name="n2", endpoint=EndpointId("n2.e1"))
        assert chosen([other, NODE], "n1") == NODE
        assert chosen([NODE, TWIN], "n1.e2") == TWIN

    def test_an_epoch_that_is_lost_does_not_stand_in_the_way(self) -> None:
        assert chosen([replace(NODE, state="lost"), TWIN], "n1") == TWIN

    def test_two_of_one_name_must_be_told_apart(self) -> None:
        with pytest.raises(InvalidRequest, match=r"n1\.e1 or n1\.e2"):
            chosen([NODE, TWIN], "n1")

    def test_of_a_lost_node_it_is_said_that_others_look_after_it(self) -> None:
        with pytest.raises(UnknownNode, match="its lease has ended"):
            chosen([replace(NODE, state="lost")], "n1")

    def test_a_sender_is_no_node(self) -> None:
        with pytest.raises(UnknownNode, match="switchboard nodes"):
            chosen([replace(NODE, role="sender")], "n1")


@pytest.fixture
def settings(prefix: str) -> Settings:
    return fast_settings(prefix)


class Node:
    """A member that calls itself a node, and notes down when it is told to leave."""

    def __init__(self, settings: Settings, url: str, state: str = "live") -> None:
        lease = msgspec.structs.replace(sender_lease(), role="node", state=state)
        self.member = Member(settings, url, describe=lambda: lease)
        self.orders = 0
        self.member.receiver.on_drain = self.told

    def told(self) -> None:
        self.orders += 1

    async def start(self) -> EndpointId:
        await self.member.open()
        return await self.member.join("n1")


async def test_the_node_is_told_as_often_as_somebody_asks(
    settings: Settings, store: EmbeddedServer
) -> None:
    node = Node(settings, store.address.url)
    endpoint = await node.start()
    assert await drain(node.member, "n1") == endpoint
    assert await drain(node.member, endpoint) == endpoint
    await eventually(lambda: node.orders == 2)
    await node.member.close()


async def test_an_order_to_another_epoch_is_for_nobody(
    settings: Settings, store: EmbeddedServer, redis: Redis, keys: Keys
) -> None:
    node = Node(settings, store.address.url)
    endpoint = await node.start()
    redis.rpush(keys.inbox(endpoint), encode(DrainEnvelope("n1.other")))
    await eventually(lambda: not redis.exists(keys.inbox(endpoint)))
    await rounds()
    assert (node.orders, node.member.counts.dead) == (0, 0)
    await node.member.close()


async def test_a_node_that_is_closing_its_inbox_has_been_told_already(
    settings: Settings, store: EmbeddedServer, redis: Redis, keys: Keys
) -> None:
    node = Node(settings, store.address.url, state="draining")
    endpoint = await node.start()
    await node.member.endpoint.stop()  # a heartbeat would find itself fenced
    redis.delete(keys.open(endpoint))
    assert await drain(node.member, "n1") == endpoint
    await node.member.close()


async def test_one_that_has_just_left_is_unknown(
    settings: Settings, store: EmbeddedServer, redis: Redis, keys: Keys
) -> None:
    node = Node(settings, store.address.url)
    endpoint = await node.start()
    await node.member.endpoint.stop()  # a heartbeat would find itself fenced
    redis.delete(keys.open(endpoint))
    with pytest.raises(UnknownNode, match="just left"):
        await drain(node.member, "n1")
    await node.member.close()


async def test_an_inbox_that_takes_no_more_is_told(
    settings: Settings, store: EmbeddedServer, redis: Redis, keys: Keys
) -> None:
    member = Member(
        fast_settings(settings.registry.prefix, inbox={"max_length": 512}), store.address.url
    )
    await member.open()
    full = await member.leases.open("full", Lease("node", 1, "", "live", 0, 0, 0, 0.0, 0.0))
    redis.rpush(keys.inbox(full), *["x"] * 512)
    with pytest.raises(StoreRefused, match="full"):
        await drain(member, "full")
    await member.close()


async def test_a_store_that_is_away_is_told(settings: Settings) -> None:
    member = Member(settings, "redis://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await drain(member, "n1")
    await member.close()


@pytest.mark.parametrize("name", ["", "a b", ".e1", "x" * 65])
async def test_what_is_no_name_is_refused_before_the_store_is_asked(
    settings: Settings, name: str
) -> None:
    with pytest.raises(InvalidRequest):
        await drain(Member(settings, "redis://127.0.0.1:1"), name)


def test_what_a_later_version_puts_behind_an_order_is_passed_over() -> None:
    later = msgspec.msgpack.encode((0x15, "n1.e1", 30.0, "ops"))
    assert decode_envelope(later) == DrainEnvelope("n1.e1")
