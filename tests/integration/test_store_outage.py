"""The store goes away and comes back, with its data or without, while messages are sent."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from router.aio import Router
from router.errors import SwitchboardError, Unavailable
from router.model import Outcome, UserId
from router.settings import InboxSettings, LeaseSettings, NodeSettings
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.cluster import Cluster, fields_of
from tests.support.proxy import Proxy
from tests.support.waiting import eventually


@pytest.fixture
async def outage(own_store: EmbeddedServer) -> AsyncIterator[Cluster]:
    async with Cluster(own_store.address.url, nodes=2) as cluster:
        yield cluster


async def store_stops(store: EmbeddedServer, cluster: Cluster, *routers: Router) -> None:
    """End the store; go on when everybody has noticed."""
    store.kill()
    members = [node.member for node in cluster.nodes] + [router.member for router in routers]
    await eventually(lambda: not any(member.store.up for member in members))


async def store_starts(store: EmbeddedServer, *, wiped: bool) -> None:
    """Start it again at the same address, with what it had or with nothing."""
    if wiped:
        shutil.rmtree(store.data_dir / "appendonlydir")
    store.launch()
    await eventually(store.ready)


async def all_well(cluster: Cluster, clients: list[Client]) -> None:
    """Wait until every node takes sessions and the registry is right."""

    async def so() -> bool:
        assert [node.not_ready() for node in cluster.nodes] == [None] * len(cluster.nodes)
        users = {client.greeting["user"] for client in clients}
        for user in users:
            mine = [client for client in clients if client.greeting["user"] == user]
            assert await cluster.routes(user) == fields_of(mine, cluster.nodes)
        return True

    await eventually(so)


async def test_sends_fail_at_once_while_the_store_is_away(
    own_store: EmbeddedServer, outage: Cluster
) -> None:
    alice = await outage.connect(0, "alice")
    async with outage.router() as router:
        await router.send("alice", 1)
        await store_stops(own_store, outage, router)
        for _ in range(20):
            with pytest.raises(Unavailable) as caught:
                await router.send("alice", 2, timeout=60.0)
        assert own_store.address.socket in caught.value.address
        await alice.send(type="send", ref=7, to="alice", data=1)
        await alice.expect("message")
        answer = await alice.expect("error")
        assert (answer["code"], answer["ref"]) == ("unavailable", 7)
        await store_starts(own_store, wiped=False)
        await all_well(outage, [alice])


async def test_no_new_session_is_taken_while_the_store_is_away(
    own_store: EmbeddedServer, outage: Cluster
) -> None:
    await store_stops(own_store, outage)
    assert [node.not_ready() for node in outage.nodes] == ["the store is not available"] * 2
    with pytest.raises(Exception, match="HTTP 503"):
        await outage.connect(0, "alice")
    await store_starts(own_store, wiped=False)
    await all_well(outage, [])
    await outage.connect(0, "alice")


@pytest.mark.parametrize("wiped", [False, True], ids=["with its data", "emptied"])
async def test_everything_resumes_when_it_is_back(
    own_store: EmbeddedServer, outage: Cluster, wiped: bool
) -> None:
    clients = [await outage.connect(n % 2, f"u{n % 3}", device=f"d{n}") for n in range(6)]
    leaver = await outage.connect(0, "leaver")
    async with outage.router() as router:
        await router.join()
        await store_stops(own_store, outage, router)
        await leaver.close()
        await store_starts(own_store, wiped=wiped)
        await all_well(outage, clients)
        for n in range(3):

            async def delivered(n: int = n) -> bool:
                try:
                    result = await router.send(f"u{n}", "back", timeout=1.0)
                except Unavailable:
                    return False
                return result.outcome is Outcome.DELIVERED

            await eventually(delivered)

        async def nothing_is_left_of_who_left() -> bool:
            return not await outage.routes("leaver")

        await eventually(nothing_is_left_of_who_left)
    for client in clients:
        assert (await client.messages(1)) == ["back"]


@pytest.mark.one_server
async def test_what_the_registry_lost_while_a_node_was_cut_off_is_there_again_at_once(
    store: EmbeddedServer,
) -> None:
    async with (
        Cluster(store.address.url, nodes=0) as cluster,
        Proxy(store.address.socket, store.address.login) as proxy,
    ):
        node = await cluster.start("cut", proxy.url)
        alice = await cluster.connect(node, "alice")
        await proxy.refuse()
        await eventually(lambda: not node.member.store.up)
        await cluster.redis.delete(cluster.keys.routes(UserId("alice")))
        await proxy.accept()
        await all_well(cluster, [alice])
        await cluster.stop(node)


class Load:
    """Sends numbered messages to some users without end, and notes what it is told.

    Args:
        router: sends them.
        users: to whom.
    """

    def __init__(self, router: Router, users: list[str]) -> None:
        self._router = router
        self._users = users
        self.outcomes: dict[str, dict[int, Outcome]] = {user: {} for user in users}
        self.errors: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._on = True

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._send(user)) for user in self._users]

    async def stop(self) -> None:
        self._on = False
        await asyncio.gather(*self._tasks)

    async def _send(self, user: str) -> None:
        number = 0
        while self._on:
            try:
                result = await self._router.send(user, number, timeout=1.0)
                self.outcomes[user][number] = result.outcome
            except SwitchboardError as exc:
                self.errors[exc.code] += 1
            number += 1
            await asyncio.sleep(0.002)

    async def delivers(self) -> None:
        """Wait until some more messages were delivered."""
        wanted = self._delivered() + 50
        await eventually(lambda: self._delivered() > wanted, what="messages are delivered")

    async def fails(self) -> None:
        """Wait until one more send has failed."""
        before = self.errors["unavailable"]
        await eventually(lambda: self.errors["unavailable"] > before, what="sends fail")

    def _delivered(self) -> int:
        words = (word for words in self.outcomes.values() for word in words.values())
        return sum(word is Outcome.DELIVERED for word in words)


@pytest.mark.parametrize("wiped", [False, True], ids=["with its data", "emptied"])
async def test_under_load_each_word_is_true_and_sends_succeed_again(
    own_store: EmbeddedServer, outage: Cluster, wiped: bool
) -> None:
    users = [f"u{n}" for n in range(4)]
    clients = [await outage.connect(n % 2, user) for n, user in enumerate(users)]
    async with outage.router() as router:
        await router.join()
        load = Load(router, users)
        load.start()
        for _ in range(2):
            await load.delivers()
            await store_stops(own_store, outage, router)
            await load.fails()
            await store_starts(own_store, wiped=wiped)
        await load.delivers()
        await load.stop()
        await all_well(outage, clients)
    assert set(load.errors) <= {"unavailable", "store_refused"}
    for user, client in zip(users, clients, strict=True):
        got = await everything(client)
        assert len(got) == len(set(got)), "a repeat was delivered twice"
        words = load.outcomes[user]
        delivered = {number for number, word in words.items() if word is Outcome.DELIVERED}
        offline = {number for number, word in words.items() if word is Outcome.OFFLINE}
        assert delivered <= set(got)
        assert not offline & set(got)


async def everything(client: Client) -> list[int]:
    """Return the data of all messages that came."""
    await client.send(type="ping")
    got: list[int] = []
    while (frame := await client.read())["type"] == "message":
        got.append(frame["data"])
    return got


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_ten_seconds_without_a_store_with_the_settings_as_they_come(
    own_store: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the pauses between reconnects, too
    async with Cluster(
        own_store.address.url,
        nodes=4,
        lease=LeaseSettings().model_dump(),
        inbox=InboxSettings().model_dump(),
        node={"isolated_s": NodeSettings().isolated_s},
    ) as cluster:
        clients = [await cluster.connect(n % 4, f"u{n}") for n in range(100)]
        async with cluster.router() as router:
            await router.join()
            await store_stops(own_store, cluster, router)
            give_up_at = asyncio.get_running_loop().time() + 10.0
            while asyncio.get_running_loop().time() < give_up_at:
                with pytest.raises(Unavailable):
                    await router.send("u1", 1, timeout=1.0)
                await asyncio.sleep(0.05)
            await store_starts(own_store, wiped=False)

            async def all_reached() -> bool:
                sends = (router.send(f"u{n}", "back", timeout=1.0) for n in range(100))
                results = await asyncio.gather(*sends)
                return all(result.outcome is Outcome.DELIVERED for result in results)

            async with asyncio.timeout(10.0):  # the promise
                await all_well(cluster, clients)
                await until_it_works(all_reached)
        assert [node.isolation.counts.sent_away for node in cluster.nodes] == [0] * 4


async def until_it_works(attempt: Callable[[], Awaitable[bool]]) -> None:
    async def so() -> bool:
        try:
            return await attempt()
        except Unavailable:
            return False

    await eventually(so)
