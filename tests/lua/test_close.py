import pytest

from router.store.scripts import CLOSE
from tests.support.bare_store import BareStore


def close(store: BareStore) -> int:
    keys = (store.open, store.lease, store.inbox, store.done, store.users)
    return int(store.run(CLOSE, keys))


@pytest.fixture(autouse=True)
def opened(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    store.redis.set(store.lease, b"lease", px=10_000)
    store.redis.set(store.done, 7)
    store.redis.zadd(store.users, {"alice": 0})


def test_an_endpoint_with_an_empty_inbox_is_gone_without_a_trace(store: BareStore) -> None:
    assert close(store) == 0
    assert store.keys_left() == {}


def test_an_endpoint_with_a_full_inbox_stays_as_it_is(store: BareStore) -> None:
    store.redis.rpush(store.inbox, "a", "b")
    before = store.contents()
    assert close(store) == 2
    assert store.contents() == before
    assert store.ttl_ms(store.lease) > 0


def test_closing_again_changes_nothing(store: BareStore) -> None:
    close(store)
    assert close(store) == -1
    assert store.keys_left() == {}


def test_a_fenced_endpoint_is_left_to_its_rescuer(store: BareStore) -> None:
    store.redis.delete(store.open)
    before = store.contents()
    assert close(store) == -1
    assert store.contents() == before


def test_another_endpoint_is_not_touched(store: BareStore) -> None:
    other = store.keys.open(store.endpoint.replace("n1", "n2"))  # type: ignore[arg-type]
    store.redis.set(other, b"1")
    close(store)
    assert store.keys_left() == {other: "string"}
