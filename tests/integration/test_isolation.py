"""A node that is cut off from the store while its clients are not; and a store that is away."""

from collections.abc import AsyncIterator

import pytest

from node.node import Node
from node.peers import Peers
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

# Peers are looked up once in a lease; what is cut off acts soon after.
HASTY = {"isolated_s": 1.5}
LEASE = {"ttl_s": 1.0, "heartbeat_s": 0.2}


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(store.address.socket, store.address.login) as between:
        yield between


@pytest.mark.parametrize("how", ["refused", "black hole"])
@pytest.mark.one_server
async def test_its_sessions_are_sent_to_nodes_that_reach_the_store(
    store: EmbeddedServer, proxy: Proxy, how: str
) -> None:
    async with (
        Cluster(store.address.url, nodes=1, node=HASTY, lease=LEASE) as cluster,
        cluster.router() as router,
    ):
        (well,) = cluster.nodes
        cut = await cluster.start("cut", proxy.url, redis={"reply_timeout_s": 1.0})
        clients = [await cluster.connect(cut, f"u{number}") for number in range(5)]
        await eventually(lambda: cut.isolation._peers._addresses)
        if how == "refused":
            await proxy.refuse()
        else:
            proxy.hold()
        await eventually(lambda: cut.not_ready() is not None)
        for client in clients:
            code, _, frames = await client.closed(within_s=30.0)
            assert (code, frames[-1]["type"]) == (1013, "goodbye")
            assert 0 <= frames[-1]["reconnect_after_ms"] <= 2_000
        assert cut.isolation.counts.sent_away == 5
        back = [await cluster.connect(well, f"u{number}") for number in range(5)]

        async def reached() -> bool:
            results = [await router.send(f"u{n}", "there", timeout=1.0) for n in range(5)]
            return all(result.outcome is Outcome.DELIVERED for result in results)

        await eventually(reached, 30.0)
        assert [await client.messages(1) for client in back] == [["there"]] * 5
        proxy.heal()
        await proxy.accept()
        await eventually(lambda: cut.not_ready() is None, 30.0)

        async def no_route_to_the_cut_one() -> bool:
            fields = [field for n in range(5) for field in await cluster.routes(f"u{n}")]
            return len(fields) == 5 and not any(field.startswith("cut.") for field in fields)

        await eventually(no_route_to_the_cut_one, 30.0)


async def test_while_the_store_itself_is_away_sessions_stay_where_they_are(
    own_store: EmbeddedServer,
) -> None:
    # Longer than a connection that is made again may wait: who is first to have the store back must
    # not draw the others' sessions.
    patient = {**HASTY, "isolated_s": 12.0}
    async with Cluster(own_store.address.url, nodes=2, node=patient, lease=LEASE) as cluster:
        clients = [await cluster.connect(number % 2, f"u{number}") for number in range(4)]
        seen = [node.isolation._peers for node in cluster.nodes]
        await eventually(lambda: all(peers._addresses for peers in seen))
        asked = [noting(node) for node in cluster.nodes]
        own_store.kill()
        # Both have thought of it more than once, have asked each other, and have stayed.
        await eventually(lambda: all(len(each) >= 2 for each in asked), 60.0)
        assert True not in {word for each in asked for word in each}
        assert [node.isolation.counts.sent_away for node in cluster.nodes] == [0, 0]
        own_store.launch()
        await eventually(own_store.ready)
        await eventually(lambda: all(node.not_ready() is None for node in cluster.nodes), 30.0)
        for client in clients:
            assert await client.nothing_came()


@pytest.mark.one_server
async def test_a_node_alone_keeps_its_sessions(store: EmbeddedServer, proxy: Proxy) -> None:
    async with Cluster(store.address.url, nodes=0, node=HASTY, lease=LEASE) as cluster:
        node = await cluster.start("alone", proxy.url)
        alice = await cluster.connect(node, "alice")
        asked = noting(node)
        await proxy.refuse()
        await eventually(lambda: len(asked) >= 2, 30.0)
        await proxy.accept()
        await eventually(lambda: node.not_ready() is None, 30.0)
        assert await alice.nothing_came()


class Asked(Peers):
    """Peers that note what they answered."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.answers: list[bool | None] = []

    async def look(self, most: int | None = None) -> bool:
        return await self._peers.look(most)

    async def better_there(self) -> bool | None:
        self.answers.append(await self._peers.better_there())
        return self.answers[-1]


def noting(node: Node) -> list[bool | None]:
    """Return a list that grows with each answer a node gets when it asks the others."""
    asked = Asked(node.isolation._peers)
    node.isolation._peers = asked
    return asked.answers


@pytest.mark.one_server
async def test_a_node_that_nobody_answers_is_the_one_that_is_cut_off(
    store: EmbeddedServer, proxy: Proxy
) -> None:
    async with Cluster(store.address.url, nodes=1, node=HASTY, lease=LEASE) as cluster:
        node = await cluster.start("cut", proxy.url)
        alice = await cluster.connect(node, "alice")
        await eventually(lambda: node.isolation._peers._addresses)
        asked = noting(node)
        await proxy.refuse()
        await cluster.stop(cluster.nodes[0])  # no port of its own any more
        code, _, _ = await alice.closed(within_s=30.0)
        assert code == 1013
        assert asked[:3] == [None, None, None]
        await proxy.accept()
        await eventually(lambda: node.not_ready() is None, 30.0)
