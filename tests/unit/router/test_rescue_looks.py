"""Who is taken for dead, when, and how many at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from router.aio import Router
from router.member import sender_lease
from router.model import EndpointId
from router.rescue import LOOKED_AT, Brake, Rescuer
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.rescues import Rescues, message, rescues
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs

TTL_S = 0.6


class TestBrake:
    @pytest.mark.parametrize(
        ("quiet_at", "now", "endpoints", "allowed"),
        [
            ([], 100.0, 50, 0),  # nothing is known yet
            ([100.0], 100.0, 50, 0),
            ([100.0], 109.9, 50, 0),
            ([100.0], 110.0, 50, 10),
            ([100.0, 105.0, 109.0], 110.0, 50, 10),  # the first counts
            ([100.0], 110.0, 0, 1),
            ([100.0], 110.0, 1, 1),
            ([100.0], 110.0, 4, 1),
            ([100.0], 110.0, 9, 1),
            ([100.0], 110.0, 10, 2),
            ([100.0], 110.0, 1_000, 200),
        ],
    )
    def test_one_in_five_after_a_lease_of_quiet(
        self, quiet_at: list[float], now: float, endpoints: int, allowed: int
    ) -> None:
        brake = Brake(10.0)
        for at in quiet_at:
            brake.quiet(at)
        assert brake.allows(now, endpoints) == allowed

    @pytest.mark.parametrize(
        ("fenced_at", "now", "endpoints", "allowed"),
        [
            ([110.0], 110.0, 4, 0),
            ([110.0], 119.9, 4, 0),
            ([110.0], 120.0, 4, 1),
            ([110.0], 110.0, 10, 1),
            ([110.0, 112.0], 113.0, 10, 0),
            ([110.0, 112.0], 120.0, 10, 1),
            ([110.0, 112.0], 122.0, 10, 2),
            ([110.0, 112.0, 112.0], 113.0, 10, 0),  # endpoints became fewer: never below nought
        ],
    )
    def test_what_was_fenced_counts_for_a_lease(
        self, fenced_at: list[float], now: float, endpoints: int, allowed: int
    ) -> None:
        brake = Brake(10.0)
        brake.quiet(0.0)
        for at in fenced_at:
            brake.fenced(at)
        assert brake.allows(now, endpoints) == allowed

    @pytest.mark.parametrize(
        ("quiet_again_at", "now", "allowed"),
        [(None, 1_000.0, 0), (120.0, 129.9, 0), (120.0, 130.0, 1)],
    )
    def test_trouble_begins_the_wait_anew(
        self, quiet_again_at: float | None, now: float, allowed: int
    ) -> None:
        brake = Brake(10.0)
        brake.quiet(0.0)
        assert brake.allows(110.0, 4) == 1
        brake.trouble()
        if quiet_again_at is not None:
            brake.quiet(quiet_again_at)
        assert brake.allows(now, 4) == allowed

    def test_trouble_does_not_make_what_was_fenced_undone(self) -> None:
        brake = Brake(10.0)
        brake.quiet(0.0)
        brake.fenced(110.0)
        brake.trouble()
        brake.quiet(100.0)
        assert brake.allows(115.0, 4) == 0


class Fences:
    """Notes when a rescuer tried to fence which endpoint."""

    def __init__(self, rescuer: Rescuer, patch: pytest.MonkeyPatch) -> None:
        self.all: list[tuple[float, EndpointId]] = []
        self._fence = rescuer._remains.fence
        patch.setattr(rescuer._remains, "fence", self._noted)

    async def _noted(self, endpoint: EndpointId, token: str) -> bool:
        self.all.append((now(), endpoint))
        return await self._fence(endpoint, token)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def rescues_are_logged(logs: StrictLogs) -> None:
    logs.expect("endpoint is dead, rescuing it")


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str) -> AsyncIterator[Rescues]:
    settings = fast_settings(prefix, lease={"ttl_s": TTL_S, "heartbeat_s": 0.15})
    async with rescues(store.address.url, settings) as found:
        yield found


async def looking(world: Rescues) -> Rescuer:
    """Return a rescuer whose process is alive: that of the router's."""
    return await world.rescuer(world.router.member)


