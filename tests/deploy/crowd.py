"""200 users behind a balancer, while nodes leave, die and come back, and messages flow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.balancers import HOST, NODES, Balancer, Kind
from tests.support.cluster import Overrides
from tests.support.node_processes import NodeProcess, ProcessCluster, processes
from tests.support.streams import Stream, check_the_ledger
from tests.support.tokens import SECRET
from tests.support.visitors import Visitor, places_of
from tests.support.waiting import eventually

USERS: Final = 200
_PER_SECOND: Final = 80.0
_BACK_S: Final = 30.0  # on a machine that has much else to do
AUTH: Final[Overrides] = {"mode": "jwt", "secret": SECRET}
NODE: Final[Overrides] = {"port": 0, "drain_s": 10.0, "trusted_proxies": [HOST]}
# All of these users have one address, as those behind the gateway of an office have.
LIMITS: Final[Overrides] = {
    "address_sessions": 1_000,
    "address_handshakes_per_second": 1_000.0,
    "address_handshakes_burst": 1_000,
}
_LEASE: Final[Overrides] = {"ttl_s": 3.0, "heartbeat_s": 0.6}


async def stays_whole(kind: Kind, store: EmbeddedServer, folder: Path) -> None:
    """Play it, and check that nobody and nothing is lost, and that every outcome is true."""
    async with processes(
        store.address.url, NODES, auth=AUTH, node=NODE, limits=LIMITS, lease=_LEASE
    ) as cluster:
        addresses = [node.address for node in cluster.nodes]
        async with Balancer(kind, folder / "balancer", addresses) as balancer:
            visitors = [visitor(balancer, f"u{number}") for number in range(USERS)]
            stream = Stream(cluster.router, [each.user for each in visitors], _PER_SECOND)
            await everybody_comes(visitors, cluster.nodes)
            stream.start()
            await eventually(lambda: len(stream.outcomes) > _PER_SECOND)
            await one_leaves(cluster, cluster.nodes[0], visitors)
            await one_dies(cluster.nodes[1], visitors)
            await one_is_back(cluster, cluster.nodes[0], balancer)
            await stream.stop()
            await nothing_is_lost(stream, visitors)
            for each in visitors:
                await each.stop()


def visitor(balancer: Balancer, user: str) -> Visitor:
    return Visitor(user, balancer.url, balancer.authority.client_context())


async def everybody_comes(visitors: Sequence[Visitor], nodes: Sequence[NodeProcess]) -> None:
    """Let all connect; each node gets its share."""
    for each in visitors:
        each.start()
    await eventually(lambda: places_of(visitors)[""] == 0, _BACK_S, "all are there")
    places = places_of(visitors)
    print("at first", places)
    for node in nodes:
        assert places[node.name] >= USERS / NODES / 2, places


async def one_leaves(
    cluster: ProcessCluster, node: NodeProcess, visitors: Sequence[Visitor]
) -> None:
    """Drain a node: its users go to others, and nobody comes to it any more."""
    there = [each for each in visitors if each.node == node.name]
    came_before = sum(each.nodes.count(node.name) for each in visitors)
    assert await node.terminate() == 0, node.said
    await eventually(lambda: places_of(visitors)[""] == 0, _BACK_S, "all are back")
    assert places_of(visitors)[node.name] == 0
    # Nobody was on the way to it when it began to leave: whoever came, came to a node that leaves.
    assert sum(each.nodes.count(node.name) for each in visitors) == came_before
    assert all(len(each.nodes) >= 2 for each in there)
    print("after a drain", places_of(visitors))


async def one_dies(node: NodeProcess, visitors: Sequence[Visitor]) -> None:
    """Kill a node: its users come back through the balancer, to others."""
    before = sum(each.nodes.count(node.name) for each in visitors)
    assert places_of(visitors)[node.name] > 0
    await node.kill()
    await eventually(
        lambda: not {"", node.name} & places_of(visitors).keys(), _BACK_S, "all are back"
    )
    assert sum(each.nodes.count(node.name) for each in visitors) == before
    print("after a crash", places_of(visitors))


async def one_is_back(cluster: ProcessCluster, node: NodeProcess, balancer: Balancer) -> None:
    """Start the node again that has left: the balancer finds it by itself."""
    again = await cluster.start(node.name, port=int(node.address.rpartition(":")[2]))
    guests: list[Visitor] = []

    async def one_came_to_it() -> bool:
        guest = visitor(balancer, f"guest{len(guests)}")
        guests.append(guest)
        guest.start()
        await eventually(lambda: guest.node)
        return guest.node == again.name

    await eventually(one_came_to_it, _BACK_S)
    for guest in guests:
        await guest.stop()
    print("guests until one came to the node that is back:", len(guests))


async def nothing_is_lost(stream: Stream, visitors: Sequence[Visitor]) -> None:
    """Compare what the sender was told with what the users have."""
    wanted = {number for number in stream.outcomes if stream.durable(number)}

    def all_stored_are_there() -> bool:
        return not wanted - {number for each in visitors for number in each.received}

    await eventually(all_stored_are_there, _BACK_S)
    words = check_the_ledger(stream, visitors)
    print({word.value: times for word, times in words.items()})
    assert [each.user for each in visitors if each.gaps] == []
    assert words[Outcome.DELIVERED] > sum(words.values()) / 2
