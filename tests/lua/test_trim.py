import pytest

from router.store.scripts import TRIM
from tests.support.bare_store import BareStore


def trim(store: BareStore, position: int, count: int) -> object:
    return store.run(TRIM, (store.open, store.inbox, store.done), position, count)


@pytest.fixture(autouse=True)
def four_envelopes(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    store.redis.rpush(store.inbox, "a", "b", "c", "d")


def test_it_removes_the_head_and_counts_what_it_removed(store: BareStore) -> None:
    assert trim(store, 0, 3) == 1
    assert store.redis.lrange(store.inbox, 0, -1) == [b"d"]
    assert store.redis.get(store.done) == b"3"


def test_positions_are_absolute_over_many_batches(store: BareStore) -> None:
    assert [trim(store, 0, 1), trim(store, 1, 2), trim(store, 3, 1)] == [1, 1, 1]
    store.redis.rpush(store.inbox, "e")
    assert trim(store, 4, 1) == 1
    assert store.redis.get(store.done) == b"5"


def test_an_emptied_inbox_leaves_its_position(store: BareStore) -> None:
    trim(store, 0, 4)
    assert store.keys_left() == {store.done: "string", store.open: "string"}
    assert store.redis.get(store.done) == b"4"


def test_neither_list_nor_position_ends_by_itself(store: BareStore) -> None:
    trim(store, 0, 1)
    assert store.ttl_ms(store.inbox) == -1
    assert store.ttl_ms(store.done) == -1


def test_the_same_trim_again_removes_nothing(store: BareStore) -> None:
    trim(store, 0, 2)
    before = store.contents()
    assert trim(store, 0, 2) == 0
    assert store.contents() == before


@pytest.mark.parametrize("position", [1, 3, 7, -1])
def test_a_trim_from_elsewhere_removes_nothing(store: BareStore, position: int) -> None:
    trim(store, 0, 2)
    before = store.contents()
    assert trim(store, position, 1) == 0
    assert store.contents() == before


def test_a_fenced_endpoint_removes_nothing(store: BareStore) -> None:
    store.redis.delete(store.open)
    before = store.contents()
    assert trim(store, 0, 1) == -1
    assert store.contents() == before


def test_an_endpoint_that_lost_its_data_is_fenced_rather_than_elsewhere(store: BareStore) -> None:
    trim(store, 0, 2)
    store.redis.delete(store.open, store.inbox, store.done)
    assert trim(store, 2, 2) == -1
    assert store.keys_left() == {}
