from collections import Counter
from typing import Any

from router.store.scripts import REGISTER
from tests.support.bare_store import BareStore

WRITES = ("hset", "del", "pexpire")


def register(
    store: BareStore, field: str, entry: bytes = b"entry", ttl_ms: int = 180_000
) -> object:
    return store.run(REGISTER, (store.routes, store.mail), field, entry, ttl_ms)


def writes(store: BareStore) -> Counter[str]:
    """Return how often each command that writes was called so far."""
    stats: Any = store.redis.info("commandstats")
    return Counter({name: stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in WRITES})


def test_the_first_route_of_a_user_makes_the_hash(store: BareStore) -> None:
    assert register(store, "n1.a/s1") is None
    assert store.keys_left() == {store.routes: "hash"}
    assert store.redis.hgetall(store.routes) == {b"n1.a/s1": b"entry"}


def test_a_second_route_stands_beside_the_first(store: BareStore) -> None:
    register(store, "n1.a/s1", b"one")
    assert register(store, "n2.b/s2", b"two") is None
    assert store.redis.hgetall(store.routes) == {b"n1.a/s1": b"one", b"n2.b/s2": b"two"}


def test_the_routes_end_by_themselves(store: BareStore) -> None:
    register(store, "n1.a/s1", ttl_ms=60_000)
    assert 0 < store.ttl_ms(store.routes) <= 60_000


def test_registering_again_refreshes_and_adds_nothing(store: BareStore) -> None:
    register(store, "n1.a/s1", ttl_ms=1_000)
    assert register(store, "n1.a/s1", b"newer", ttl_ms=60_000) is None
    assert store.redis.hgetall(store.routes) == {b"n1.a/s1": b"newer"}
    assert 1_000 < store.ttl_ms(store.routes) <= 60_000


def test_one_that_is_there_as_it_should_be_is_only_given_time(store: BareStore) -> None:
    register(store, "n1.a/s1", ttl_ms=1_000)
    register(store, "n1.a/s2", b"other", ttl_ms=1_000)
    before = writes(store)
    register(store, "n1.a/s1", ttl_ms=60_000)
    assert writes(store) - before == {"pexpire": 1}
    assert 1_000 < store.ttl_ms(store.routes) <= 60_000


def test_one_that_was_lost_beside_others_comes_back(store: BareStore) -> None:
    register(store, "n1.a/s1", b"one")
    register(store, "n2.b/s2", b"two", ttl_ms=1_000)
    store.redis.hdel(store.routes, "n1.a/s1")
    register(store, "n1.a/s1", b"one", ttl_ms=60_000)
    assert store.redis.hgetall(store.routes) == {b"n1.a/s1": b"one", b"n2.b/s2": b"two"}
    assert 1_000 < store.ttl_ms(store.routes) <= 60_000


def test_what_stands_in_the_place_of_the_routes_is_replaced(store: BareStore) -> None:
    store.redis.set(store.routes, b"none of ours")
    assert register(store, "n1.a/s1") is None
    assert store.redis.hgetall(store.routes) == {b"n1.a/s1": b"entry"}
    assert 0 < store.ttl_ms(store.routes) <= 180_000


def test_what_stands_in_the_place_of_the_mailbox_is_none(store: BareStore) -> None:
    store.redis.set(store.mail, b"none of ours")
    assert register(store, "n1.a/s1") is None
    assert store.redis.hgetall(store.routes) == {b"n1.a/s1": b"entry"}


def test_entries_may_hold_any_byte(store: BareStore) -> None:
    entry = bytes(range(256))
    register(store, "n1.a/s1", entry)
    assert store.redis.hget(store.routes, "n1.a/s1") == entry


def test_it_says_how_far_the_mailbox_goes(store: BareStore) -> None:
    offset = store.redis.xadd(store.mail, {"message": b"m"})
    assert register(store, "n1.a/s1") == offset
    store.redis.xtrim(store.mail, 0)
    assert register(store, "n1.a/s1") == offset
