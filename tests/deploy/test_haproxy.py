"""deploy/haproxy, with the HAProxy of Debian in front of real nodes."""

import re
from pathlib import Path
from typing import ClassVar

from router.store.embedded import EmbeddedServer
from tests.deploy.behind import PING_S, cluster_of, hung_node, join
from tests.deploy.choosing import Choosing
from tests.deploy.passing import Passing
from tests.support.balancers import HAPROXY, NODES, Balancer, Kind
from tests.support.cluster import Cluster
from tests.support.documents import ROOT
from tests.support.waiting import eventually


class TestHAProxy(Choosing, Passing):
    kind: ClassVar[Kind] = HAPROXY

    def test_a_websocket_may_be_silent_for_longer_than_two_pings(self) -> None:
        shipped = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
        (seconds,) = re.findall(r"^ *timeout tunnel (\d+)s$", shipped, re.MULTILINE)
        assert float(seconds) > 2 * PING_S

    async def test_its_health_check_hears_from_a_node_that_it_leaves_and_that_it_is_back(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        cluster.nodes[0].drain.begun = True
        down = "Server switchboard/n1 is DOWN, reason: Layer7 wrong status, code: 503"
        await eventually(lambda: down in balancer.said, what=down)
        cluster.nodes[0].drain.begun = False
        await eventually(lambda: "Server switchboard/n1 is UP" in balancer.said)

    async def test_its_health_check_finds_a_node_that_never_answers(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        async with cluster_of(store, NODES - 1) as cluster:
            with hung_node() as hung:
                async with self.before(cluster, tmp_path, hung) as balancer:
                    down = "Server switchboard/n4 is DOWN, reason: Layer7 timeout"
                    await eventually(lambda: down in balancer.said, what=down)
                    for number in range(8):  # none of them waits for it, nor tries again
                        await (await join(balancer, f"u{number}")).close()

    async def test_the_log_says_how_many_nodes_more_were_tried(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        async def comes_to_the_first() -> bool:
            client = await join(balancer, "alice")
            await client.close()
            return client.node == "n1"

        async def tried_one_more() -> bool:
            await eventually(comes_to_the_first)  # its health check has found it well again
            cluster.nodes[0].drain.begun = True  # until the next health check nobody knows
            crowd = [await join(balancer, f"u{number}") for number in range(NODES)]
            cluster.nodes[0].drain.begun = False
            for client in crowd:
                await client.close()
            return re.search(r"GET /ws 101 node=n[234] tries_more=\+1 ", balancer.said) is not None

        await eventually(tried_one_more, 60.0)
