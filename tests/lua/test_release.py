from router.store.scripts import RELEASE
from tests.support.bare_store import BareStore


def release(store: BareStore, message: str = "m1") -> object:
    return store.run(RELEASE, (store.keys.key(store.user, "bob/order-1"),), message)


def test_a_key_is_free_again(store: BareStore) -> None:
    store.redis.set(store.keys.key(store.user, "bob/order-1"), "m1")
    assert release(store) == 1
    assert store.keys_left() == {}


def test_a_key_that_stands_for_another_message_stays(store: BareStore) -> None:
    key = store.keys.key(store.user, "bob/order-1")
    store.redis.set(key, "m2", px=60_000)
    assert release(store) == 0
    assert store.redis.get(key) == b"m2"
    assert 0 < store.ttl_ms(key) <= 60_000


def test_a_key_that_is_free_stays_free(store: BareStore) -> None:
    assert release(store) == 0
    assert store.keys_left() == {}
