import pytest

from router.store.scripts import BURY
from tests.support.bare_store import BareStore


def bury(store: BareStore, token: str = "mine") -> object:
    rescuer, rescued = store.keys.rescuer(store.endpoint), store.keys.rescued(store.endpoint)
    return store.run(BURY, (rescuer, rescued, store.done, store.users, store.lease), token)


@pytest.fixture
def rescuer(store: BareStore) -> str:
    return store.keys.rescuer(store.endpoint)


@pytest.fixture(autouse=True)
def all_sent_on(store: BareStore, rescuer: str) -> None:
    store.redis.set(rescuer, "mine", px=5_000)
    store.redis.set(store.done, 8)
    store.redis.set(store.lease, b"of a zombie")


def test_nothing_of_the_endpoint_is_left(store: BareStore) -> None:
    assert bury(store) == 1
    assert store.keys_left() == {}


def test_burying_again_is_refused_and_changes_nothing(store: BareStore) -> None:
    bury(store)
    assert bury(store) == 0
    assert store.keys_left() == {}


def test_what_still_waits_keeps_it_from_the_grave(store: BareStore) -> None:
    store.redis.rpush(store.keys.rescued(store.endpoint), "a")
    before = store.contents()
    assert bury(store) == 0
    assert store.contents() == before


def test_users_that_are_still_listed_keep_it_from_the_grave(store: BareStore) -> None:
    store.redis.zadd(store.users, {"alice": 0})
    before = store.contents()
    assert bury(store) == 0
    assert store.contents() == before


def test_another_rescuer_changes_nothing(store: BareStore) -> None:
    before = store.contents()
    assert bury(store, "other") == 0
    assert store.contents() == before


def test_a_rescuer_whose_token_has_ended_changes_nothing(store: BareStore, rescuer: str) -> None:
    store.redis.delete(rescuer)
    before = store.contents()
    assert bury(store) == 0
    assert store.contents() == before
