from concurrent.futures import ThreadPoolExecutor

import pytest

from router.store.inbox import FULL, MAX_PUSH, NOT_OPEN
from router.store.scripts import PUSH
from tests.support.bare_store import BareStore

MUCH = 2**30  # bytes


def push(
    store: BareStore,
    *envelopes: bytes,
    most: int = 10,
    most_bytes: int = MUCH,
    unweighed: int = 10_000,
) -> object:
    return store.run(PUSH, (store.open, store.inbox), most, most_bytes, unweighed, *envelopes)


@pytest.fixture(autouse=True)
def opened(store: BareStore) -> None:
    store.redis.set(store.open, b"1")


def test_envelopes_lie_in_the_inbox_in_order(store: BareStore) -> None:
    assert push(store, b"a", b"b") == 2
    assert push(store, b"c") == 3
    assert store.redis.lrange(store.inbox, 0, -1) == [b"a", b"b", b"c"]
    assert store.keys_left() == {store.inbox: "list", store.open: "string"}


def test_the_inbox_never_ends_by_itself(store: BareStore) -> None:
    push(store, b"a")
    assert store.ttl_ms(store.inbox) == -1


def test_pushing_again_pushes_again(store: BareStore) -> None:
    push(store, b"a")
    push(store, b"a")
    assert store.redis.lrange(store.inbox, 0, -1) == [b"a", b"a"]


def test_an_inbox_may_be_filled_to_its_last_place(store: BareStore) -> None:
    assert push(store, b"a", b"b", most=2) == 2


def test_envelopes_that_do_not_all_fit_are_all_left_out(store: BareStore) -> None:
    push(store, b"a", b"b", most=3)
    assert push(store, b"c", b"d", most=3) == FULL
    assert store.redis.lrange(store.inbox, 0, -1) == [b"a", b"b"]
    assert push(store, b"c", most=3) == 3


def test_a_full_inbox_that_does_not_exist_yet_takes_nothing(store: BareStore) -> None:
    assert push(store, b"a", b"b", most=1) == FULL
    assert store.keys_left() == {store.open: "string"}


def test_envelopes_that_weigh_too_much_are_all_left_out(store: BareStore) -> None:
    assert push(store, bytes(20_000), most_bytes=50_000, unweighed=1) == 1
    assert push(store, b"c", bytes(40_000), most_bytes=50_000, unweighed=1) == FULL
    assert store.redis.lrange(store.inbox, 0, -1) == [bytes(20_000)]
    assert push(store, b"c", most_bytes=50_000, unweighed=1) == 2


def test_envelopes_that_alone_weigh_too_much_leave_nothing_behind(store: BareStore) -> None:
    assert push(store, bytes(60_000), most_bytes=50_000, unweighed=0) == FULL
    assert store.keys_left() == {store.open: "string"}


def test_what_weighs_is_each_envelope_and_not_a_sample(store: BareStore) -> None:
    push(store, *[b"light"] * 9)
    push(store, *[bytes(9_000)] * 9, most=100)
    assert push(store, b"a", most=100, most_bytes=60_000, unweighed=1) == FULL


def test_a_short_inbox_is_not_weighed(store: BareStore) -> None:
    assert push(store, bytes(60_000), most_bytes=50_000, unweighed=1) == 1


def test_a_waiting_reader_does_not_see_what_is_taken_back(store: BareStore) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            store.redis.blmove, store.inbox, store.inbox, 0, src="LEFT", dest="LEFT"
        )
        while not store.redis.info("clients")["blocked_clients"]:
            pass
        assert push(store, b"a", b"b", most=1) == FULL
        assert not waiting.done()
        push(store, b"c", most=1)
        assert waiting.result(timeout=10) == b"c"


def test_a_fenced_endpoint_receives_nothing(store: BareStore) -> None:
    store.redis.delete(store.open)
    assert push(store, b"a") == NOT_OPEN
    assert store.keys_left() == {}


def test_a_fenced_endpoint_receives_nothing_even_while_its_inbox_is_there(store: BareStore) -> None:
    push(store, b"a")
    store.redis.delete(store.open)
    assert push(store, b"b") == NOT_OPEN
    assert store.redis.llen(store.inbox) == 1


def test_a_fenced_endpoint_is_fenced_rather_than_full(store: BareStore) -> None:
    store.redis.delete(store.open)
    assert push(store, b"a", most=0) == NOT_OPEN


def test_the_largest_push_fits_through_luas_unpack(store: BareStore) -> None:
    envelopes = [str(number).encode() for number in range(MAX_PUSH)]
    assert push(store, *envelopes, most=10_000) == MAX_PUSH
    assert store.redis.lrange(store.inbox, 0, -1) == envelopes


def test_envelopes_may_hold_any_byte(store: BareStore) -> None:
    push(store, bytes(range(256)), b"")
    assert store.redis.lrange(store.inbox, 0, -1) == [bytes(range(256)), b""]
