"""This process's claim to be alive: epoch, lease, heartbeat, and being fenced."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from router.codec import Lease
from router.endpoint import EndpointKeeper
from router.errors import Unavailable
from router.keys import Keys
from router.model import EndpointId
from router.settings import LeaseSettings
from router.store import scripts
from router.store.clock import StoreClock
from router.store.lease import Leases
from router.store.store import Store
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

FENCED, FAILED = "endpoint was fenced, new epoch taken", "heartbeat failed"
HEARTBEAT_SHA = scripts.HEARTBEAT.sha.encode()


class Owner:
    """Hears of epochs, and says what the process says of itself."""

    def __init__(self) -> None:
        self.epochs: list[EndpointId] = []
        self.fault: BaseException | None = None
        self.sessions = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    def describe(self) -> Lease:
        return Lease("node", 1, "", "live", self.sessions, 0, 0, 0.0, 0.0)

    async def on_epoch(self, endpoint: EndpointId) -> None:
        self.epochs.append(endpoint)
        await self.goes_on.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def clock() -> StoreClock:
    return StoreClock()


@pytest.fixture
def lease_settings() -> LeaseSettings:
    return LeaseSettings(ttl_s=1.0, heartbeat_s=0.05)


@pytest.fixture
async def keeper(
    shaky_store: Store, keys: Keys, lease_settings: LeaseSettings, clock: StoreClock, owner: Owner
) -> AsyncIterator[EndpointKeeper]:
    leases = Leases(shaky_store, keys, lease_settings)
    found = EndpointKeeper(leases, lease_settings, clock, owner.describe, owner.on_epoch)
    yield found
    await found.stop()


def lease_of(redis: Redis, keys: Keys, keeper: EndpointKeeper) -> Any:
    assert keeper.id is not None
    return redis.get(keys.lease(keeper.id))


class TestOpening:
    async def test_the_first_epoch_is_open_alive_and_told(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys
    ) -> None:
        assert (keeper.alive, keeper.epochs) == (False, 0)
        await keeper.open("n1")
        assert keeper.id is not None
        assert keeper.id.startswith("n1.")
        assert owner.epochs == [keeper.id]
        assert redis.exists(keys.open(keeper.id), keys.lease(keeper.id)) == 2
        assert (keeper.alive, keeper.epochs) == (True, 1)

    async def test_a_store_that_is_away_is_an_error_and_leaves_nothing_running(
        self, keeper: EndpointKeeper, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        with pytest.raises(Unavailable):
            await keeper.open("n1")
        assert keeper.id is None
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "heartbeat"]

    async def test_an_epoch_its_owner_could_not_take_up_is_not_ours(
        self, keeper: EndpointKeeper, owner: Owner
    ) -> None:
        owner.fault = Unavailable("here", "gone")
        with pytest.raises(Unavailable):
            await keeper.open("n1")
        assert (keeper.id, keeper.alive) == (None, False)
        await keeper.open("n1")
        assert keeper.id == owner.epochs[1]
        assert keeper.alive

    async def test_a_cancelled_caller_leaves_no_half_epoch(
        self, keeper: EndpointKeeper, owner: Owner
    ) -> None:
        owner.goes_on.clear()
        attempt = asyncio.create_task(keeper.open("n1"))
        await eventually(lambda: owner.epochs)
        attempt.cancel()
        await asyncio.wait([attempt])
        assert (keeper.id, keeper.alive) == (None, False)
        owner.goes_on.set()
        await keeper.open("n1")
        assert keeper.id == owner.epochs[1]


class TestHeartbeats:
    async def test_they_renew_the_lease_with_what_the_process_says_now(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys
    ) -> None:
        await keeper.open("n1")
        before = lease_of(redis, keys, keeper)
        owner.sessions = 7
        await eventually(lambda: lease_of(redis, keys, keeper) != before)

    async def test_they_tell_the_stores_time(
        self, keeper: EndpointKeeper, clock: StoreClock
    ) -> None:
        await keeper.open("n1")
        await eventually(lambda: clock.known)

    async def test_a_lease_that_has_ended_is_taken_up_again_under_the_same_epoch(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys
    ) -> None:
        await keeper.open("n1")
        assert keeper.id is not None
        redis.delete(keys.lease(keeper.id))
        await eventually(lambda: lease_of(redis, keys, keeper))
        assert owner.epochs == [keeper.id]

    async def test_one_may_be_asked_for_at_once(
        self, shaky_store: Store, keys: Keys, clock: StoreClock, owner: Owner, redis: Redis
    ) -> None:
        rare = LeaseSettings(ttl_s=3_000.0, heartbeat_s=1_000.0)
        leases = Leases(shaky_store, keys, rare)
        keeper = EndpointKeeper(leases, rare, clock, owner.describe, owner.on_epoch)
        await keeper.open("n1")
        await rounds()
        assert not clock.known
        keeper.check_now()
        await eventually(lambda: clock.known)
        await keeper.stop()

    async def test_without_them_the_process_does_not_call_itself_alive(
        self, keeper: EndpointKeeper, proxy: Proxy, logs: StrictLogs
    ) -> None:
        logs.expect(FAILED)
        await keeper.open("n1")
        await proxy.refuse()
        await eventually(lambda: not keeper.alive)
        assert keeper.id is not None
        await proxy.accept()
        await eventually(lambda: keeper.alive)

    async def test_a_store_that_was_away_shorter_than_the_lease_changes_nothing(
        self, keeper: EndpointKeeper, owner: Owner, proxy: Proxy, logs: StrictLogs
    ) -> None:
        logs.expect(FAILED)
        await keeper.open("n1")
        await proxy.refuse()
        await eventually(lambda: logs.events(FAILED))
        await proxy.accept()
        await eventually(lambda: keeper.alive)
        assert owner.epochs == [keeper.id]

    async def test_a_lost_reply_is_no_reason_to_doubt_the_epoch(
        self, keeper: EndpointKeeper, owner: Owner, proxy: Proxy, logs: StrictLogs
    ) -> None:
        logs.expect(FAILED)
        await keeper.open("n1")
        lost = proxy.when(HEARTBEAT_SHA, Fault.LOSE_REPLY)
        await lost.wait()
        await eventually(lambda: logs.events(FAILED) and keeper.alive)
        assert owner.epochs == [keeper.id]

    async def test_a_fault_of_ours_does_not_end_them(
        self,
        keeper: EndpointKeeper,
        owner: Owner,
        clock: StoreClock,
        logs: StrictLogs,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        logs.expect(FAILED)

        def broken() -> Lease:
            raise RuntimeError("a fault of ours")

        await keeper.open("n1")
        with monkeypatch.context() as patch:
            patch.setattr(keeper, "_describe", broken)
            await eventually(lambda: logs.events(FAILED))
        await eventually(lambda: clock.known)


class TestBeingFenced:
    async def test_a_fenced_endpoint_takes_a_new_epoch_and_tells(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys, logs: StrictLogs
    ) -> None:
        logs.expect(FENCED)
        await keeper.open("n1")
        first = owner.epochs[0]
        redis.delete(keys.open(first))
        await eventually(lambda: len(owner.epochs) == 2)
        await eventually(lambda: logs.events(FENCED))
        assert keeper.id == owner.epochs[1] != first
        assert keeper.alive
        [logged] = logs.events(FENCED)
        assert (logged["was"], logged["now"]) == (first, keeper.id)

    async def test_nothing_is_said_any_more_under_the_name_that_is_dead(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys, logs: StrictLogs
    ) -> None:
        logs.expect(FENCED)
        await keeper.open("n1")
        first = owner.epochs[0]
        redis.delete(keys.open(first), keys.lease(first))
        await eventually(lambda: len(owner.epochs) == 2)
        await eventually(lambda: lease_of(redis, keys, keeper))
        assert redis.exists(keys.open(first), keys.lease(first)) == 0

    async def test_a_store_that_lost_everything_is_the_same(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys, logs: StrictLogs
    ) -> None:
        logs.expect(FENCED)
        await keeper.open("n1")
        names: Any = redis.keys(f"{keys.prefix}:*")
        redis.delete(*names)
        await eventually(lambda: len(owner.epochs) == 2)
        assert keeper.id is not None
        assert redis.smembers(keys.endpoints) >= {keeper.id.encode()}

    async def test_an_owner_that_fails_to_take_it_up_does_not_end_the_heartbeats(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys, logs: StrictLogs
    ) -> None:
        logs.expect(FENCED, FAILED)
        await keeper.open("n1")
        owner.fault = RuntimeError("a fault of ours")
        redis.delete(keys.open(owner.epochs[0]))
        await eventually(lambda: logs.events(FAILED))
        assert keeper.id is not None
        redis.delete(keys.open(keeper.id))
        await eventually(lambda: len(owner.epochs) == 3)


class TestLeaving:
    async def test_a_stopped_keeper_beats_no_more(
        self, keeper: EndpointKeeper, owner: Owner, redis: Redis, keys: Keys
    ) -> None:
        await keeper.open("n1")
        await keeper.stop()
        await keeper.stop()
        owner.sessions = 99
        before = lease_of(redis, keys, keeper)
        keeper.check_now()
        await asyncio.sleep(0.1)
        assert lease_of(redis, keys, keeper) == before

    async def test_an_empty_endpoint_is_closed(
        self, keeper: EndpointKeeper, redis: Redis, keys: Keys
    ) -> None:
        await keeper.open("n1")
        await keeper.stop()
        assert await keeper.close() == 0
        assert redis.keys(f"{keys.prefix}:*") == []

    async def test_one_with_envelopes_says_how_many(
        self, keeper: EndpointKeeper, redis: Redis, keys: Keys
    ) -> None:
        await keeper.open("n1")
        assert keeper.id is not None
        redis.rpush(keys.inbox(keeper.id), *"abc")
        assert await keeper.close() == 3

    async def test_one_that_never_opened_has_nothing_to_close(self, keeper: EndpointKeeper) -> None:
        await keeper.stop()
        assert await keeper.close() == 0
