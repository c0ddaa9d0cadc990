from router.store.scripts import HEARTBEAT
from tests.support.bare_store import BareStore


def beat(store: BareStore, lease: bytes = b"lease", ttl_ms: int = 10_000) -> int:
    return int(store.run(HEARTBEAT, (store.open, store.lease), lease, ttl_ms))


def test_it_renews_the_lease_of_an_open_endpoint(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    store.redis.set(store.lease, b"old", px=50)
    beat(store, b"new", ttl_ms=20_000)
    assert store.redis.get(store.lease) == b"new"
    assert 10_000 < store.ttl_ms(store.lease) <= 20_000


def test_it_makes_a_lease_that_has_ended_anew(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    beat(store)
    assert store.keys_left() == {store.lease: "string", store.open: "string"}


def test_it_tells_the_stores_time(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    before = store.time_ms()
    told = beat(store)
    assert before <= told <= store.time_ms()


def test_a_fenced_endpoint_is_told_so_and_gets_no_lease(store: BareStore) -> None:
    assert beat(store) == -1
    assert store.keys_left() == {}


def test_a_fenced_endpoint_does_not_even_renew_the_lease_it_has(store: BareStore) -> None:
    store.redis.set(store.lease, b"old", px=5_000)
    assert beat(store, b"new", ttl_ms=20_000) == -1
    assert store.redis.get(store.lease) == b"old"
    assert store.ttl_ms(store.lease) <= 5_000


def test_open_is_left_without_an_end(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    beat(store)
    beat(store)
    assert store.ttl_ms(store.open) == -1
