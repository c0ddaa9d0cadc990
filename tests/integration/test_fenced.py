"""A node that finds itself fenced takes a new epoch and brings its open sockets along."""

from router.aio import Router
from router.model import Outcome
from tests.support.cluster import Cluster, endpoint_of, fields_of
from tests.support.waiting import eventually


async def fence(cluster: Cluster, node: int) -> None:
    """Remove a node's `open` key; go on when it has noticed."""
    before = endpoint_of(cluster.nodes[node])
    await cluster.redis.delete(cluster.keys.open(before))
    await eventually(lambda: endpoint_of(cluster.nodes[node]) != before)


async def delivers(router: Router, user: str) -> None:
    async def so() -> bool:
        return (await router.send(user, "look", timeout=1.0)).outcome is Outcome.DELIVERED

    await eventually(so)


async def test_open_sockets_are_registered_again_under_the_new_epoch(cluster: Cluster) -> None:
    alice = await cluster.connect(1, "alice")
    phone, web = [await cluster.connect(1, "bob", device=name) for name in ("phone", "web")]
    await fence(cluster, 1)

    async def registered_again() -> bool:
        return await cluster.routes("alice") == fields_of(
            [alice], cluster.nodes
        ) and await cluster.routes("bob") == fields_of([phone, web], cluster.nodes)

    await eventually(registered_again)
    async with cluster.router() as router:
        assert (await router.send("alice", "new epoch")).outcome is Outcome.DELIVERED
        result = await router.send("bob", "new epoch")
        assert (result.outcome, result.sessions) == (Outcome.DELIVERED, 2)
    for client in (alice, phone, web):
        assert await client.messages(1) == ["new epoch"]


async def test_a_sender_with_a_warm_cache_reaches_the_new_epoch(cluster: Cluster) -> None:
    alice = await cluster.connect(1, "alice")
    async with cluster.router() as router:
        assert (await router.send("alice", 1)).outcome is Outcome.DELIVERED
        await fence(cluster, 1)
        await delivers(router, "alice")
    assert (await alice.messages(2))[0] == 1


async def test_the_node_goes_on_under_its_name_with_its_counters(cluster: Cluster) -> None:
    await cluster.connect(1, "alice")
    async with cluster.router() as router:
        await router.send("alice", 1)
        await fence(cluster, 1)
        await delivers(router, "alice")

        async def listed_once() -> bool:
            nodes = [node for node in await router.nodes() if node.state == "live"]
            named = [node for node in nodes if node.name == "n2"]
            return len(named) == 1 and named[0].sessions == 1 and named[0].delivered >= 2

        await eventually(listed_once)


async def test_clients_notice_nothing(cluster: Cluster) -> None:
    alice = await cluster.connect(1, "alice")
    await fence(cluster, 1)
    assert await alice.nothing_came()
    new = await cluster.connect(1, "carol")
    assert new.node == "n2"
    assert cluster.nodes[1].not_ready() is None


async def test_a_node_may_be_fenced_again_and_again(cluster: Cluster) -> None:
    alice = await cluster.connect(0, "alice")
    async with cluster.router() as router:
        for _ in range(3):
            await fence(cluster, 0)
            await delivers(router, "alice")

    async def only_the_last_epoch() -> bool:
        return await cluster.routes("alice") == fields_of([alice], cluster.nodes)

    await eventually(only_the_last_epoch)


async def test_a_client_that_left_meanwhile_is_not_registered_again(cluster: Cluster) -> None:
    alice, bob = await cluster.connect(1, "alice"), await cluster.connect(1, "bob")
    before = endpoint_of(cluster.nodes[1])
    await cluster.redis.delete(cluster.keys.open(before))
    await alice.close()
    await eventually(lambda: endpoint_of(cluster.nodes[1]) != before)

    async def right() -> bool:
        return not await cluster.routes("alice") and await cluster.routes("bob") == fields_of(
            [bob], cluster.nodes
        )

    await eventually(right)


async def test_a_sender_that_was_fenced_hears_its_outcomes_under_a_new_epoch(
    cluster: Cluster,
) -> None:
    await cluster.connect(0, "alice")
    async with cluster.router() as router:
        await router.join()
        before = router.member.endpoint.id
        assert before is not None
        await cluster.redis.delete(cluster.keys.open(before))
        await eventually(lambda: router.member.endpoint.id != before)
        await delivers(router, "alice")
