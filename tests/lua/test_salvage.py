import pytest

from router.store.scripts import SALVAGE
from tests.support.bare_store import BareStore


def salvage(
    store: BareStore, position: int, count: int, token: str = "mine", ttl_ms: int = 30_000
) -> object:
    keys = (store.keys.rescuer(store.endpoint), store.keys.rescued(store.endpoint), store.done)
    return store.run(SALVAGE, keys, token, ttl_ms, position, count)


@pytest.fixture
def rescued(store: BareStore) -> str:
    return store.keys.rescued(store.endpoint)


@pytest.fixture
def rescuer(store: BareStore) -> str:
    return store.keys.rescuer(store.endpoint)


@pytest.fixture(autouse=True)
def half_read(store: BareStore, rescued: str, rescuer: str) -> None:
    """The endpoint had dealt with five envelopes before it died, and three waited."""
    store.redis.set(rescuer, "mine", px=5_000)
    store.redis.rpush(rescued, "a", "b", "c")
    store.redis.set(store.done, 5)


def test_a_batch_is_removed_from_where_the_endpoint_stood(store: BareStore, rescued: str) -> None:
    assert salvage(store, 5, 2) == 1
    assert store.redis.lrange(rescued, 0, -1) == [b"c"]
    assert store.redis.get(store.done) == b"7"


def test_an_endpoint_that_had_dealt_with_nothing_stands_at_nought(
    store: BareStore, rescued: str
) -> None:
    store.redis.delete(store.done)
    assert salvage(store, 0, 2) == 1
    assert store.redis.get(store.done) == b"2"


def test_every_step_lengthens_the_life_of_the_token(store: BareStore, rescuer: str) -> None:
    salvage(store, 5, 1, ttl_ms=30_000)
    assert 5_000 < store.ttl_ms(rescuer) <= 30_000


def test_no_envelopes_only_keep_the_token(store: BareStore, rescued: str, rescuer: str) -> None:
    before = store.contents()
    assert salvage(store, 5, 0) == 1
    assert store.contents() == before
    assert store.ttl_ms(rescuer) > 5_000


def test_the_last_batch_leaves_the_position(store: BareStore, rescued: str, rescuer: str) -> None:
    assert salvage(store, 5, 3) == 1
    assert store.keys_left() == {store.done: "string", rescuer: "string"}
    assert store.redis.get(store.done) == b"8"


def test_the_same_batch_again_removes_nothing(store: BareStore, rescuer: str) -> None:
    salvage(store, 5, 2)
    before = store.contents()
    assert salvage(store, 5, 2) == 0
    assert store.contents() == before


@pytest.mark.parametrize("count", [0, 1])
def test_another_rescuer_changes_nothing(store: BareStore, rescuer: str, count: int) -> None:
    before = store.contents()
    assert salvage(store, 5, count, token="other") == 0
    assert store.contents() == before
    assert store.ttl_ms(rescuer) <= 5_000


@pytest.mark.parametrize("count", [0, 1])
def test_a_rescuer_whose_token_has_ended_changes_nothing(
    store: BareStore, rescuer: str, count: int
) -> None:
    store.redis.delete(rescuer)
    before = store.contents()
    assert salvage(store, 5, count) == 0
    assert store.contents() == before


def test_what_waits_never_ends_by_itself(store: BareStore, rescued: str) -> None:
    salvage(store, 5, 1)
    assert store.ttl_ms(rescued) == -1
    assert store.ttl_ms(store.done) == -1
