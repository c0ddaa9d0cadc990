from typing import Any, cast

import pytest

from tests.support.bare_store import BareStore
from tests.support.mail import WEEK_MS, Mail

MOVED, AS_FAR_ALREADY = 1, 0


@pytest.fixture
def mail(store: BareStore) -> Mail:
    return Mail(store)


@pytest.fixture
def offsets(mail: Mail) -> list[bytes]:
    return [mail.put(f"m{number}") for number in range(5)]


def away(store: BareStore, device: str, offset: bytes, for_ms: int) -> None:
    """Let a device have acknowledged up to an offset, and be away since."""
    seen = store.time_ms() - for_ms
    store.redis.hset(store.cursors, device, b"%s %d" % (offset, seen))


def test_an_acknowledgement_is_cumulative(mail: Mail, offsets: list[bytes]) -> None:
    mail.resume("phone")
    assert mail.ack("web", offsets[2]) == MOVED
    assert mail.cursor("web") == offsets[2]
    assert mail.offsets() == offsets


def test_a_cursor_never_goes_back(mail: Mail, store: BareStore, offsets: list[bytes]) -> None:
    mail.ack("web", offsets[2])
    before = store.contents()
    for offset in (offsets[2], offsets[1], b"0-0"):
        assert mail.ack("web", offset) == AS_FAR_ALREADY
    assert store.contents() == before


def test_what_the_only_device_has_acknowledged_is_removed_and_the_cut_is_noted(
    mail: Mail, offsets: list[bytes]
) -> None:
    mail.ack("web", offsets[2])
    assert mail.offsets() == offsets[3:]
    assert mail.cut() == offsets[2]


def test_the_device_that_is_furthest_behind_holds_the_rest(
    mail: Mail, offsets: list[bytes]
) -> None:
    for device in ("web", "phone", "tablet"):
        mail.resume(device)
    mail.ack("web", offsets[4])
    mail.ack("phone", offsets[1])
    assert mail.offsets() == offsets
    assert mail.cut() is None
    mail.ack("tablet", offsets[3])
    assert mail.offsets() == offsets[2:]
    assert mail.cut() == offsets[1]
    mail.ack("phone", offsets[4])
    assert mail.offsets() == offsets[4:]
    assert mail.cut() == offsets[3]


def test_offsets_are_compared_as_numbers(mail: Mail, store: BareStore) -> None:
    for offset in ("9-2", "9-10", "10-0"):
        fields = {"name": "n", "message": "m", "total": "1"}
        cast(Any, store.redis).xadd(store.mail, fields, id=offset)
    assert mail.ack("web", "9-2") == MOVED
    assert mail.ack("web", "9-10") == MOVED
    assert mail.ack("web", "9-9") == AS_FAR_ALREADY
    assert mail.ack("web", "10-0") == MOVED
    assert mail.ack("web", "9-11") == AS_FAR_ALREADY
    assert mail.offsets() == []
    assert mail.cut() == b"10-0"


def test_a_device_away_for_longer_than_the_mailbox_keeps_anything_holds_nothing(
    mail: Mail, store: BareStore, offsets: list[bytes]
) -> None:
    away(store, "old", offsets[0], WEEK_MS + 60_000)
    mail.ack("web", offsets[3])
    assert mail.devices() == {"web"}
    assert mail.offsets() == offsets[4:]
    assert mail.cut() == offsets[3]


def test_a_device_away_for_less_holds_what_it_has_not_had(
    mail: Mail, store: BareStore, offsets: list[bytes]
) -> None:
    away(store, "phone", offsets[0], WEEK_MS - 60_000)
    mail.ack("web", offsets[3])
    assert mail.devices() == {"web", "phone"}
    assert mail.offsets() == offsets[1:]


def test_an_acknowledgement_says_that_the_device_is_there(
    mail: Mail, store: BareStore, offsets: list[bytes]
) -> None:
    away(store, "phone", offsets[0], WEEK_MS + 60_000)
    mail.ack("phone", offsets[1])
    assert mail.cursor("phone") == offsets[1]
    mail.ack("web", offsets[4])
    assert mail.devices() == {"web", "phone"}


def test_cursors_end_with_the_mailbox(mail: Mail, store: BareStore, offsets: list[bytes]) -> None:
    mail.ack("web", offsets[0], ttl_ms=60_000)
    assert 0 < store.ttl_ms(store.cursors) <= 60_000


def test_an_acknowledgement_does_not_make_the_mailbox_live_longer(
    mail: Mail, store: BareStore, offsets: list[bytes]
) -> None:
    store.redis.pexpire(store.mail, 60_000)
    mail.ack("web", offsets[0])
    assert store.ttl_ms(store.mail) <= 60_000


def test_a_mailbox_that_is_gone_is_not_made_by_an_acknowledgement(
    mail: Mail, store: BareStore
) -> None:
    assert mail.ack("web", "5-1") == MOVED
    assert store.keys_left() == {store.cursors: "hash"}


def test_what_comes_after_an_emptied_mailbox_is_stored_behind_it(
    mail: Mail, offsets: list[bytes]
) -> None:
    mail.ack("web", offsets[4])
    assert mail.offsets() == []
    new = mail.put("m9")
    assert mail.resume("web") == [offsets[4], 1, new]


def test_a_cut_that_age_has_made_is_not_taken_back(mail: Mail, store: BareStore) -> None:
    old = mail.put_at(store.time_ms() - WEEK_MS - 1_000)
    newest = mail.put("m1")
    assert mail.cut() is not None
    cut = mail.cut()
    mail.ack("web", old)
    assert mail.cut() == cut
    mail.ack("web", newest)
    assert mail.cut() == newest


@pytest.mark.parametrize("garbage", ["", "x", "1-", "x 5", "99999999999999999999-0 1", "\xff"])
def test_cursors_that_are_none_hold_up_nobody(
    mail: Mail, store: BareStore, offsets: list[bytes], garbage: str
) -> None:
    for field in ("web", "", "another"):
        store.redis.hset(store.cursors, field, garbage)
    assert mail.ack("web", offsets[2]) == MOVED
    assert mail.cursor("web") == offsets[2]


def test_a_mailbox_of_another_type_holds_up_nobody(mail: Mail, store: BareStore) -> None:
    store.redis.set(store.mail, "not a stream")
    assert mail.ack("web", "5-0") == MOVED
    assert mail.cursor("web") == b"5-0"
