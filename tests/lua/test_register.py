from router.store.scripts import REGISTER
from tests.support.bare_store import BareStore


def register(
    store: BareStore, field: str, entry: bytes = b"entry", ttl_ms: int = 180_000
) -> object:
    return store.run(REGISTER, (store.routes, store.mail), field, entry, ttl_ms)


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


def test_entries_may_hold_any_byte(store: BareStore) -> None:
    entry = bytes(range(256))
    register(store, "n1.a/s1", entry)
    assert store.redis.hget(store.routes, "n1.a/s1") == entry


def test_it_says_how_far_the_mailbox_goes(store: BareStore) -> None:
    offset = store.redis.xadd(store.mail, {"message": b"m"})
    assert register(store, "n1.a/s1") == offset
    store.redis.xtrim(store.mail, 0)
    assert register(store, "n1.a/s1") == offset
