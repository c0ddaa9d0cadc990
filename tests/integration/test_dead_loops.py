"""Every loop of a node is killed once: the node says so, mends itself, and delivers again."""

import asyncio

import pytest

from node import canary as canary_module
from node.node import Node
from router.aio import Router
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.logs import Logs
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually

ENDED = "a service has ended and is started again"
LOOPS = {
    "link commands",
    "link inbox",
    "link routes",
    "heartbeat",
    "sweep",
    "rescue",
    "canary",
    "pulse",
    "isolation",
    "expiry",
    "feed",
}


async def delivers(router: Router, user: str) -> None:
    async def so() -> bool:
        return (await router.send(user, "look", timeout=1.0)).outcome is Outcome.DELIVERED

    await eventually(so)


@pytest.mark.one_server
async def test_every_task_of_a_node_is_missed_when_it_ends_and_comes_back(
    store: EmbeddedServer, logs: Logs
) -> None:
    logs.expect(ENDED)
    async with Cluster(store.address.url, nodes=0) as cluster, cluster.router() as router:
        await router.join()
        before = asyncio.all_tasks()
        node = await cluster.start("n1")
        loops = {task.get_name() for task in asyncio.all_tasks() - before}
        assert loops == LOOPS  # a new task needs an owner, and its name here
        others = {task for task in before if task.get_name() in LOOPS}
        await cluster.connect(node, "alice")
        for name in sorted(loops):
            await kill(node, name, others)
            await delivers(router, "alice")
        assert node.member.services.failures == len(loops)


async def kill(node: Node, name: str, others: "set[asyncio.Task[None]]") -> None:
    """End one loop of a node; go on when the node was not ready and is ready again."""
    (task,) = [t for t in asyncio.all_tasks() - others if t.get_name() == name]
    said: list[str | None] = []
    # Its owner hears of the end first and we in the same round, before anything starts it again.
    task.add_done_callback(lambda _: said.append(node.not_ready()))
    task.cancel()
    await eventually(lambda: said)
    assert said == [f"{name} ended unexpectedly and will be started again"]
    await eventually(lambda: node.not_ready() is None)


@pytest.mark.one_server
async def test_a_node_whose_inbox_brings_nothing_says_so_and_reads_it_anew(
    store: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_module, "PERIOD_S", 0.1)
    async with (
        Cluster(store.address.url, nodes=0) as cluster,
        Proxy(store.address.socket, store.address.login) as proxy,
        cluster.router() as router,
    ):
        node = await cluster.start("deaf", proxy.url, inbox={"block_s": 60.0})
        await cluster.connect(node, "alice")
        # The store runs the peek, and nothing comes back: for the next minute, no error anywhere.
        hung = proxy.when(b"BLMOVE", Fault.HANG)
        await router.send("alice", 1, timeout=0.2)
        await hung.wait()
        words = "what is sent to this node does not come through its inbox"
        await eventually(lambda: node.not_ready() == words)
        await eventually(lambda: node.not_ready() is None)
        assert node.canary.counts.canary_misses >= 1
        await delivers(router, "alice")


async def test_a_canary_is_no_message(
    store: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_module, "PERIOD_S", 0.02)
    async with Cluster(store.address.url, nodes=1) as cluster:
        (node,) = cluster.nodes
        endpoint = node.member.endpoint.id
        assert endpoint is not None

        async def some_came() -> bool:
            return int(await cluster.redis.get(cluster.keys.done(endpoint)) or 0) >= 5

        await eventually(some_came)
        assert not node.canary.silent
        assert cluster.received() == [0]
        assert node.member.receiver.counts.dead == 0


@pytest.mark.parametrize(
    ("mode", "loop"), [("channel", "link subscriber"), ("broadcast", "subscriber ping")]
)
async def test_the_loops_of_the_other_modes_are_missed_too(
    store: EmbeddedServer, logs: Logs, mode: str, loop: str
) -> None:
    logs.expect(ENDED)
    async with Cluster(store.address.url, nodes=0, delivery={"mode": mode}) as cluster:
        others = set(asyncio.all_tasks())
        node = await cluster.start("n1")
        alice = await cluster.connect(node, "alice")
        await kill(node, loop, others)
        assert (await node.router.send("alice", 1)).outcome is Outcome.ACCEPTED
        assert await alice.messages(1) == [1]
