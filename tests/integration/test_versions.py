"""A node on a store that holds what earlier versions wrote."""

import time
from dataclasses import replace
from typing import Final

import msgspec
import pytest

from router import codec
from router.model import UserId
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster, endpoint_of
from tests.support.followers import Follower
from tests.support.waiting import eventually
from tests.support.written import Written, written

VERSIONS: Final = [version for version in (codec.VERSION - 1, codec.VERSION) if version]
ALICE: Final = UserId("alice")
_HOUR_MS: Final = 3_600_000


def one(version: int, kind: str) -> Written:
    """Return the first of a kind."""
    return next(each for each in written(version) if each.kind == kind)


@pytest.mark.parametrize("version", VERSIONS)
class TestWhatWaits:
    async def test_an_inbox_is_read_on(self, store: EmbeddedServer, version: int) -> None:
        async with Cluster(store.address.url, nodes=1) as cluster:
            alice = await cluster.connect(0, "alice")
            inbox = cluster.keys.inbox(endpoint_of(cluster.nodes[0]))
            everybody = written(version)[1]
            assert everybody.fields["users"] is None
            await cluster.redis.rpush(inbox, everybody.data, one(version, "KickEnvelope").data)
            assert await alice.messages(1) == [[1]]
            assert (await alice.expect("goodbye"))["reason"] == "signed out elsewhere"
            assert await cluster.redis.llen(cluster.keys.dead) == 0

    async def test_a_mailbox_is_replayed(self, store: EmbeddedServer, version: int) -> None:
        async with Cluster(store.address.url, nodes=1) as cluster:
            before, keys = int(time.time() * 1_000) - _HOUR_MS, cluster.keys
            message = one(version, "StoredMessage").data
            for number in range(3):
                fields = {"name": f"bob m{number}", "message": message, "total": (number + 1) * 40}
                await cluster.redis.xadd(keys.mail(ALICE), fields, f"{before}-{number}")
            await cluster.redis.hset(keys.cursors(ALICE), "web", f"{before}-0 {before}")
            alice = Follower("alice", asks=False)
            await alice.connect(cluster.nodes[0].address)
            assert await alice.read(2) == [{"text": "kept"}] * 2

            async def taken() -> bool:
                return int(await cluster.redis.xlen(keys.mail(ALICE))) == 0

            await eventually(taken)
            await alice.close()

    async def test_nodes_and_users_are_listed(self, store: EmbeddedServer, version: int) -> None:
        async with Cluster(store.address.url, nodes=1) as cluster, cluster.router() as router:
            keys, redis = cluster.keys, cluster.redis
            other = "old.0c4f6b27d1"
            lease, route = one(version, "Lease"), one(version, "RouteEntry")
            await redis.set(keys.open(other), lease.data)  # type: ignore[arg-type]
            await redis.set(keys.lease(other), lease.data, px=60_000)  # type: ignore[arg-type]
            await redis.sadd(keys.endpoints, other)
            await redis.hset(keys.routes(ALICE), f"{other}/s1", route.data)
            (found,) = [node for node in await router.nodes() if node.name == "old"]
            assert (found.address, found.state) == (lease.fields["address"], "draining")
            (session,) = (await router.user("alice")).sessions
            assert (session.device, session.address) == ("phone", "192.0.2.7")


class TestALaterOne:
    async def test_what_it_sends_to_a_node_that_does_not_know_it_is_kept_for_inspection(
        self, cluster: Cluster
    ) -> None:
        alice = await cluster.connect(0, "alice")
        first, *fields = msgspec.msgpack.decode(written(codec.VERSION)[1].data)
        later = replace(
            written(codec.VERSION)[1], data=msgspec.msgpack.encode([first + 16, *fields])
        )
        await cluster.redis.rpush(cluster.keys.inbox(endpoint_of(cluster.nodes[0])), later.data)

        async def kept() -> bool:
            return list(await cluster.redis.lrange(cluster.keys.dead, 0, -1)) == [later.data]

        await eventually(kept)
        assert await alice.nothing_came()
