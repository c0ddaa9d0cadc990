import pytest

from router.model import EndpointId, SessionId
from router.store.fields import route_field, route_prefixes
from router.store.scripts import FORGET
from tests.support.bare_store import DAY_MS, BareStore


def forget(store: BareStore, endpoint: str, *keep: str, seen_ttl_ms: int = DAY_MS) -> list[bytes]:
    prefixes = route_prefixes(EndpointId(endpoint))
    kept = [route_field(EndpointId(endpoint), SessionId(session)) for session in keep]
    return sorted(store.run(FORGET, (store.routes, store.seen), *prefixes, seen_ttl_ms, *kept))


@pytest.fixture(autouse=True)
def three_sessions(store: BareStore) -> None:
    fields = ("n1.a/s1", "n1.a/s2", "n2.b/s3")
    store.redis.hset(store.routes, mapping=dict.fromkeys(fields, b"entry"))
    store.redis.pexpire(store.routes, 60_000)


def test_it_removes_every_route_to_the_endpoint_and_returns_the_rest(store: BareStore) -> None:
    assert forget(store, "n1.a") == [b"n2.b/s3"]
    assert store.redis.hkeys(store.routes) == [b"n2.b/s3"]
    assert store.keys_left() == {store.routes: "hash"}


def test_sessions_that_are_alive_after_all_are_kept(store: BareStore) -> None:
    assert forget(store, "n1.a", "s2", "s9") == [b"n1.a/s2", b"n2.b/s3"]


def test_a_session_of_the_same_name_elsewhere_is_not_what_is_kept(store: BareStore) -> None:
    assert forget(store, "n1.a", "s3") == [b"n2.b/s3"]


@pytest.mark.parametrize("endpoint", ["n1", "n1.", "n1.ab", "n1_a", "1.a", "", "n1.a/s1"])
def test_only_the_whole_name_of_an_endpoint_counts(store: BareStore, endpoint: str) -> None:
    assert forget(store, endpoint) == [b"n1.a/s1", b"n1.a/s2", b"n2.b/s3"]


def test_signs_with_a_meaning_in_patterns_mean_themselves(store: BareStore) -> None:
    store.redis.hset(store.routes, "n-1.%a/s4", b"entry")
    assert forget(store, "n-1.%a") == [b"n1.a/s1", b"n1.a/s2", b"n2.b/s3"]


def test_packed_fields_go_with_those_in_text(store: BareStore) -> None:
    mine, next_to = EndpointId("n1.0123456789"), EndpointId("n1.012345678a")
    sessions = [SessionId(f"{number:016x}") for number in range(3)]
    packed = [route_field(endpoint, each) for endpoint in (mine, next_to) for each in sessions]
    store.redis.delete(store.routes)
    fields = [*packed, f"{mine}/s1".encode(), f"{next_to}/s1".encode()]
    store.redis.hset(store.routes, mapping=dict.fromkeys(fields, b"entry"))
    kept = [packed[1], *packed[3:], f"{next_to}/s1".encode()]
    assert forget(store, mine, sessions[1]) == sorted(kept)
    assert forget(store, next_to) == [packed[1]]


def test_it_does_not_lengthen_the_life_of_the_rest(store: BareStore) -> None:
    forget(store, "n1.a")
    assert 0 < store.ttl_ms(store.routes) <= 60_000


def test_who_has_no_route_left_is_noted_as_seen(store: BareStore) -> None:
    forget(store, "n1.a")
    before_s = store.time_ms() // 1000
    assert forget(store, "n2.b") == []
    assert store.keys_left() == {store.seen: "string"}
    assert before_s <= int(store.redis.get(store.seen)) <= store.time_ms() // 1000  # type: ignore[arg-type]
    assert 0 < store.ttl_ms(store.seen) <= DAY_MS


def test_forgetting_again_changes_nothing(store: BareStore) -> None:
    forget(store, "n1.a")
    forget(store, "n2.b")
    store.redis.set(store.seen, 1)
    assert forget(store, "n2.b") == []
    assert store.redis.get(store.seen) == b"1"


def test_a_user_who_was_never_here_leaves_no_note(store: BareStore) -> None:
    store.redis.delete(store.routes)
    assert forget(store, "n1.a") == []
    assert store.keys_left() == {}
