import pytest

from router.store.scripts import UNREGISTER
from tests.support.bare_store import DAY_MS, BareStore


def unregister(store: BareStore, field: str, seen_ttl_ms: int = 30 * DAY_MS) -> object:
    return store.run(UNREGISTER, (store.routes, store.seen), field, seen_ttl_ms)


@pytest.fixture(autouse=True)
def two_sessions(store: BareStore) -> None:
    store.redis.hset(store.routes, mapping={"n1.a/s1": b"one", "n2.b/s2": b"two"})
    store.redis.pexpire(store.routes, 60_000)


def test_it_removes_exactly_the_named_session(store: BareStore) -> None:
    assert unregister(store, "n1.a/s1") == 0
    assert store.redis.hgetall(store.routes) == {b"n2.b/s2": b"two"}
    assert store.keys_left() == {store.routes: "hash"}


def test_a_late_goodbye_does_not_remove_the_session_on_another_node(store: BareStore) -> None:
    unregister(store, "n1.a/s1")
    assert unregister(store, "n1.a/s1") == 0
    assert unregister(store, "n3.c/s2") == 0
    assert store.redis.hkeys(store.routes) == [b"n2.b/s2"]


def test_it_does_not_lengthen_the_life_of_the_others(store: BareStore) -> None:
    unregister(store, "n1.a/s1")
    assert 0 < store.ttl_ms(store.routes) <= 60_000


def test_the_last_session_leaves_a_note_of_when_it_left(store: BareStore) -> None:
    unregister(store, "n1.a/s1")
    before_s = store.time_ms() // 1000
    assert unregister(store, "n2.b/s2") == 1
    assert store.keys_left() == {store.seen: "string"}
    seen_s = int(store.redis.get(store.seen))  # type: ignore[arg-type]
    assert before_s <= seen_s <= store.time_ms() // 1000


def test_the_note_ends_by_itself(store: BareStore) -> None:
    unregister(store, "n1.a/s1")
    unregister(store, "n2.b/s2", seen_ttl_ms=DAY_MS)
    assert 0 < store.ttl_ms(store.seen) <= DAY_MS


def test_leaving_twice_says_last_once(store: BareStore) -> None:
    unregister(store, "n1.a/s1")
    assert unregister(store, "n2.b/s2") == 1
    store.redis.set(store.seen, 1)
    assert unregister(store, "n2.b/s2") == 0
    assert store.redis.get(store.seen) == b"1"


def test_a_user_who_was_never_here_leaves_no_note(store: BareStore) -> None:
    store.redis.delete(store.routes)
    assert unregister(store, "n1.a/s1") == 0
    assert store.keys_left() == {}
