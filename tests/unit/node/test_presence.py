import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from node.hub import Hub
from node.presence import Presence
from node.replay import Replays
from node.session import ClientSession
from router.codec import StoredMessage
from router.errors import Unavailable
from router.member import Member
from router.model import START, EndpointId, Offset, Registered, Session, UserId
from router.settings import Settings
from router.store import scripts
from router.store.embedded import EmbeddedServer
from router.store.mailbox import parse_deposit
from tests.support.cluster import fast_settings, plain_redis
from tests.support.proxy import Fault, Proxy, Way
from tests.support.route_fields import shown
from tests.support.sessions import RecordingSocket, Sessions, welcome
from tests.support.waiting import eventually, rounds

REFRESH_S = 0.5
# Longer than any test, for those in which nothing may be refreshed or checked.
NEVER_S = 10_000.0


class World:
    """A node's presence on a real store, and sessions without a network."""

    def __init__(self, settings: Settings, url: str, refresh_s: float, check_s: float) -> None:
        self.member = Member(
            settings,
            url,
            on_epoch=self._register_again,
            on_store_back=self._store_back,
        )
        self.hub: Hub[ClientSession] = Hub()
        self.replays = Replays(self.member.mailbox, self.member.clock)
        self.presence = Presence(
            self.member, self.hub, self.replays, welcome, refresh_s=refresh_s, check_s=check_s
        )
        self.keys = self.member.keys
        self.sessions = Sessions(on_close=self.presence.leave)

    async def _register_again(self, _: EndpointId) -> None:
        self.presence.register_all()

    def _store_back(self) -> None:
        self.presence.store_back()

    @property
    def endpoint(self) -> EndpointId:
        assert self.member.endpoint.id is not None
        return self.member.endpoint.id

    def arrive(self, user: str = "alice") -> tuple[ClientSession, RecordingSocket]:
        session, socket = self.sessions.make(user, welcomed=False)
        self.presence.arrive(session)
        return session, socket

    async def welcomed(self, user: str = "alice") -> tuple[ClientSession, RecordingSocket]:
        session, socket = self.arrive(user)
        await eventually(lambda: session.welcomed)
        return session, socket

    def field(self, session: ClientSession) -> str:
        return f"{self.endpoint}/{session.id}"