async def test_a_dead_endpoint_is_found_but_not_before_the_finder_was_alive_for_a_lease(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = await world.dying("dead", "alice")
    await world.lay(dead, message("m1", "alice"))
    await world.dies(dead)
    began = now()
    rescuer = await looking(world)
    fences = Fences(rescuer, monkeypatch)
    await world.gone(dead)
    (fenced_at, endpoint), *_ = fences.all
    assert endpoint == dead
    assert fenced_at - began >= TTL_S
    assert await world.routes("alice") == set()
    await eventually(lambda: rescuer.counts.rescues == 1)


async def test_who_has_no_lease_of_its_own_takes_nobody_for_dead(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = Fences(await world.rescuer(), monkeypatch)
    first = await world.dying("first")
    await world.dies(first)
    await looking(world)
    await world.gone(first)
    assert without.all == []


async def test_nobody_is_fenced_before_two_looks_have_found_no_lease(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescuer = await looking(world)
    await eventually(lambda: rescuer._brake.allows(now(), 1) > 0)
    leases, looks = world.router.member.leases, 0
    without_lease, fence = leases.without_lease, rescuer._remains.fence

    async def look(endpoints: Sequence[EndpointId]) -> list[EndpointId]:
        nonlocal looks
        found = await without_lease(endpoints)
        looks += any(endpoint.startswith("dead.") for endpoint in found)
        return found

    async def fence_after(endpoint: EndpointId, token: str) -> bool:
        assert looks >= 2
        return await fence(endpoint, token)

    monkeypatch.setattr(leases, "without_lease", look)
    monkeypatch.setattr(rescuer._remains, "fence", fence_after)
    dead = await world.dying("dead")  # on a busy machine its lease ends before we end it
    await world.dies(dead)
    await world.gone(dead)
    assert looks >= 2


async def test_the_living_are_never_fenced_while_the_dead_are(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    n1 = await world.start("n1")
    dead = [await world.dying(f"d{number}") for number in range(2)]
    for endpoint in dead:
        await world.dies(endpoint)
    fences = Fences(await looking(world), monkeypatch)
    await world.gone(*dead)
    assert {endpoint for _, endpoint in fences.all} == set(dead)
    assert (n1.member.endpoint.epochs, world.router.member.endpoint.epochs) == (1, 1)


async def test_an_endpoint_whose_lease_is_back_at_the_last_moment_is_not_fenced(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = await world.dying("dead")
    rescuer = await looking(world)
    fence, tries = rescuer._remains.fence, 0

    async def too_late(endpoint: EndpointId, token: str) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            assert await world.router.member.leases.heartbeat(endpoint, sender_lease())
            assert not await fence(endpoint, token)
            assert await world.left_of(endpoint) == ["lease", "open", "endpoints"]
            return False
        return await fence(endpoint, token)

    monkeypatch.setattr(rescuer._remains, "fence", too_late)
    await world.gone(dead)  # its lease ends once more, and is not renewed
    assert tries == 2


async def test_one_that_cannot_be_rescued_keeps_no_other_waiting(
    world: Rescues, monkeypatch: pytest.MonkeyPatch, logs: StrictLogs
) -> None:
    logs.expect("rescue put off")
    rescuer = await looking(world)
    spoilt = await world.dying("a-spoilt", "alice")
    other = await world.dying("other", "bob")
    fence = rescuer._remains.fence

    async def spoil(endpoint: EndpointId, token: str) -> bool:
        done = await fence(endpoint, token)
        if endpoint == spoilt:
            await world.redis.set(world.key(spoilt, "rescued"), b"not a list")
        return done

    monkeypatch.setattr(rescuer._remains, "fence", spoil)
    await world.dies(spoilt)
    await world.dies(other)
    await world.gone(other)
    await eventually(lambda: rescuer.counts.failures["rescue"] == 1)
    assert spoilt in rescuer._later


async def test_at_most_one_in_five_is_fenced_within_a_lease(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = [await world.dying(f"d{number}") for number in range(2)]
    for endpoint in dead:
        await world.dies(endpoint)
    fences = Fences(await looking(world), monkeypatch)
    await world.gone(*dead)
    (first, _), (second, _) = fences.all
    assert second - first >= 0.99 * TTL_S


TROUBLES: dict[str, Callable[[Rescuer], None]] = {
    "the store was away": Rescuer.store_was_away,
    "it was fenced itself": lambda rescuer: rescuer.rescue_own(EndpointId("own.past")),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_after_trouble_nobody_is_fenced_for_a_lease(
    world: Rescues, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    rescuer = await looking(world)
    await eventually(lambda: rescuer._brake.allows(now(), 1) > 0)  # it would fence by now
    fences = Fences(rescuer, monkeypatch)
    dead = await world.dying("dead")
    await world.dies(dead)
    TROUBLES[trouble](rescuer)
    began = now()
    await world.gone(dead)
    (fenced_at,) = [at for at, endpoint in fences.all if endpoint == dead]
    assert fenced_at - began >= TTL_S


async def test_a_lease_lost_without_a_word_is_trouble_too_but_nobody_fences_himself(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = world.router.member.endpoint
    assert keeper.id is not None
    rescuer = await looking(world)
    await eventually(lambda: rescuer._brake.allows(now(), 1) > 0)
    fences = Fences(rescuer, monkeypatch)
    await keeper.stop()
    await world.dies(keeper.id)
    await eventually(lambda: rescuer._brake.allows(now(), 1) == 0)
    assert not keeper.alive
    assert fences.all == []


async def test_the_earlier_epoch_of_a_member_that_was_fenced_is_rescued_by_others(
    world: Rescues, logs: StrictLogs
) -> None:
    logs.expect(
        "endpoint was fenced, new epoch taken", "store connection given up", "store connection lost"
    )
    n1 = await world.start("n1")
    await n1.attach("alice")
    past = n1.id
    await looking(world)
    await world.redis.delete(world.key(past, "open"))
    await eventually(lambda: n1.id != past)
    await world.gone(past)
    assert await world.routes("alice") == set()


async def test_an_endpoint_that_fell_off_the_list_is_listed_again_by_its_heartbeat(
    world: Rescues,
) -> None:
    own: Router = world.router
    endpoint = own.member.endpoint.id
    assert endpoint is not None
    await world.redis.delete(f"{world.settings.registry.prefix}:endpoints")

    async def listed() -> bool:
        return endpoint in await own.member.leases.ids()

    await eventually(listed)
    assert own.member.endpoint.epochs == 1


async def test_in_a_large_cluster_a_look_is_at_few_and_yet_all_the_dead_are_found(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = [await world.dying(f"d{number}") for number in range(3 * LOOKED_AT)]
    for endpoint in dead:
        await world.dies(endpoint)
    leases, rescuer = world.router.member.leases, await looking(world)
    monkeypatch.setattr(rescuer._brake, "allows", lambda *_: 1)
    sizes: list[int] = []
    without_lease = leases.without_lease

    async def look(endpoints: Sequence[EndpointId]) -> list[EndpointId]:
        sizes.append(len(endpoints))
        assert len(endpoints) <= LOOKED_AT + 5 * len(rescuer._suspects)
        return await without_lease(endpoints)

    monkeypatch.setattr(leases, "without_lease", look)
    await world.gone(*dead)
    assert rescuer.counts.rescues == len(dead)
    assert rescuer.counts.failures["rescue"] == 0  # nor was a look too large
    assert max(sizes) > sizes[0]


async def test_a_suspect_that_another_has_cleaned_up_is_none_any_more(
    world: Rescues, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescuer = await looking(world)
    monkeypatch.setattr(rescuer._brake, "allows", lambda *_: 0)
    dead = await world.dying("dead")
    await world.dies(dead)
    await eventually(lambda: dead in rescuer._suspects)
    await (await world.rescuer()).take_over(dead)
    await eventually(lambda: dead not in rescuer._suspects)
    assert await world.left_of(dead) == []
