from collections.abc import Callable

import pytest

from router.store.scripts import CLOSE, FENCE, HEARTBEAT, INDEX, PUSH, TRIM
from tests.support.bare_store import BareStore


def fence(store: BareStore, token: str = "mine", ttl_ms: int = 30_000) -> object:
    rescued, rescuer = (
        store.keys.rescued(store.endpoint),
        store.keys.rescuer(store.endpoint),
    )
    keys = (store.open, store.lease, store.inbox, rescued, rescuer)
    return store.run(FENCE, keys, token, ttl_ms)


@pytest.fixture
def rescued(store: BareStore) -> str:
    return store.keys.rescued(store.endpoint)


@pytest.fixture
def rescuer(store: BareStore) -> str:
    return store.keys.rescuer(store.endpoint)


@pytest.fixture(autouse=True)
def open_without_lease(store: BareStore) -> None:
    store.redis.set(store.open, b"said")
    store.redis.rpush(store.inbox, "a", "b")
    store.redis.set(store.done, 7)


def test_an_endpoint_without_a_lease_is_closed_and_its_inbox_put_aside(
    store: BareStore, rescued: str, rescuer: str
) -> None:
    assert fence(store) == 1
    assert store.keys_left() == {store.done: "string", rescued: "list", rescuer: "string"}
    assert store.redis.lrange(rescued, 0, -1) == [b"a", b"b"]
    assert store.redis.get(store.done) == b"7"


def test_the_token_ends_by_itself_and_the_messages_do_not(
    store: BareStore, rescued: str, rescuer: str
) -> None:
    fence(store, ttl_ms=5_000)
    assert store.redis.get(rescuer) == b"mine"
    assert 0 < store.ttl_ms(rescuer) <= 5_000
    assert store.ttl_ms(rescued) == -1


def test_an_endpoint_whose_lease_is_back_is_left_as_it_is(store: BareStore) -> None:
    store.redis.set(store.lease, b"lease")
    before = store.contents()
    assert fence(store) == 0
    assert store.contents() == before


def test_an_inbox_that_is_empty_needs_no_rescue_of_messages(
    store: BareStore, rescued: str, rescuer: str
) -> None:
    store.redis.delete(store.inbox)
    assert fence(store) == 1
    assert store.keys_left() == {store.done: "string", rescuer: "string"}


def test_a_second_rescuer_keeps_away_while_the_token_lives(store: BareStore, rescuer: str) -> None:
    fence(store, "first")
    before = store.contents()
    assert fence(store, "second") == -1
    assert store.contents() == before
    assert store.redis.get(rescuer) == b"first"


def test_the_same_rescuer_may_begin_again(store: BareStore, rescued: str, rescuer: str) -> None:
    fence(store, ttl_ms=5_000)
    before = store.contents()
    assert fence(store, ttl_ms=30_000) == 1
    assert store.contents() == before
    assert store.ttl_ms(rescuer) > 5_000


def test_a_rescue_whose_token_has_ended_is_taken_over_where_it_stood(
    store: BareStore, rescued: str, rescuer: str
) -> None:
    fence(store, "first")
    store.redis.ltrim(rescued, 1, -1)
    store.redis.delete(rescuer)
    assert fence(store, "second") == 1
    assert store.redis.lrange(rescued, 0, -1) == [b"b"]
    assert store.redis.get(rescuer) == b"second"


def test_a_rescued_inbox_is_never_overwritten_by_another(
    store: BareStore, rescued: str, rescuer: str
) -> None:
    fence(store, "first")
    store.redis.rpush(store.inbox, "somebody else's hand")
    store.redis.delete(rescuer)
    assert fence(store, "second") == 1
    assert store.redis.lrange(rescued, 0, -1) == [b"a", b"b"]


def test_a_lease_left_behind_does_not_bring_a_closed_endpoint_back(
    store: BareStore, rescued: str, rescuer: str
) -> None:
    store.redis.delete(store.open)
    store.redis.set(store.lease, b"lease")
    assert fence(store) == 1
    assert store.redis.exists(rescued, rescuer) == 2


def test_one_that_never_was_is_fenced_without_harm(store: BareStore, rescuer: str) -> None:
    store.redis.delete(store.open, store.inbox, store.done)
    assert fence(store) == 1
    assert store.keys_left() == {rescuer: "string"}


def test_an_endpoint_that_somebody_rescues_is_not_closed_by_another(
    store: BareStore, rescuer: str
) -> None:
    store.redis.set(rescuer, "other", px=5_000)
    before = store.contents()
    assert fence(store) == -1
    assert store.contents() == before


def test_users_stay_listed_until_their_routes_are_removed(store: BareStore) -> None:
    store.redis.zadd(store.users, {"alice": 0})
    fence(store)
    assert store.redis.zrange(store.users, 0, -1) == [b"alice"]


def test_another_endpoint_is_not_touched(store: BareStore) -> None:
    other = store.keys.open(store.endpoint.replace("n1", "n2"))  # type: ignore[arg-type]
    store.redis.set(other, b"said")
    fence(store)
    assert store.redis.get(other) == b"said"


# What each does, and what it is answered.
ZOMBIE: dict[str, tuple[Callable[[BareStore], object], object]] = {
    "pushes": (lambda s: s.run(PUSH, (s.open, s.inbox), 10_000, b"late"), -1),
    "trims": (lambda s: s.run(TRIM, (s.open, s.inbox, s.done), 7, 2), -1),
    "beats": (lambda s: s.run(HEARTBEAT, (s.open, s.lease), b"lease", 10_000), -1),
    "lists a user": (lambda s: s.run(INDEX, (s.open, s.users), 0, "bob"), 0),
    "peeks": (lambda s: s.redis.lmove(s.inbox, s.inbox, "LEFT", "LEFT"), None),
    "closes": (lambda s: s.run(CLOSE, (s.open, s.lease, s.inbox, s.done, s.users)), -1),
}


@pytest.mark.parametrize("deed", ZOMBIE)
def test_whatever_a_zombie_does_after_the_fence_changes_nothing(
    store: BareStore, deed: str
) -> None:
    store.redis.zadd(store.users, {"alice": 0})
    fence(store)
    before = store.contents()
    act, answer = ZOMBIE[deed]
    assert act(store) == answer
    assert store.contents() == before
