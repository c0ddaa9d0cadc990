"""Whatever lies in the store in the place of our keys costs itself, and is made good again."""

from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from router.aio import Router
from router.codec import Lease, StoredMessage, encode
from router.errors import StoreRefused
from router.keys import Keys
from router.model import EndpointId, Outcome, UserId
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.cluster import Cluster, endpoint_of
from tests.support.waiting import eventually

SPOILT: Final = {
    "string": ("SET", "{}", "garbage"),
    "bytes": ("SET", "{}", b"\xff\xfe\x00"),
    "long": ("SET", "{}", b"x" * 1_000_000),
    "list": ("RPUSH", "{}", "garbage"),
    "set": ("SADD", "{}", "garbage", b"\xff", "a b", "{x}.1", "x" * 10_000),
    "hash": ("HSET", "{}", b"\xff/\xff", b"\xc1", "n9.1/s1", "no entry", "web", "no cursor"),
    "zset": ("ZADD", "{}", "1", b"\xff", "0", "a b", "0", b"a\xff"),
    "stream": ("XADD", "{}", "*", "garbage", "x"),
}
# Of each key, types that it never has, and garbage of the type that it has.
OF_AN_ENDPOINT: Final = [
    (Keys.inbox, "string hash list"),
    (Keys.done, "list string long"),
    (Keys.users, "string stream zset"),
    (Keys.rescued, "string zset list"),
    (Keys.rescuer, "list string"),
    (Keys.lease, "hash bytes long"),
    (Keys.open, "set bytes"),
]
OF_A_USER: Final = [
    (Keys.routes, "string zset hash"),
    (Keys.mail, "string stream"),
    (Keys.cursors, "list hash"),
    (Keys.seen, "hash bytes"),
]
ALICE, BYSTANDER = UserId("alice"), UserId("bystander")


class World:
    """Two nodes, one whose keys are spoilt; and a bystander on the other, who must not notice."""

    def __init__(self, cluster: Cluster, router: Router, clients: dict[UserId, Client]) -> None:
        self.cluster = cluster
        self.keys = cluster.keys
        self.router = router
        self.clients = clients
        self.sent = 0

    @property
    def n1(self) -> EndpointId:
        return endpoint_of(self.cluster.nodes[0])

    async def spoil(self, key: str, kind: str) -> None:
        """Put something else in the place of a key."""
        await self.cluster.redis.delete(key)
        words = [key if word == "{}" else word for word in SPOILT[kind]]
        await self.cluster.redis.execute_command(*words)

    async def reaches(self, user: UserId, *, durable: bool = False) -> None:
        """Send until it is known to have arrived."""

        async def arrives() -> bool:
            self.sent += 1
            try:
                result = await self.router.send(user, self.sent, durable=durable, timeout=0.5)
            except StoreRefused:  # the truth, for as long as it lasts
                return False
            return result.outcome is Outcome.DELIVERED

        await eventually(arrives, 30.0, f"{user} is reached")
        while self.sent not in await self.clients[user].messages(1):
            pass

    async def listed(self, *users: UserId) -> None:
        """Wait until exactly these are listed, and both nodes."""

        async def so() -> bool:
            online = [each.user async for each in self.router.users()]
            nodes = {node.name for node in await self.router.nodes() if node.state == "live"}
            return online == list(users) and nodes >= {"n1", "n2"}

        await eventually(so, 30.0, f"{users} are listed")

    def loops_live(self) -> None:
        assert [node.member.services.failures for node in self.cluster.nodes] == [0, 0]


@pytest.fixture
async def world(store: EmbeddedServer) -> AsyncIterator[World]:
    async with (
        Cluster(store.address.url, nodes=2, registry={"user_ttl_s": 3.0}) as cluster,
        cluster.router() as router,
    ):
        alice = await cluster.connect(0, ALICE)
        bystander = await cluster.connect(1, BYSTANDER)
        yield World(cluster, router, {ALICE: alice, BYSTANDER: bystander})


