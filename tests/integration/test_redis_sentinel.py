"""The product on a master that real Sentinels watch: failovers in order and by force."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from router.aio import Router
from router.errors import StoreRefused, Unavailable
from router.model import Outcome
from scripts.measuring.sentinels import NAME, Sentinels
from scripts.measuring.store_servers import Server
from tests.support.cluster import Cluster, fast_settings
from tests.support.traffic import Traffic
from tests.support.valkey import admins, programs, several
from tests.support.waiting import eventually

pytestmark = pytest.mark.one_server  # it brings its own servers


@pytest.fixture(scope="module", params=programs(), ids=lambda program: program.name)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sentinels]:
    folder = tmp_path_factory.mktemp("sentinels")
    with Sentinels(folder, program=request.param.path) as found:
        several[found.url] = {"mode": "sentinel", "sentinel_master": NAME}
        yield found


@pytest.fixture
def well(servers: Sentinels) -> Sentinels:
    """Return the servers all there and in step, whatever the test before has done to them."""
    for server in (*servers.servers, *servers.sentinels):
        if not server.running:
            server.start()
    servers.settle()
    admins[servers.url] = servers.admin_url
    return servers


@pytest.fixture
async def cluster(well: Sentinels) -> AsyncIterator[Cluster]:
    async with Cluster(well.url, nodes=3, mailbox={"min_replicas": 1}) as found:
        yield found


async def opens(servers: Sentinels, **redis: Any) -> None:
    """Connect with some settings of the store changed."""
    section = {**several[servers.url], **redis}
    async with Router.connect(servers.url, fast_settings("x", redis=section)):
        pass


async def test_a_replica_takes_over_in_order_under_traffic(
    well: Sentinels, cluster: Cluster
) -> None:
    async with cluster.router() as router, Traffic(cluster, router) as traffic:
        await traffic.some(100)
        await asyncio.to_thread(well.fail_over)
        await traffic.some()
        await traffic.finish()
        await traffic.balance()


async def test_after_a_failover_in_order_nobody_stays_with_the_old_master(
    well: Sentinels, cluster: Cluster
) -> None:
    """It takes writes, all of which it loses, until a Sentinel makes it a replica."""

    def clients() -> list[str]:
        with old.client() as client:
            found: Any = client.client_list(_type="normal")
        return [one["name"] for one in found if one["name"].startswith("switchboard-")]

    async with cluster.router() as router:
        assert (await router.send("nobody", 1)).outcome is Outcome.OFFLINE
        old = well.master()
        assert clients()
        with stays_master(old):
            await asyncio.to_thread(well.fail_over)
            await eventually(lambda: not clients(), 30.0, "everybody leaves the old master")
            assert old.ask("ROLE")[0] == b"master"
            await eventually(lambda: router_reaches(router), 30.0, "the new one is found")


@contextmanager
def stays_master(server: Server) -> Iterator[None]:
    """Let no Sentinel make a server a replica meanwhile, however long that takes."""
    server.ask("ACL", "SETUSER", "default", "-slaveof", "-replicaof")
    try:
        yield
    finally:
        server.ask("ACL", "SETUSER", "default", "+slaveof", "+replicaof")


async def router_reaches(router: Router) -> bool:
    try:
        return (await router.send("nobody", 2)).outcome is Outcome.OFFLINE
    except Unavailable:
        return False


async def test_the_master_is_killed_under_traffic_and_nothing_that_was_promised_is_lost(
    well: Sentinels, cluster: Cluster
) -> None:
    async with cluster.router() as router, Traffic(cluster, router) as traffic:
        await traffic.some(100)
        dies = well.master()
        dies.kill()
        await eventually(lambda: well.master() is not dies, 30.0, "a replica is promoted")
        await traffic.some()
        await traffic.finish()
        await traffic.balance()


async def test_sentinels_that_are_away_are_passed_over(well: Sentinels) -> None:
    for sentinel in well.sentinels[:2]:
        sentinel.kill()
    await opens(well)


async def test_without_any_sentinel_nobody_knows_the_master(well: Sentinels) -> None:
    for sentinel in well.sentinels:
        sentinel.kill()
    with pytest.raises(Unavailable):
        await opens(well)


async def test_a_master_of_another_name_is_refused_and_named(well: Sentinels) -> None:
    with pytest.raises(StoreRefused, match="knows no master 'other'"):
        await opens(well, sentinel_master="other")


async def test_the_sentinels_may_have_a_password_of_their_own(tmp_path: Path) -> None:
    password = "p@ss/word"
    with Sentinels(tmp_path, replicas=0, sentinels=1, password=password) as guarded:
        several[guarded.url] = {"mode": "sentinel", "sentinel_master": NAME}
        with pytest.raises(StoreRefused, match=r"see redis\.sentinel_password"):
            await opens(guarded)
        await opens(guarded, sentinel_password=password)