class Store:
    """What the store holds, seen past everything of ours."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.redis = plain_redis(url)
        self.prefix = settings.registry.prefix

    async def routes(self, user: str = "alice") -> set[str]:
        key = f"{self.prefix}:{{{user}}}:routes"
        return shown(await self.redis.hkeys(key))

    async def listed(self, endpoint: EndpointId) -> set[str]:
        key = f"{self.prefix}:{{{endpoint}}}:users"
        return {user.decode() for user in await self.redis.zrange(key, 0, -1)}


Start = Callable[..., contextlib.AbstractAsyncContextManager[World]]


@pytest.fixture
def settings(prefix: str) -> Settings:
    return fast_settings(prefix)


@pytest.fixture
async def looks(store: EmbeddedServer, settings: Settings) -> AsyncIterator[Store]:
    found = Store(store.address.url, settings)
    yield found
    await found.redis.aclose()


@contextlib.asynccontextmanager
async def running(
    settings: Settings, url: str, refresh_s: float = NEVER_S, check_s: float = NEVER_S
) -> AsyncIterator[World]:
    world = World(settings, url, refresh_s, check_s)
    await world.member.open()
    await world.member.join("n1")
    world.presence.start()
    try:
        yield world
    finally:
        await world.presence.stop(5.0)
        await world.member.leave(1.0)
        await world.member.close()


@pytest.fixture
async def world(store: EmbeddedServer, settings: Settings) -> AsyncIterator[World]:
    async with running(settings, store.address.url) as found:
        yield found


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(store.address.socket, store.address.login) as found:
        yield found


@pytest.fixture
async def behind_proxy(
    store: EmbeddedServer, settings: Settings, proxy: Proxy
) -> AsyncIterator[World]:
    async with running(settings, proxy.url) as found:
        yield found
        proxy.heal()
        await proxy.accept()


# ---- arriving and leaving -----------------------------------------------------------------------


async def test_a_session_is_welcomed_once_it_is_registered(world: World, looks: Store) -> None:
    session, socket = await world.welcomed()
    assert await looks.routes() == {world.field(session)}
    assert await looks.listed(world.endpoint) == {"alice"}
    assert [said["type"] for said in socket.said()] == ["welcome"]


async def test_it_is_not_welcomed_before(behind_proxy: World, proxy: Proxy, looks: Store) -> None:
    proxy.hold(Way.TO_CLIENT)
    session, socket = behind_proxy.arrive()

    async def registered() -> bool:
        return bool(await looks.routes())

    await eventually(registered)
    assert not session.welcomed
    proxy.heal()
    await eventually(lambda: session.welcomed)
    assert [said["type"] for said in socket.said()] == ["welcome"]


async def test_a_session_is_in_the_hub_from_the_first_moment(world: World) -> None:
    session, _ = world.arrive()
    assert world.hub.get(UserId("alice")) == (session,)
    await eventually(lambda: session.welcomed)


async def test_a_session_that_leaves_takes_exactly_its_own_route(
    world: World, looks: Store
) -> None:
    (stays, _), (leaves, _) = await world.welcomed(), await world.welcomed()
    leaves.gone()

    async def only_the_other_is_left() -> bool:
        return await looks.routes() == {world.field(stays)}

    await eventually(only_the_other_is_left)
    assert await looks.listed(world.endpoint) == {"alice"}
    assert world.hub.get(UserId("alice")) == (stays,)


async def test_with_the_last_session_the_listing_goes_and_last_seen_comes(
    world: World, looks: Store
) -> None:
    session, _ = await world.welcomed()
    assert await world.member.registry.last_seen(UserId("alice")) is None
    session.gone()

    async def nothing_is_left() -> bool:
        return not await looks.routes() and not await looks.listed(world.endpoint)

    await eventually(nothing_is_left)
    assert await world.member.registry.last_seen(UserId("alice")) is not None


async def test_a_session_that_leaves_while_it_registers_leaves_nothing_behind(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    proxy.hold(Way.TO_CLIENT)
    session, socket = behind_proxy.arrive()

    async def registered() -> bool:
        return bool(await looks.routes())

    await eventually(registered)
    session.gone()
    proxy.heal()

    async def nothing_is_left() -> bool:
        return not await looks.routes() and not await looks.listed(behind_proxy.endpoint)

    await eventually(nothing_is_left)
    assert socket.writes == []


async def test_a_session_that_leaves_before_it_registers_leaves_nothing_behind(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    proxy.hold(Way.TO_STORE)
    session, _ = behind_proxy.arrive()
    session.gone()
    proxy.heal()
    await behind_proxy.presence.stop(5.0)
    assert await looks.routes() == set()
    assert await looks.listed(behind_proxy.endpoint) == set()


async def test_a_goodbye_that_the_store_did_not_hear_is_said_again_before_the_end(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    session, _ = await behind_proxy.welcomed()
    lost = proxy.when(scripts.UNREGISTER.sha.encode(), Fault.LOSE_COMMAND)
    session.gone()
    await lost.wait()
    await behind_proxy.presence.stop(5.0)
    assert await looks.routes() == set()
    assert await looks.listed(behind_proxy.endpoint) == set()


async def test_users_come_and_go_in_numbers_and_the_registry_follows(
    world: World, looks: Store
) -> None:
    made = [world.arrive(f"u{number % 20}")[0] for number in range(200)]
    for session in made[::2]:
        session.gone()
    await eventually(lambda: all(session.welcomed for session in made[1::2]))
    await world.presence.stop(5.0)
    for number in range(20):
        left = {world.field(s) for s in made[1::2] if s.user == f"u{number}"}
        assert await looks.routes(f"u{number}") == left


# ---- when the store is away ---------------------------------------------------------------------


async def test_a_session_that_cannot_be_registered_is_sent_to_another_node(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    await proxy.refuse()
    await eventually(lambda: not behind_proxy.member.store.up)
    session, socket = behind_proxy.arrive()
    await eventually(lambda: session.closed)
    assert socket.closed_with == (1013, "try another node")
    assert behind_proxy.presence.counts.failures["presence"] == 1
    assert len(behind_proxy.hub) == 0
    assert await looks.routes() == set()


async def test_when_the_reply_of_a_registration_is_lost_the_route_is_removed_later(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    lost = proxy.when(b":routes", Fault.LOSE_REPLY)
    session, socket = behind_proxy.arrive()
    await lost.wait()
    await eventually(lambda: session.closed)
    assert socket.closed_with == (1013, "try another node")

    async def nothing_is_left() -> bool:
        return not await looks.routes() and not await looks.listed(behind_proxy.endpoint)

    await eventually(nothing_is_left)


async def test_who_leaves_while_the_store_is_away_is_removed_when_it_is_back(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    (leaves, _), (stays, _) = await behind_proxy.welcomed(), await behind_proxy.welcomed()
    await proxy.refuse()
    await eventually(lambda: not behind_proxy.member.store.up)
    leaves.gone()
    await proxy.accept()

    async def only_the_other_is_left() -> bool:
        return await looks.routes() == {behind_proxy.field(stays)}

    await eventually(only_the_other_is_left)
    assert not stays.closed


async def test_a_route_that_a_store_brings_back_is_removed_once_more(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    """A replica that takes its master's place may not have heard of a goodbye."""
    (leaves, _), (stays, _) = await behind_proxy.welcomed(), await behind_proxy.welcomed()
    routes = behind_proxy.keys.routes(UserId("alice"))
    before = await looks.redis.hgetall(routes)

    async def only_the_other_is_left() -> bool:
        return await looks.routes() == {behind_proxy.field(stays)}

    leaves.gone()
    await eventually(only_the_other_is_left)
    await proxy.refuse()
    await eventually(lambda: not behind_proxy.member.store.up)
    await looks.redis.hset(routes, mapping=before)
    assert not await only_the_other_is_left()
    await proxy.accept()
    await eventually(only_the_other_is_left)


