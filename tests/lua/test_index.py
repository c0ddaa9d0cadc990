from router.store.scripts import INDEX
from tests.support.bare_store import BareStore


def index(store: BareStore, *users: str) -> object:
    pairs = [word for user in users or ("alice",) for word in ("0", user)]
    return store.run(INDEX, (store.open, store.users), *pairs)


def test_a_user_is_listed_under_an_open_endpoint(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    assert index(store) == 1
    assert store.keys_left() == {store.open: "string", store.users: "zset"}
    assert store.redis.zscore(store.users, "alice") == 0


def test_the_listing_has_no_end_of_its_own(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    index(store)
    assert store.ttl_ms(store.users) == -1


def test_listing_again_changes_nothing(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    index(store)
    assert index(store) == 1
    assert store.redis.zcard(store.users) == 1


def test_users_are_listed_in_the_order_of_their_bytes(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    for user in ("zoe", "Zoe", "ärger", "alice", "a"):
        index(store, user)
    expected = sorted(user.encode() for user in ("zoe", "Zoe", "ärger", "alice", "a"))
    assert store.redis.zrange(store.users, 0, -1) == expected


def test_many_are_listed_at_once(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    index(store, "bob")
    many = [f"user-{number:03}" for number in range(250)]
    assert index(store, "bob", *many) == 1
    assert store.redis.zrange(store.users, 0, -1) == [b"bob", *(user.encode() for user in many)]


def test_many_are_listed_where_somebody_else_has_left_another_type(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    store.redis.set(store.users, b"none of ours")
    assert index(store, "alice", "bob") == 1
    assert store.redis.zrange(store.users, 0, -1) == [b"alice", b"bob"]


def test_a_fenced_endpoint_lists_nobody(store: BareStore) -> None:
    assert index(store) == 0
    assert index(store, "alice", "bob") == 0
    assert store.keys_left() == {}
