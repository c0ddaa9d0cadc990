"""However clients come, go and move at once: in the end the registry says what is true."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.model import UserId
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.cluster import Cluster, fields_of
from tests.support.waiting import eventually

NODES = 3
USERS = 3
_runs = itertools.count(1)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["connect", "connect", "close", "cut", "move", "come and go"]),
        st.integers(0, USERS - 1),
        st.integers(0, NODES - 1),
        st.booleans(),
    ),
    min_size=3,
    max_size=25,
)


class Crowd:
    """Clients that come and go at once, and who of them is there in the end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._run = next(_runs)
        self._coming: dict[str, list[asyncio.Task[Client]]] = defaultdict(list)
        self._leaving: list[asyncio.Task[None]] = []
        self.users = [self._name(number) for number in range(USERS)]

    def _name(self, number: int) -> str:
        return f"r{self._run}u{number}"

    def step(self, what: str, number: int, node: int) -> None:
        """Begin one step, without waiting for it."""
        user = self._name(number)
        if what in ("close", "cut", "move") and self._coming[user]:
            self._leave(self._coming[user].pop(0), abruptly=what == "cut")
        if what in ("connect", "move", "come and go"):
            address = self._cluster.nodes[node].address
            coming = asyncio.create_task(Client.open(address, user, welcomed=False))
            if what == "come and go":
                self._leave(coming, abruptly=True)
            else:
                self._coming[user].append(coming)

    def _leave(self, client: "asyncio.Task[Client]", *, abruptly: bool) -> None:
        async def leave() -> None:
            if abruptly:
                (await client).connection.transport.abort()
            else:
                await (await client).close()

        self._leaving.append(asyncio.create_task(leave()))

    async def settle(self) -> dict[str, list[Client]]:
        """Wait until everybody has come or gone; return who is there, welcomed."""
        if self._leaving:
            await asyncio.gather(*self._leaving)
        here = {user: await asyncio.gather(*tasks) for user, tasks in self._coming.items()}
        for clients in here.values():
            for client in clients:
                client.greeting = await client.expect("welcome")
        return here


@pytest.fixture
async def cluster(store: EmbeddedServer) -> AsyncIterator[Cluster]:
    """Nodes whose leases do not end while this process is busy with two dozen clients at once."""
    async with Cluster(
        store.address.url, nodes=3, lease={"ttl_s": 20.0, "heartbeat_s": 1.0}
    ) as found:
        yield found


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
async def test_after_any_sequence_of_connects_closes_and_moves_the_registry_is_right(
    cluster: Cluster, steps: list[tuple[str, int, int, bool]]
) -> None:
    crowd = Crowd(cluster)
    for what, number, place, pause in steps:
        crowd.step(what, number, place)
        if pause:
            await asyncio.sleep(0)
    here = await crowd.settle()
    truth = {user: fields_of(here.get(user, []), cluster.nodes) for user in crowd.users}

    async def registry_is_right() -> bool:
        return {user: await cluster.routes(user) for user in crowd.users} == truth

    await eventually(registry_is_right)
    for node in cluster.nodes:
        held = {s.id for user in crowd.users for s in node.hub.get(UserId(user))}
        name = node.router.member.settings.node.name
        assert held == {c.session for cs in here.values() for c in cs if c.node == name}
    online = await cluster.nodes[0].router.locate(crowd.users)
    assert online == {
        user: sorted({client.node for client in clients})
        for user, clients in here.items()
        if clients
    }
    await asyncio.gather(*(client.close() for clients in here.values() for client in clients))

    async def all_gone() -> bool:
        return not any([await cluster.routes(user) for user in crowd.users])

    await eventually(all_gone)


async def test_a_user_who_reconnects_in_a_hurry_is_never_lost(cluster: Cluster) -> None:
    client = await cluster.connect(0, "alice")
    async with cluster.router() as router:
        for number in range(30):
            old, client = client, await cluster.connect(number % 3, "alice")
            closing = asyncio.create_task(old.close())
            await router.send("alice", number)
            frame = await client.read()
            # What was on its way to the session that has just gone may have followed the user here.
            while frame["data"] < number:
                frame = await client.read()
            assert (frame["type"], frame["data"]) == ("message", number)
            await closing

    async def only_the_last_is_there() -> bool:
        return await cluster.routes("alice") == fields_of([client], cluster.nodes)

    await eventually(only_the_last_is_there)


async def test_the_listing_of_users_is_right_after_a_storm(cluster: Cluster) -> None:
    clients = await asyncio.gather(
        *(cluster.connect(number % 3, f"u{number % 30:02}") for number in range(90))
    )
    await asyncio.gather(*(client.close() for client in clients[:75]))
    left = sorted({f"u{number % 30:02}" for number in range(75, 90)})

    async def listed() -> bool:
        async with cluster.router() as router:
            users = [online async for online in router.users()]
        return [online.user for online in users] == left and sum(
            online.sessions for online in users
        ) == 15

    await eventually(listed)
