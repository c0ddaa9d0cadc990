from typing import Any, cast

import pytest

from tests.support.bare_store import BareStore
from tests.support.mail import WEEK_MS, Mail

NOT_ALL, ALL = 0, 1


@pytest.fixture
def mail(store: BareStore) -> Mail:
    return Mail(store)


def earlier(offset: bytes) -> bytes:
    """Return an offset before a given one, at which nothing is stored."""
    return b"%d-0" % (int(offset.split(b"-")[0]) - 1)


def later(offset: bytes) -> bytes:
    return b"%d-7" % (int(offset.split(b"-")[0]) + 1_000)


def test_without_a_mailbox_there_is_nothing_to_go_on_from(mail: Mail, store: BareStore) -> None:
    assert mail.resume() == [b"0-0", NOT_ALL, b"0-0"]
    assert mail.resume(since="0-0") == [b"0-0", ALL, b"0-0"]
    assert mail.resume(since="5-1") == [b"0-0", NOT_ALL, b"0-0"]
    assert store.keys_left() == {store.cursors: "hash"}  # its place is held from now on


def test_a_new_device_begins_with_all_there_is_and_cannot_know_whether_it_is_all(
    mail: Mail,
) -> None:
    mail.put("m1")
    newest = mail.put("m2")
    assert mail.resume("new") == [b"0-0", NOT_ALL, newest]


def test_a_new_device_begins_behind_what_was_removed(mail: Mail) -> None:
    removed, newest = mail.put("m1"), mail.put("m2")
    mail.ack("web", removed)
    assert mail.resume("new") == [removed, NOT_ALL, newest]


def test_a_known_device_goes_on_behind_its_cursor(mail: Mail) -> None:
    mail.resume("phone")
    first, newest = mail.put("m1"), mail.put("m2")
    mail.ack("web", first)
    assert mail.resume("web") == [first, ALL, newest]


def test_an_offset_asked_for_comes_before_the_cursor(mail: Mail) -> None:
    mail.put("m0")
    mail.resume("phone")  # holds what the other has acknowledged
    first, second, newest = (mail.put(f"m{number}") for number in (1, 2, 3))
    mail.ack("web", second)
    assert mail.resume("web", first) == [first, ALL, newest]
    assert mail.resume("web", newest) == [newest, ALL, newest]
    assert mail.resume("web", "0-0") == [b"0-0", ALL, newest]


def test_asking_for_an_offset_acknowledges_nothing(mail: Mail) -> None:
    first, newest = mail.put("m1"), mail.put("m2")
    mail.ack("web", first)
    mail.resume("web", newest)
    assert mail.cursor("web") == first
    assert mail.resume("web")[0] == first


def test_an_offset_that_was_cut_is_not_all(mail: Mail) -> None:
    first, second, newest = (mail.put(f"m{number}") for number in (1, 2, 3))
    mail.ack("web", second)
    assert mail.resume("web", first) == [first, NOT_ALL, newest]
    assert mail.resume("web", "0-0") == [b"0-0", NOT_ALL, newest]
    assert mail.resume("web", second) == [second, ALL, newest]


def test_the_offset_of_the_last_message_that_was_cut_for_its_age_is_all(
    mail: Mail, store: BareStore
) -> None:
    now = store.time_ms()
    cut = [mail.put_at(now - WEEK_MS - age) for age in (9_000, 5_000)]
    newest = mail.put("m1")
    assert mail.offsets() == [newest]
    assert mail.resume("web", cut[0]) == [cut[0], NOT_ALL, newest]
    assert mail.resume("web", cut[1]) == [cut[1], ALL, newest]


def test_an_offset_of_a_message_that_expired_or_never_was_is_as_good_as_any(mail: Mail) -> None:
    newest = mail.put("m1")
    asked = earlier(newest)
    assert mail.resume("web", asked) == [asked, ALL, newest]


def test_offsets_are_compared_as_numbers(mail: Mail, store: BareStore) -> None:
    for offset in ("9-0", "9-2", "9-10", "10-0"):
        fields = {"name": "n", "message": "m", "total": "1"}
        cast(Any, store.redis).xadd(store.mail, fields, id=offset)
    mail.ack("web", "9-2")
    mail.resume("web", ttl_ms=WEEK_MS)
    assert mail.resume("web", "9-10") == [b"9-10", ALL, b"10-0"]
    assert mail.resume("web", "9-1")[1] == NOT_ALL
    assert mail.resume("web", "11-0") == [b"10-0", NOT_ALL, b"10-0"]


# ---- a store that has lost something ------------------------------------------------------------


def test_who_has_seen_more_than_the_store_is_told_so_and_goes_on_with_the_newest(
    mail: Mail,
) -> None:
    newest = mail.put("m1")
    assert mail.resume("web", later(newest)) == [newest, NOT_ALL, newest]


