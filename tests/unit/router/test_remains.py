"""What a dead endpoint has left, and taking it over step by step."""

import pytest
from redis import Redis

from router.errors import StoreRefused
from router.keys import Keys
from router.model import EndpointId, Session, SessionId, UserId
from router.settings import RegistrySettings
from router.store import remains as remains_module
from router.store.registry import Registry
from router.store.remains import TOKEN_TTL_MS, Remains, Salvage
from router.store.store import Store

DEAD, ALIVE = EndpointId("n1.aa"), EndpointId("n2.bb")


@pytest.fixture
def registry(plain_store: Store, keys: Keys) -> Registry:
    return Registry(plain_store, keys, RegistrySettings())


@pytest.fixture
def remains(plain_store: Store, keys: Keys, registry: Registry) -> Remains:
    return Remains(plain_store, keys, registry)


@pytest.fixture(autouse=True)
def died(redis: Redis, keys: Keys) -> None:
    redis.mset({keys.open(DEAD): b"said", keys.open(ALIVE): b"said", keys.done(DEAD): 5})
    redis.rpush(keys.inbox(DEAD), *(f"e{number}" for number in range(4)))
    redis.sadd(keys.endpoints, DEAD, ALIVE)


def session(name: str, endpoint: EndpointId) -> Session:
    return Session(SessionId(name), endpoint, "web", "", 1.0)


async def test_a_dead_endpoint_is_fenced_by_one_rescuer(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    assert await remains.fence(DEAD, "mine")
    assert not await remains.fence(DEAD, "another")
    assert redis.exists(keys.open(DEAD)) == 0
    assert 0 < float(redis.pttl(keys.rescuer(DEAD))) <= TOKEN_TTL_MS


async def test_a_living_endpoint_is_not_fenced(remains: Remains, redis: Redis, keys: Keys) -> None:
    redis.set(keys.lease(DEAD), b"lease")
    assert not await remains.fence(DEAD, "mine")
    assert redis.exists(keys.open(DEAD)) == 1


async def test_its_inbox_is_read_without_being_removed(remains: Remains) -> None:
    await remains.fence(DEAD, "mine")
    for _ in range(2):
        assert await remains.read(DEAD) == Salvage(5, [b"e0", b"e1", b"e2", b"e3"])


async def test_it_is_read_and_removed_batch_by_batch(
    remains: Remains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains_module, "_BATCH", 3)
    await remains.fence(DEAD, "mine")
    first = await remains.read(DEAD)
    assert first == Salvage(5, [b"e0", b"e1", b"e2"])
    assert await remains.remove(DEAD, "mine", first)
    second = await remains.read(DEAD)
    assert second == Salvage(8, [b"e3"])
    assert await remains.remove(DEAD, "mine", second)
    assert await remains.read(DEAD) == Salvage(9, [])


async def test_a_batch_is_not_removed_twice(remains: Remains) -> None:
    await remains.fence(DEAD, "mine")
    batch = await remains.read(DEAD)
    assert await remains.remove(DEAD, "mine", batch)
    assert not await remains.remove(DEAD, "mine", batch)


async def test_who_has_lost_the_rescue_removes_nothing(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    await remains.fence(DEAD, "first")
    batch = await remains.read(DEAD)
    redis.delete(keys.rescuer(DEAD))
    assert await remains.fence(DEAD, "second")
    assert not await remains.remove(DEAD, "first", batch)
    assert await remains.read(DEAD) == batch


async def test_the_inbox_of_an_endpoint_that_dealt_with_nothing_begins_at_nought(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    redis.delete(keys.done(DEAD))
    await remains.fence(DEAD, "mine")
    assert (await remains.read(DEAD)).position == 0


async def test_routes_are_removed_slice_by_slice_and_only_those_of_the_dead(
    remains: Remains, registry: Registry, redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains_module, "_SLICE", 2)
    users = [UserId(f"user-{number}") for number in range(5)]
    await registry.register([(user, session("s1", DEAD)) for user in users])
    await registry.register([(users[0], session("s2", ALIVE))])
    await remains.fence(DEAD, "mine")
    slices = 0
    while await remains.remove_routes(DEAD):
        slices += 1
    assert slices == 3
    assert await registry.locate(users) == {"user-0": ["n2"]}
    assert redis.exists(keys.users(DEAD)) == 0
    assert redis.zrange(keys.users(ALIVE), 0, -1) == [b"user-0"]


async def test_a_listed_user_who_is_long_gone_is_no_obstacle(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    redis.zadd(keys.users(DEAD), {b"\xff\xfe": 0, b"gone": 0})
    assert await remains.remove_routes(DEAD)
    assert not await remains.remove_routes(DEAD)


async def test_in_the_end_nothing_of_it_is_left(remains: Remains, redis: Redis, keys: Keys) -> None:
    await remains.fence(DEAD, "mine")
    await remains.remove(DEAD, "mine", await remains.read(DEAD))
    assert await remains.bury(DEAD, "mine")
    assert redis.keys(f"{keys.prefix}:*{DEAD}*") == []
    assert redis.smembers(keys.endpoints) == {ALIVE.encode()}


async def test_it_is_not_buried_while_something_waits_or_by_somebody_else(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    await remains.fence(DEAD, "mine")
    assert not await remains.bury(DEAD, "mine")
    await remains.remove(DEAD, "mine", await remains.read(DEAD))
    assert not await remains.bury(DEAD, "another")
    assert redis.smembers(keys.endpoints) == {ALIVE.encode(), DEAD.encode()}


async def test_what_is_none_of_ours_is_cleared_before_a_fence(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    redis.set(keys.inbox(DEAD), b"not a list")
    redis.rpush(keys.rescuer(DEAD), b"not a token")
    redis.set(keys.done(DEAD), b"not a number")
    assert await remains.fence(DEAD, "mine")
    salvage = await remains.read(DEAD)
    assert (salvage.position, salvage.entries) == (0, [])


async def test_users_that_are_none_and_routes_of_another_type_do_not_keep_it_from_being_buried(
    remains: Remains, redis: Redis, keys: Keys
) -> None:
    redis.zadd(keys.users(DEAD), {b"\xff": 0, b"a b": 0, b"alice": 0})
    redis.set(keys.routes(UserId("alice")), b"not a hash")
    assert await remains.fence(DEAD, "mine")
    while await remains.remove_routes(DEAD):
        pass
    assert redis.exists(keys.users(DEAD)) == 0


async def test_a_store_that_refuses_is_an_error(remains: Remains, redis: Redis, keys: Keys) -> None:
    redis.set(keys.rescued(DEAD), b"not a list")
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await remains.read(DEAD)
