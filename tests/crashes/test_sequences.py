"""Every sequence of commands, broken off at each of them: nothing is lost, nothing is untrue."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import pytest

from router.aio import Router
from router.member import sender_lease
from router.model import Session, SessionId, UserId
from router.store import link
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster, endpoint_of
from tests.support.crashes import Break, CrashProxy, CrashWorld, Sent
from tests.support.rescues import message

# Nothing but the sequence talks to the store meanwhile.
QUIET: Final[dict[str, Any]] = {
    "lease": {"ttl_s": 60.0, "heartbeat_s": 20.0},
    "inbox": {"block_s": 20.0},
    "registry": {"user_ttl_s": 6.0},
}
# How long a node that is stopped may take: enough where that is the sequence; else little, for one
# that is dead takes all of it.
LEAVES_S: Final = 2.0
ENDS_S: Final = 0.4
MOST: Final = 60
Sequence = Callable[[CrashWorld], Awaitable[None]]
Prepare = Callable[[CrashWorld], Awaitable[None]]


async def nothing(world: CrashWorld) -> None:
    """There is nothing to prepare."""


async def alice_is_here(world: CrashWorld) -> None:
    assert await world.connect(world.breaks)


async def alice_has_mail(world: CrashWorld) -> None:
    world.send("first", "second", "third", durable=True)
    await world.said()


async def connects(world: CrashWorld) -> None:
    world.send("while she comes")
    await world.connect(world.breaks)
    await world.said()


async def leaves(world: CrashWorld) -> None:
    world.send("while she goes")
    await world.alice.client.close()
    await world.said()


async def is_sent_to(world: CrashWorld) -> None:
    world.send("one", "two")
    world.send("stored", durable=True)
    await world.read_all()
    await world.said()
    await world.read_all()


async def messages_wait_for_her_elsewhere(world: CrashWorld) -> None:
    """She has moved to the other node, and a route of old still leads to the one that breaks."""
    world.sent += [Sent("m1", durable=False), Sent("m2", durable=False)]
    assert await world.connect(world.lives)


async def sends_on(world: CrashWorld) -> None:
    """What lies in its inbox for her follows her."""
    world.must_arrive |= {"m1", "m2"}
    inbox = world.cluster.keys.inbox(endpoint_of(world.breaks))
    await world.cluster.redis.rpush(inbox, letter("m1"), letter("m2"))
    await world.arrives_or_breaks("m2")


async def somebody_is_dead(world: CrashWorld) -> None:
    """An endpoint has died with messages for her in its inbox; she is on the other node."""
    await messages_wait_for_her_elsewhere(world)
    world.dead = await world.router.member.leases.open("dead", sender_lease())
    gone = Session(SessionId("gone"), world.dead, "web", "", 1.0)
    assert await world.router.member.registry.register([(UserId("alice"), gone)])
    keys = world.cluster.keys
    await world.cluster.redis.rpush(keys.inbox(world.dead), letter("m1"), letter("m2"))
    await world.cluster.redis.delete(keys.lease(world.dead))


async def rescues(world: CrashWorld) -> None:
    """The node that breaks rescues the dead one; when it dies itself, the other one goes on."""
    world.must_arrive |= {"m1", "m2"}
    assert world.dead
    world.breaks.rescuer.rescue_own(world.dead)
    await world.arrives_or_breaks("m2")


def letter(text: str) -> bytes:
    """Return an envelope for her whose data is a JSON string."""
    return message(text, "alice", data=f'"{text}"'.encode())


async def reads_and_acknowledges(world: CrashWorld) -> None:
    if await world.connect(world.breaks):
        await world.read_all()
        await world.alice.client.close()


async def drains(world: CrashWorld) -> None:
    world.send("one last")
    stopping = asyncio.create_task(world.cluster.stop(world.breaks))
    await world.read_all()
    with contextlib.suppress(Exception):
        await stopping
    await world.said()


SEQUENCES: Final[Mapping[str, tuple[Prepare, Sequence]]] = {
    "connect": (nothing, connects),
    "disconnect": (alice_is_here, leaves),
    "deliver and trim": (alice_is_here, is_sent_to),
    "replay and acknowledge": (alice_has_mail, reads_and_acknowledges),
    "drain": (alice_is_here, drains),
    "send on": (messages_wait_for_her_elsewhere, sends_on),
    "rescue": (somebody_is_dead, rescues),
}


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(link, "_LONGEST_PAUSE_S", 0.1)


@contextlib.asynccontextmanager
async def crash_world(
    store: EmbeddedServer, drain_s: float, *, sender: bool
) -> AsyncIterator[CrashWorld]:
    """Run a `CrashWorld`; with `sender`, it is the sender's connections that break."""
    address = store.address
    async with (
        CrashProxy(address.socket, address.login) as proxy,
        Cluster(address.url, nodes=1, node={"port": 0, "drain_s": drain_s}, **QUIET) as cluster,
        Router.connect(proxy.url if sender else address.url, cluster.settings()) as router,
    ):
        world = CrashWorld(cluster, proxy, router)
        await router.join()
        await world.begin()
        yield world
        await proxy.refuse()
        await world.alice.close()
        await world.bob.close()


async def broken_off_everywhere(
    store: EmbeddedServer, prepare: Prepare, sequence: Sequence, how: Break, *, sender: bool = False
) -> int:
    """Break a sequence off at each of its commands; return how many it has."""
    drain_s = LEAVES_S if sequence is drains else ENDS_S
    for k in itertools.count(1):
        async with crash_world(store, drain_s, sender=sender) as world:
            await prepare(world)
            world.proxy.arm(k, how)
            await sequence(world)
            sprung = world.proxy.sprung.is_set()
            try:
                await world.settle(how)
            except BaseException as exc:
                exc.add_note(f"broken off at command {k}, {world.proxy.command!r}: {how.value}")
                raise
        if not sprung or k >= MOST:
            return k - 1
    raise AssertionError


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "how",
    [
        Break.DIES_AFTER,
        Break.LOSES_REPLY,
        pytest.param(Break.DIES_BEFORE, marks=pytest.mark.long),
        pytest.param(Break.LOSES_COMMAND, marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("name", SEQUENCES)
async def test_a_node_that_breaks_off_loses_nothing(
    name: str, how: Break, store: EmbeddedServer
) -> None:
    prepare, sequence = SEQUENCES[name]
    assert await broken_off_everywhere(store, prepare, sequence, how) >= 2


@pytest.mark.parametrize("how", [Break.LOSES_COMMAND, Break.LOSES_REPLY])
async def test_a_sender_that_loses_its_connection_is_told_the_truth(
    how: Break, store: EmbeddedServer
) -> None:
    steps = await broken_off_everywhere(store, alice_is_elsewhere, is_sent_to, how, sender=True)
    assert steps >= 2


async def alice_is_elsewhere(world: CrashWorld) -> None:
    assert await world.connect(world.lives)