@pytest.mark.parametrize("name", OF_AN_ENDPOINT, ids=lambda pair: pair[0].__name__)
async def test_what_is_spoilt_of_a_node_is_mended_and_the_others_go_on(
    world: World, name: tuple[Callable[[Keys, EndpointId], str], str]
) -> None:
    maker, kinds = name
    for kind in kinds.split():
        await world.spoil(maker(world.keys, world.n1), kind)
        await world.reaches(BYSTANDER, durable=True)
        await world.reaches(ALICE)
    await world.listed(ALICE, BYSTANDER)
    world.loops_live()


@pytest.mark.parametrize("name", OF_A_USER, ids=lambda pair: pair[0].__name__)
async def test_what_is_spoilt_of_a_user_is_nobody_elses_trouble(
    world: World, name: tuple[Callable[[Keys, UserId], str], str]
) -> None:
    maker, kinds = name
    for kind in kinds.split():
        await world.spoil(maker(world.keys, ALICE), kind)
        await world.reaches(BYSTANDER, durable=True)
        await world.reaches(ALICE)
        status = await world.router.user("nobody" if maker is Keys.mail else ALICE)
        assert status.user
    await world.listed(ALICE, BYSTANDER)
    world.loops_live()


async def test_a_client_comes_back_whatever_its_cursors_and_mailbox_are(world: World) -> None:
    for kind in ("list", "hash", "string"):
        for key in (world.keys.cursors(ALICE), world.keys.mail(ALICE)):
            await world.spoil(key, kind)
        client = await world.cluster.connect(0, ALICE, device="web")
        await client.close()
    await world.reaches(BYSTANDER)
    world.loops_live()


async def test_strange_names_of_endpoints_hide_no_other_and_the_dead_are_rescued(
    world: World,
) -> None:
    redis, keys = world.cluster.redis, world.keys
    strange = [b"\xff", "ä b.1", "{x}.1", "x" * 10_000, "", "no-epoch", "n1\n.1"]
    await redis.sadd(keys.endpoints, *strange)
    dead = EndpointId("dead.1")
    await redis.sadd(keys.endpoints, dead)
    await redis.set(keys.open(dead), encode(Lease("node", 1, "", "live", 0, 0, 0, 0.0, 0.0)))
    await redis.set(keys.lease(dead), b"never ends")  # which would keep it alive for ever
    await redis.set(keys.inbox(dead), b"not a list")
    await redis.set(keys.done(dead), b"no number")
    await world.listed(ALICE, BYSTANDER)

    async def rescued() -> bool:
        return not await redis.exists(keys.open(dead), keys.inbox(dead), keys.done(dead))

    await eventually(rescued, 30.0, "it is rescued")
    await world.reaches(ALICE)
    world.loops_live()


@pytest.mark.parametrize("kind", ["string", "list"])
async def test_a_list_of_endpoints_of_another_type_ends_no_loop(world: World, kind: str) -> None:
    await world.spoil(world.keys.endpoints, kind)
    await world.reaches(ALICE)
    await world.cluster.redis.delete(world.keys.endpoints)
    await world.listed(ALICE, BYSTANDER)
    world.loops_live()


async def test_dead_letters_of_another_type_stop_nobody(world: World) -> None:
    await world.spoil(world.keys.dead, "hash")
    await world.cluster.redis.rpush(world.keys.inbox(world.n1), b"garbage")
    await world.reaches(ALICE)
    world.loops_live()


def stored(data: bytes) -> bytes:
    return encode(StoredMessage("m1", "bob", 1.0, 0, data))


async def test_a_stored_message_whose_data_is_no_json_does_not_end_the_replay(
    world: World,
) -> None:
    redis, mail = world.cluster.redis, world.keys.mail(UserId("carol"))
    for data in (b"{broken", b"\xff", b""):
        await redis.xadd(mail, {"name": "x", "message": stored(data), "total": "1"})
    await redis.xadd(mail, {"name": "x", "message": b"\xc1", "total": "1"})
    await redis.xadd(mail, {"name": "y", "message": stored(b'"good"'), "total": "2"})
    for device, protocol in (("a", "switchboard.v1.msgpack"), ("b", "switchboard.v1.json")):
        carol = await world.cluster.connect(0, "carol", device=device, protocol=protocol)
        assert await carol.messages(1) == ["good"]
    world.loops_live()
