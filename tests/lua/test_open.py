from router.store.scripts import OPEN
from tests.support.bare_store import BareStore


def open_endpoint(store: BareStore, lease: bytes = b"lease", ttl_ms: int = 10_000) -> object:
    return store.run(OPEN, (store.open, store.lease), lease, ttl_ms)


def test_a_new_endpoint_may_receive_and_holds_a_lease(store: BareStore) -> None:
    assert open_endpoint(store) == 1
    assert store.keys_left() == {store.lease: "string", store.open: "string"}
    assert store.redis.get(store.lease) == b"lease"


def test_open_keeps_what_the_endpoint_said_of_itself(store: BareStore) -> None:
    open_endpoint(store, b"said")
    assert store.redis.get(store.open) == b"said"


def test_the_lease_ends_by_itself_and_open_does_not(store: BareStore) -> None:
    open_endpoint(store, ttl_ms=10_000)
    assert 0 < store.ttl_ms(store.lease) <= 10_000
    assert store.ttl_ms(store.open) == -1


def test_an_epoch_that_is_taken_is_refused_and_left_as_it_is(store: BareStore) -> None:
    open_endpoint(store, b"first")
    before = store.contents()
    assert open_endpoint(store, b"second", ttl_ms=99_000) == 0
    assert store.contents() == before
    assert store.ttl_ms(store.lease) <= 10_000


def test_an_epoch_whose_lease_has_ended_is_still_taken(store: BareStore) -> None:
    open_endpoint(store)
    store.redis.delete(store.lease)
    assert open_endpoint(store) == 0
    assert store.keys_left() == {store.open: "string"}


def test_the_lease_of_a_fenced_epoch_is_taken_over(store: BareStore) -> None:
    store.redis.set(store.lease, b"of somebody before")
    assert open_endpoint(store, b"mine") == 1
    assert store.redis.get(store.lease) == b"mine"
    assert store.ttl_ms(store.lease) > 0
