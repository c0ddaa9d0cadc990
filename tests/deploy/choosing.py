"""Which node a handshake goes to, whatever becomes of nodes; for every balancer of `deploy`."""

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from router.client import Options
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.deploy.behind import Behind, cluster_of, hung_node, join, refusal, vanished_node
from tests.deploy.crowd import visitor
from tests.support.balancers import HOST, NODES, Balancer
from tests.support.clients import Client
from tests.support.cluster import Cluster
from tests.support.tokens import token
from tests.support.valkey import free_port
from tests.support.visitors import Visitor, places_of
from tests.support.waiting import eventually


class Choosing(Behind):
    def test_the_file_is_taken_without_a_warning(self, tmp_path: Path) -> None:
        addresses = [f"{HOST}:{free_port()}" for _ in range(NODES)]
        said = Balancer(self.kind, tmp_path / "balancer", addresses).check()
        assert not re.search(r"warn|alert|emerg|error", said, re.IGNORECASE), said

    async def test_a_node_that_leaves_gets_nobody_new_and_keeps_whom_it_has(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        early = [await join(balancer, "early")]
        leaving = cluster.nodes[0]
        while not any(client.node == "n1" for client in early):  # nginx throws dice
            early.append(await join(balancer, f"early{len(early)}"))
            assert len(early) < 100
        leaving.drain.begun = True  # and no more, so that its leave takes as long as this test
        await eventually(lambda: leaving.not_ready() is not None)
        late = [await join(balancer, f"late{number}") for number in range(24)]
        assert {client.node for client in late} == {"n2", "n3", "n4"}
        async with cluster.router() as router:
            for client in early:
                user = client.greeting["user"]
                assert (await router.send(user, "still here?")).outcome is Outcome.DELIVERED
                assert await client.messages(1) == ["still here?"]
        leaving.drain.begun = False
        for client in early + late:
            await client.close()

    async def test_a_node_that_is_down_is_passed_over(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        async with cluster_of(store, NODES - 1) as cluster:
            async with self.before(cluster, tmp_path) as balancer:
                clients = [await join(balancer, f"u{number}") for number in range(24)]
                assert {client.node for client in clients} == {"n1", "n2", "n3"}
                for client in clients:
                    await client.close()

    @pytest.mark.skipif(sys.platform != "linux", reason="another system may answer all the same")
    async def test_a_machine_that_is_gone_is_passed_over(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        async with cluster_of(store, NODES - 1) as cluster:
            with vanished_node() as vanished:
                async with self.before(cluster, tmp_path, vanished) as balancer:
                    joining = (join(balancer, f"u{number}") for number in range(24))
                    clients = await asyncio.gather(*joining)  # none has to try again
                    assert {client.node for client in clients} == {"n1", "n2", "n3"}
                    for client in clients:
                        await client.close()

    async def test_a_full_node_is_passed_over_and_when_all_are_full_clients_hear_when_to_return(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        each = 4
        async with cluster_of(store, NODES, sessions=each) as cluster:
            async with self.before(cluster, tmp_path) as balancer:
                # Round the balancer, which takes this node for the emptiest of all.
                clients = [
                    await Client.open(cluster.nodes[0].address, "u", token=token("u"))
                    for _ in range(each)
                ]
                clients += [
                    await join(balancer, f"u{number}") for number in range(each * (NODES - 1))
                ]
                assert Counter(client.node for client in clients) == dict.fromkeys(
                    ("n1", "n2", "n3", "n4"), each
                )
                status, after_s = await refusal(balancer)
                assert status == 503
                assert 5 <= int(after_s or 0) <= 15  # as the node says it
                for client in clients:
                    await client.close()

    async def test_when_there_is_no_node_clients_hear_when_to_return(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        async with cluster_of(store, 0) as cluster:
            async with self.before(cluster, tmp_path) as balancer:
                assert await refusal(balancer) == (503, "2")

    async def test_a_storm_of_handshakes_gets_in_as_fast_as_the_nodes_take_it(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        async with cluster_of(store, NODES, handshakes_per_second=15.0) as cluster:
            async with self.before(cluster, tmp_path) as balancer:
                storm = [visitor(balancer, f"u{number}") for number in range(100)]
                for each in storm:
                    each.start()
                await eventually(lambda: places_of(storm)[""] == 0, 30.0, "all are in")
                assert sum(node.counts.refused["unavailable"] for node in cluster.nodes) > 0
                for each in storm:
                    await each.stop()

    async def test_a_node_that_takes_connections_and_never_answers_does_not_lock_users_out(
        self, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        async with cluster_of(store, NODES - 1) as cluster:
            with hung_node() as hung:
                async with self.before(cluster, tmp_path, hung) as balancer:
                    impatient = Options(dial_timeout_s=1.0, retry_base_s=0.1)
                    tls = balancer.authority.client_context()
                    users = [Visitor(f"u{n}", balancer.url, tls, impatient) for n in range(12)]
                    for user in users:
                        user.start()
                    await eventually(lambda: places_of(users)[""] == 0, 30.0, "all are in")
                    for user in users:
                        await user.stop()
