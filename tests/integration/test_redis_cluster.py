"""The product on a real Redis Cluster: slots that move, masters that die, all under traffic."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
from hiredis import ReplyError

from router.aio import Router
from router.errors import StoreRefused, Unavailable
from router.model import Outcome, UserId
from router.settings import RedisSettings
from router.store.cluster import ClusterConnector
from router.store.embedded import EmbeddedServer
from router.store.modes import make_connector, make_store
from router.store.topology import slot_of
from scripts.measuring.redis_cluster import RedisCluster
from scripts.measuring.store_servers import Server
from tests.support.cluster import Cluster, endpoint_of, fast_settings
from tests.support.traffic import Traffic
from tests.support.valkey import admins, programs, several
from tests.support.waiting import eventually

pytestmark = pytest.mark.one_server  # it brings its own servers

MODE = {"mode": "cluster"}


@pytest.fixture(scope="module", params=programs(), ids=lambda program: program.name)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with RedisCluster(folder, program=request.param.path) as found:
        admins[found.url] = found.admin_url
        several[found.url] = MODE
        yield found


@pytest.fixture
def well(servers: RedisCluster) -> RedisCluster:
    """Return the Cluster with every server there, whatever the test before has done to it."""
    for server in servers.servers:
        if not server.running:
            server.start()
    servers.settle()
    return servers


@pytest.fixture
async def cluster(well: RedisCluster) -> AsyncIterator[Cluster]:
    async with Cluster(well.url, nodes=3) as found:
        yield found


@pytest.fixture
async def router(cluster: Cluster) -> AsyncIterator[Router]:
    async with cluster.router() as found:
        yield found


def inbox_of(cluster: Cluster, node: int) -> str:
    return cluster.keys.inbox(endpoint_of(cluster.nodes[node]))


def another(servers: RedisCluster, than: Server) -> Server:
    return next(master for master in servers.masters() if master is not than)


# ---- where things are ---------------------------------------------------------------------------


async def test_the_inboxes_are_spread_over_the_masters(
    well: RedisCluster, cluster: Cluster
) -> None:
    for name in ("n4", "n5", "n6"):
        await cluster.start(name)
    held = Counter(well.master_of(inbox_of(cluster, node)).port for node in range(6))
    assert sorted(held.values()) == [2, 2, 2]


async def test_pages_and_nodes_are_put_together_from_all_masters(
    cluster: Cluster, router: Router
) -> None:
    names = sorted(f"user-{number:02}" for number in range(30))
    for number, name in enumerate(names):
        await cluster.connect(number % 3, name)
    assert [user.user async for user in router.users()] == names
    assert sorted(node.name for node in await router.nodes() if node.role == "node") == [
        "n1",
        "n2",
        "n3",
    ]


async def test_a_server_of_a_cluster_is_refused_where_a_single_one_is_expected(
    well: RedisCluster,
) -> None:
    url = well.url.partition(",")[0]
    with pytest.raises(StoreRefused, match=r'set redis\.mode = "cluster"'):
        async with Router.connect(url, fast_settings("x")):
            pass


async def test_a_single_server_is_refused_where_a_cluster_is_expected(
    store: EmbeddedServer,
) -> None:
    with pytest.raises(StoreRefused, match=r'set redis\.mode = "single"'):
        async with Router.connect(store.address.tcp_url, fast_settings("x", redis=MODE)):
            pass


# ---- slots that move ----------------------------------------------------------------------------


async def test_a_user_whose_slot_moves_is_found_again_past_the_cache(
    well: RedisCluster, cluster: Cluster, router: Router
) -> None:
    first = await cluster.connect(0, "alice")
    assert (await router.send("alice", 1)).outcome is Outcome.DELIVERED
    key = cluster.keys.routes(UserId("alice"))
    await asyncio.to_thread(well.move, key, another(well, well.master_of(key)))
    await first.close()
    await cluster.connect(1, "alice")
    received = cluster.received()[1]
    assert (await router.send("alice", 2)).outcome is Outcome.DELIVERED
    assert cluster.received()[1] == received + 1


async def test_while_a_users_slot_is_on_its_way_sends_are_asked_for_where_it_goes(
    well: RedisCluster, cluster: Cluster, router: Router
) -> None:
    alice = await cluster.connect(0, "alice")
    key = cluster.keys.routes(UserId("alice"))
    with well.moving(key, another(well, well.master_of(key))) as move:
        move.move(key)
        async with cluster.router(registry={"cache": False}) as fresh:
            assert (await fresh.send("alice", "on its way")).outcome is Outcome.DELIVERED
    assert await alice.messages(1) == ["on its way"]
    assert (await router.send("alice", "there")).outcome is Outcome.DELIVERED


async def test_an_inbox_moves_with_what_is_in_it(
    well: RedisCluster, cluster: Cluster, router: Router
) -> None:
    async with Traffic(cluster, router) as traffic:
        await traffic.some()
        for node in range(3):
            inbox = inbox_of(cluster, node)
            await asyncio.to_thread(well.move, inbox, another(well, well.master_of(inbox)))
            await traffic.some()
        await traffic.finish()
        await traffic.balance()


async def test_slots_of_users_move_under_traffic(
    well: RedisCluster, cluster: Cluster, router: Router
) -> None:
    async with Traffic(cluster, router) as traffic:
        for user in traffic.users:
            key = cluster.keys.routes(UserId(user))
            await asyncio.to_thread(well.move, key, another(well, well.master_of(key)))
        await traffic.some()
        await traffic.finish()
        await traffic.balance()


# ---- masters that go ----------------------------------------------------------------------------


async def test_replicas_take_over_in_order_under_traffic(
    well: RedisCluster, cluster: Cluster, router: Router
) -> None:
    async with Traffic(cluster, router) as traffic:
        for master in well.masters():
            await traffic.some(100)
            await asyncio.to_thread(well.fail_over, master)
        await traffic.some()
        await traffic.finish()
        await traffic.balance()


@pytest.mark.parametrize("whose", ["a node's inbox", "the list of endpoints"])
async def test_a_master_is_killed_under_traffic_and_nothing_that_was_promised_is_lost(
    well: RedisCluster, whose: str
) -> None:
    async with (
        Cluster(well.url, nodes=3, mailbox={"min_replicas": 1}) as cluster,
        cluster.router() as router,
        Traffic(cluster, router) as traffic,
    ):
        await traffic.some(100)
        key = inbox_of(cluster, 0) if whose == "a node's inbox" else cluster.keys.endpoints
        dies = well.master_of(key)
        dies.kill()
        await eventually(lambda: well.master_of(key) is not dies, 30.0, "a replica is promoted")
        await traffic.some()
        await traffic.finish()
        await traffic.balance()


async def test_who_says_nothing_while_a_master_is_replaced_finds_the_new_one(
    well: RedisCluster, prefix: str
) -> None:
    async with Router.connect(well.url, fast_settings(prefix, well.url)) as router:
        key = router.member.keys.routes(UserId("nobody"))
        dies = well.master_of(key)
        dies.kill()
        await eventually(lambda: well.master_of(key) is not dies, 30.0, "a replica is promoted")
        await asyncio.to_thread(well.settle)

        async def answered() -> bool:
            try:
                return (await router.send("nobody", "x")).outcome is Outcome.OFFLINE
            except Unavailable:
                return False

        await eventually(answered, 30.0, "the new master answers")


async def test_a_silent_master_holds_up_only_what_it_has(
    well: RedisCluster, cluster: Cluster
) -> None:
    async with cluster.router(redis={"reply_timeout_s": 30.0}) as router:
        await router.join()
        own = router.member.endpoint.id
        assert own is not None
        spared = {
            well.master_of(key).port for key in (inbox_of(cluster, 0), cluster.keys.inbox(own))
        }
        silent = next(master for master in well.masters() if master.port not in spared)

        def named(there: bool) -> str:
            return next(
                name
                for name in (f"user-{number}" for number in range(1_000))
                if (well.master_of(cluster.keys.routes(UserId(name))) is silent) is there
            )

        alice, bob = named(there=False), named(there=True)
        for name in (alice, bob):
            await cluster.connect(0, name)
        deaf = next(node for node in range(3) if well.master_of(inbox_of(cluster, node)) is silent)
        await cluster.connect(deaf, "carol")
        assert (await router.send("carol", "seen")).outcome is Outcome.DELIVERED
        silent.signal(signal.SIGSTOP)
        try:
            waiting = {
                asyncio.create_task(router.send(bob, "looked up there")),
                asyncio.create_task(router.send("carol", "pushed there")),
            }
            for number in range(3):  # when the first is delivered, those are on their way
                assert (await router.send(alice, number)).outcome is Outcome.DELIVERED
            assert not [task for task in waiting if task.done()]
        finally:
            silent.signal(signal.SIGCONT)
        await asyncio.wait(waiting)


async def test_a_store_that_closes_ends_the_links_too_that_were_just_given_up(
    well: RedisCluster,
) -> None:
    holder = well.master_of("x")
    connector = make_connector(well.url, RedisSettings(mode="cluster"))
    assert isinstance(connector, ClusterConnector)
    store = make_store(connector, "closes")
    await store.open()
    link = store.redirected(ReplyError(f"ASK 1 {well.replica_of(holder).address}"))
    await eventually(lambda: link.up and not store.coming(link))
    # So it is looked who is needed still.
    connector.topology.moved(slot_of("x"), another(well, holder).address)
    await store.close()
    await eventually(lambda: not link.up, what="its connection is closed")


async def test_with_too_few_replicas_a_stored_message_is_called_neither_queued_nor_delivered(
    well: RedisCluster, cluster: Cluster
) -> None:
    async with cluster.router(mailbox={"min_replicas": 2}) as router:
        result = await router.send("nobody", "x", durable=True)
        assert result.outcome is Outcome.UNKNOWN
        assert result.reason == "stored, but 1 of 2 replicas have it so far"
        assert (await router.send("nobody", "x")).outcome is Outcome.OFFLINE
        alice = await cluster.connect(0, "alice")
        result = await router.send("alice", "x", durable=True)
        assert result.outcome is Outcome.UNKNOWN
        assert result.reason == "a client has it; stored, but 1 of 2 replicas have it so far"
        assert await alice.messages(1) == ["x"]
        assert (await router.send("alice", "y")).outcome is Outcome.DELIVERED
    async with cluster.router(mailbox={"min_replicas": 1}) as router:
        assert (await router.send("nobody", "x", durable=True)).outcome is Outcome.QUEUED
    assert await cluster.redis.xlen(cluster.keys.mail(UserId("nobody"))) == 2
