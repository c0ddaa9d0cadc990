"""Something blocks a node's event loop for longer than its lease."""

import time

from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster, endpoint_of, fields_of
from tests.support.logs import Logs
from tests.support.waiting import eventually

LEASE = {"ttl_s": 1.0, "heartbeat_s": 0.4}


async def test_a_node_alone_goes_on_as_if_nothing_had_been(
    store: EmbeddedServer, logs: Logs
) -> None:
    async with Cluster(store.address.url, nodes=1, lease=LEASE) as cluster:
        (node,) = cluster.nodes
        alice = await cluster.connect(node, "alice")
        before = endpoint_of(node)
        time.sleep(1.5)  # noqa: ASYNC251 - that is the fault
        await eventually(lambda: node.not_ready() is None)
        assert endpoint_of(node) == before  # nobody was there to fence it
        await eventually(lambda: logs.events("event loop was blocked, or paused"))
        async with cluster.router() as router:
            assert (await router.send("alice", 1)).outcome is Outcome.DELIVERED
        assert await alice.messages(1) == [1]
        assert await cluster.routes("alice") == fields_of([alice], cluster.nodes)
        assert node.canary.counts.canary_misses == 0