async def test_sessions_stay_when_the_store_goes_and_are_registered_when_it_is_back_empty(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    session, socket = await behind_proxy.welcomed()
    socket.frames()
    before = behind_proxy.endpoint
    await proxy.refuse()
    await eventually(lambda: not behind_proxy.member.store.up)
    await forget_everything(looks)
    await proxy.accept()

    async def registered_under_a_new_epoch() -> bool:
        fresh = behind_proxy.endpoint != before
        return fresh and await looks.routes() == {behind_proxy.field(session)}

    await eventually(registered_under_a_new_epoch)
    assert not session.closed
    assert socket.writes == []


async def test_registering_again_is_tried_until_it_succeeds(
    world: World, looks: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = await world.welcomed()
    attach, tries, told = world.member.transport.attach, 0, []

    async def attach_the_third_time(sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("the store", "its slot is served by nobody")
        return await attach(sessions)

    monkeypatch.setattr(world.member.transport, "attach", attach_the_third_time)
    await looks.redis.delete(world.keys.routes(UserId("alice")))
    world.presence.register_all(then=lambda: told.append(tries))

    async def registered() -> bool:
        return await looks.routes() == {world.field(session)}

    await eventually(registered)
    assert (tries, told) == (3, [1])


async def forget_everything(looks: Store) -> None:
    async for key in looks.redis.scan_iter(f"{looks.prefix}:*", count=1_000):
        await looks.redis.delete(key)


# ---- fenced -------------------------------------------------------------------------------------


async def test_after_a_fence_open_sessions_are_registered_under_the_new_epoch_only(
    world: World, looks: Store
) -> None:
    made = [(await world.welcomed(f"u{number}"))[0] for number in range(5)]
    before = world.endpoint
    await looks.redis.delete(world.keys.open(before))
    await eventually(lambda: world.endpoint != before)

    async def all_there() -> bool:
        return all([await looks.routes(s.user) == {world.field(s)} for s in made])

    await eventually(all_there)
    assert await looks.listed(world.endpoint) == {f"u{number}" for number in range(5)}


async def test_a_session_that_arrives_at_a_fenced_node_is_welcomed_by_the_next_epoch(
    world: World, looks: Store
) -> None:
    before = world.endpoint
    await looks.redis.delete(world.keys.open(before))
    session, _ = world.arrive()
    await eventually(lambda: session.welcomed)
    assert world.endpoint != before

    async def registered() -> bool:
        return await looks.routes() == {world.field(session)}

    await eventually(registered)


# ---- the sweep ----------------------------------------------------------------------------------


async def test_the_sweep_heals_what_the_registry_lost(
    store: EmbeddedServer, settings: Settings, looks: Store
) -> None:
    async with running(settings, store.address.url, refresh_s=REFRESH_S) as world:
        session, socket = await world.welcomed()
        socket.frames()
        await looks.redis.delete(world.keys.routes(UserId("alice")))
        await looks.redis.delete(world.keys.users(world.endpoint))

        async def healed() -> bool:
            return await looks.routes() == {world.field(session)}

        await eventually(healed)
        assert await looks.listed(world.endpoint) == {"alice"}
        assert socket.writes == []


async def test_the_sweep_keeps_routes_from_ending(
    store: EmbeddedServer, settings: Settings, looks: Store
) -> None:
    async with running(settings, store.address.url, refresh_s=REFRESH_S) as world:
        await world.welcomed()
        key = world.keys.routes(UserId("alice"))
        await looks.redis.pexpire(key, 60_000)

        async def renewed() -> bool:
            return int(await looks.redis.pttl(key)) > 60_000

        await eventually(renewed)


async def test_the_sweep_does_not_bring_back_who_has_left(
    store: EmbeddedServer, settings: Settings, looks: Store
) -> None:
    async with running(settings, store.address.url, refresh_s=REFRESH_S) as world:
        (leaves, _), (stays, _) = await world.welcomed("alice"), await world.welcomed("eve")
        leaves.gone()
        await looks.redis.delete(world.keys.routes(UserId("eve")))

        async def a_round_is_over() -> bool:
            return await looks.routes("eve") == {world.field(stays)}

        await eventually(a_round_is_over)
        assert await looks.routes("alice") == set()


async def test_quiet_clients_are_pinged_and_ended_when_they_do_not_answer(
    store: EmbeddedServer, settings: Settings, looks: Store
) -> None:
    async with running(settings, store.address.url, check_s=REFRESH_S) as world:
        (dead, dead_socket), (alive, alive_socket) = [
            await world.welcomed(name) for name in ("alice", "eve")
        ]

        def answered_for_the_living() -> bool:
            for ping in alive_socket.pings():
                alive.pong(ping)
            return dead.closed

        await eventually(answered_for_the_living)
        assert dead_socket.aborted
        assert not alive.closed

        async def removed() -> bool:
            return not await looks.routes("alice")

        await eventually(removed)


# ---- mailboxes ----------------------------------------------------------------------------------


async def put(world: World, number: int, user: str = "alice") -> Offset:
    """Store a message without telling any node of it."""
    message = StoredMessage(f"m{number}", "bob", 1.5, 0, b"%d" % number)
    command = world.member.mailbox.pack_lookup(
        UserId(user), message, durable=True, key=None, again=False
    )
    deposit = parse_deposit((await world.member.store.call(command))[:-1])
    assert deposit.offset is not None
    return deposit.offset


def data(socket: RecordingSocket) -> list[int]:
    """Return the messages written since the last look, which must rise in their offsets."""
    said = [frame for frame in socket.said() if frame["type"] == "message"]
    offsets = [Offset.parse(frame["offset"]) for frame in said]
    assert offsets == sorted(set(offsets))
    return [frame["data"] for frame in said]


async def test_who_arrives_is_welcomed_first_and_then_gets_the_mailbox(world: World) -> None:
    for number in range(3):
        await put(world, number)
    session, socket = world.arrive()
    await eventually(lambda: world.replays.counts.replayed == 3)
    await eventually(lambda: not session.place.replaying)
    assert [frame["type"] for frame in socket.said()] == ["welcome", *["message"] * 3]


async def test_who_arrives_knows_where_it_goes_on(world: World) -> None:
    session, _ = await world.welcomed()
    assert (session.place.position, session.place.whole) == (START, False)
    first = await put(world, 1)
    await world.member.store.call(world.member.mailbox.pack_ack(session.user, "web", first))
    back, socket = await world.welcomed()
    assert (back.place.position, back.place.whole) == (first, True)
    assert data(socket) == []


async def test_a_device_holds_its_place_from_its_first_visit_on(world: World, looks: Store) -> None:
    session, _ = await world.welcomed()
    session.gone()

    async def gone() -> bool:
        return not await looks.routes()

    await eventually(gone)
    missed = await put(world, 1)
    await world.member.store.call(world.member.mailbox.pack_ack(session.user, "phone", missed))
    back, socket = await world.welcomed()
    assert back.place.whole
    await eventually(lambda: back.place.position == missed)
    assert data(socket) == [1]


async def test_the_sweep_finds_what_was_stored_and_never_arrived(
    store: EmbeddedServer, settings: Settings
) -> None:
    async with running(settings, store.address.url, refresh_s=REFRESH_S) as world:
        session, socket = await world.welcomed()
        last = [await put(world, number) for number in range(3)][-1]
        await eventually(lambda: session.place.position == last)
        await eventually(lambda: not session.place.replaying)
        assert data(socket) == [0, 1, 2]


async def test_what_a_replay_under_way_no_longer_sees_is_read_when_it_has_ended(
    world: World,
) -> None:
    await put(world, 0)
    session, socket = world.arrive()
    socket.waiting_bytes = 10**9
    await eventually(lambda: session.place.replaying)
    await eventually(lambda: session.welcomed)
    last = [await put(world, number) for number in (1, 2)][-1]
    world.presence.register_all()
    await eventually(lambda: session.place.newest == last)
    socket.waiting_bytes = 0
    await eventually(lambda: session.place.position == last)
    await eventually(lambda: not session.place.replaying)
    assert data(socket) == [0, 1, 2]


async def test_after_a_fence_nothing_is_written_twice_and_nothing_is_missed(
    world: World, looks: Store
) -> None:
    await put(world, 1)
    session, socket = await world.welcomed()
    await eventually(lambda: world.replays.counts.replayed == 1)
    missed = await put(world, 2)
    before = world.endpoint
    await looks.redis.delete(world.keys.open(before))
    await eventually(lambda: world.endpoint != before)
    await eventually(lambda: session.place.position == missed)
    await eventually(lambda: not session.place.replaying)
    assert data(socket) == [1, 2]


async def test_a_session_that_arrives_while_all_register_again_goes_on_from_one_place(
    behind_proxy: World, proxy: Proxy
) -> None:
    world = behind_proxy
    await world.welcomed("eve")
    for number in range(5):
        await put(world, number)
    for _ in range(5):
        proxy.hold(Way.TO_CLIENT)
        session, socket = world.arrive()
        world.presence.register_all()
        await rounds()
        proxy.heal()
        await eventually(lambda: session.welcomed)  # noqa: B023 - awaited within this round
        world.presence.register_all()
        await eventually(lambda: not session.place.replaying and session.place.position)  # noqa: B023
        assert data(socket) == [0, 1, 2, 3, 4]


async def test_a_mailbox_that_cannot_be_asked_sends_a_new_session_to_another_node(
    behind_proxy: World, proxy: Proxy, looks: Store
) -> None:
    lost = proxy.when(scripts.RESUME.sha.encode(), Fault.LOSE_REPLY)
    session, socket = behind_proxy.arrive()
    await lost.wait()
    await eventually(lambda: session.closed)
    assert socket.closed_with == (1013, "try another node")

    async def nothing_is_left() -> bool:
        return not await looks.routes()

    await eventually(nothing_is_left)
