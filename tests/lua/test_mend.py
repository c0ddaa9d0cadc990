import pytest

from router.store.scripts import MEND
from tests.support.bare_store import BareStore

SPOILT = {
    "string": "SET {0} x",
    "list": "RPUSH {0} x",
    "set": "SADD {0} x",
    "hash": "HSET {0} x y",
    "zset": "ZADD {0} 0 x",
    "stream": "XADD {0} * x y",
}


def mend(store: BareStore) -> int:
    k, e = store.keys, store.endpoint
    keys = (store.inbox, k.rescued(e), k.rescuer(e), store.done, store.users)
    return int(store.run(MEND, keys))


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("name", ["inbox", "rescued", "rescuer", "done", "users"])
def test_what_is_of_another_type_is_removed_and_what_is_of_the_right_one_stays(
    store: BareStore, name: str, kind: str
) -> None:
    key: str = getattr(store.keys, name)(store.endpoint)
    store.redis.execute_command(*SPOILT[kind].format(key).split())  # type: ignore[no-untyped-call]
    right = {"inbox": "list", "rescued": "list", "rescuer": "string", "users": "zset"}
    stays = right.get(name) == kind
    assert mend(store) == (0 if stays else 1)
    assert store.keys_left() == ({key: kind} if stays else {})
    assert mend(store) == 0


@pytest.mark.parametrize("position", ["", "x", "-1", "1.5", "1e3", " 1", "9" * 16])
def test_a_position_that_is_none_is_removed(store: BareStore, position: str) -> None:
    store.redis.set(store.done, position)
    assert mend(store) == 1
    assert store.keys_left() == {}


def test_users_with_a_score_are_removed_and_the_others_stay(store: BareStore) -> None:
    store.redis.zadd(store.users, {"a": -1, "b": 0, "c": 0, "d": 0.5, "e": float("inf")})
    store.redis.set(store.done, "123456789012345")
    assert mend(store) == 3
    assert store.redis.zrange(store.users, 0, -1) == [b"b", b"c"]
    assert store.redis.get(store.done) == b"123456789012345"


def test_where_nothing_is_nothing_is_made(store: BareStore) -> None:
    assert mend(store) == 0
    assert store.keys_left() == {}