def test_a_cursor_beyond_the_newest_is_no_better(mail: Mail, store: BareStore) -> None:
    newest = mail.put("m1")
    store.redis.hset(store.cursors, "web", later(newest) + b" 1")
    assert mail.resume("web")[:2] == [newest, NOT_ALL]


def test_an_emptied_mailbox_that_is_still_there_goes_on(mail: Mail) -> None:
    newest = mail.put("m1")
    mail.ack("web", newest)
    assert mail.offsets() == []
    assert mail.resume("web") == [newest, ALL, newest]
    assert mail.resume("web", newest) == [newest, ALL, newest]


# ---- what is held -------------------------------------------------------------------------------


def test_from_then_on_nothing_behind_it_is_removed(mail: Mail) -> None:
    first = mail.put("m1")
    mail.resume("phone")
    second = mail.put("m2")
    mail.ack("web", second)
    assert mail.offsets() == [first, second]
    mail.ack("phone", first)
    assert mail.offsets() == [second]


def test_a_device_that_asks_for_what_it_has_not_acknowledged_holds_what_it_asks_for(
    mail: Mail,
) -> None:
    first, second = mail.put("m1"), mail.put("m2")
    mail.resume("phone", first)
    mail.ack("web", second)
    assert mail.offsets() == [second]


def test_cursors_live_as_long_as_the_mailbox(mail: Mail, store: BareStore) -> None:
    mail.put("m1")
    mail.resume("web", ttl_ms=60_000)
    assert 0 < store.ttl_ms(store.cursors) <= 60_000


def test_so_many_devices_are_kept_and_for_one_more_the_one_away_for_longest_is_forgotten(
    mail: Mail, store: BareStore
) -> None:
    mail.put("m1")
    for number, device in enumerate(("oldest", "older", "young")):
        store.redis.hset(store.cursors, device, f"0-0 {1_000 + number}")
    mail.resume("new", most=3)
    assert mail.devices() == {"older", "young", "new"}
    mail.resume("newer", most=3)
    assert mail.devices() == {"young", "new", "newer"}


def test_the_note_of_the_cut_is_no_device(mail: Mail, store: BareStore) -> None:
    first = mail.put("m1")
    mail.put("m2")
    mail.ack("web", first)
    assert mail.cut() == first
    mail.resume("phone", most=2)
    assert mail.devices() == {"web", "phone"}
    mail.resume("tablet", most=2)
    assert len(mail.devices()) == 2
    assert mail.cut() == first


def test_a_device_that_is_known_pushes_nobody_out(mail: Mail, store: BareStore) -> None:
    mail.put("m1")
    for device in ("one", "two"):
        store.redis.hset(store.cursors, device, "0-0 1000")
    mail.resume("one", most=2)
    assert mail.devices() == {"one", "two"}


def test_a_device_that_comes_back_is_not_the_one_away_for_longest(
    mail: Mail, store: BareStore
) -> None:
    mail.put("m1")
    for number, device in enumerate(("one", "two")):
        store.redis.hset(store.cursors, device, f"0-0 {1_000 + number}")
    mail.resume("one", most=2)
    mail.resume("three", most=2)
    assert mail.devices() == {"one", "three"}


NO_CURSORS = ["", "x", "1", "-", "1-", "x-1 5", "99999999999999999999-0 1", "1-" + "9" * 30, "\xff"]


@pytest.mark.parametrize("garbage", NO_CURSORS)
def test_a_cursor_that_is_none_counts_as_the_start(
    mail: Mail, store: BareStore, garbage: str
) -> None:
    newest = mail.put("m1")
    store.redis.hset(store.cursors, "web", garbage)
    assert mail.resume("web") == [b"0-0", ALL, newest]
    assert mail.cursor("web") == b"0-0"


@pytest.mark.parametrize("garbage", NO_CURSORS)
def test_a_cut_that_is_none_counts_as_no_cut(mail: Mail, store: BareStore, garbage: str) -> None:
    newest = mail.put("m1")
    store.redis.hset(store.cursors, "", garbage)
    assert mail.resume("web") == [b"0-0", NOT_ALL, newest]


def test_cursors_of_another_type_are_replaced(mail: Mail, store: BareStore) -> None:
    newest = mail.put("m1")
    store.redis.delete(store.cursors)
    store.redis.set(store.cursors, "not a hash")
    assert mail.resume("web") == [b"0-0", NOT_ALL, newest]
    assert store.keys_left()[store.cursors] == "hash"


def test_a_mailbox_of_another_type_is_none(mail: Mail, store: BareStore) -> None:
    store.redis.set(store.mail, "not a stream")
    assert mail.resume("web") == [b"0-0", NOT_ALL, b"0-0"]
