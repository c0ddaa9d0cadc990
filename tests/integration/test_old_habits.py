"""What loses messages, or users, in systems like this; each has a public bug report somewhere."""

import asyncio

from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.clients import RawClient
from tests.support.cluster import Cluster
from tests.support.node_processes import processes
from tests.support.waiting import eventually


async def test_a_reconnect_before_the_old_close_is_noticed_keeps_the_new_route(
    cluster: Cluster,
) -> None:
    async with RawClient(cluster.nodes[0].address, "/ws?user=alice") as vanished:
        await vanished.message()
        (old,) = await cluster.routes("alice")
        back = await cluster.connect(1, "alice")
        (new,) = await cluster.routes("alice") - {old}
        vanished.cut()  # its node hears of it only now

        async def only_the_new_one_is_left() -> bool:
            return await cluster.routes("alice") == {new}

        await eventually(only_the_new_one_is_left)
        async with cluster.router() as router:
            assert (await router.send("alice", "still here?")).outcome is Outcome.DELIVERED
        assert await back.messages(1) == ["still here?"]


async def test_a_node_started_again_under_its_name_does_not_inherit_the_old_inbox(
    store: EmbeddedServer,
) -> None:
    # Long enough for alice to be back before the rescue.
    lease = {"ttl_s": 5.0, "heartbeat_s": 1.0}
    async with processes(store.address.url, 2, lease=lease) as cluster:
        dead, other = cluster.nodes
        await cluster.connect(dead, "alice")
        found = await cluster.described(dead)
        assert found is not None
        dead.pause()
        sending = asyncio.create_task(cluster.router.send("alice", "for whom?", timeout=60.0))

        async def it_waits() -> bool:
            return len(await cluster.inbox(dead)) == 1

        await eventually(it_waits)
        back = await cluster.connect(other, "alice")
        await dead.kill()
        again = await cluster.start(dead.name)
        reborn = await cluster.described(again)
        assert reborn is not None
        assert (reborn.name, reborn.endpoint != found.endpoint) == (found.name, True)
        # A rescue sends it on; the new node of the old name has nothing to do with it.
        assert await back.messages(1) == ["for whom?"]
        assert (await sending).outcome is Outcome.DELIVERED
        reborn = await cluster.described(again)
        assert reborn is not None
        assert reborn.delivered == 0
