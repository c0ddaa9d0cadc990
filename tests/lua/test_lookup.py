from typing import Any, cast

import pytest

from router.codec import RouteEntry, encode, encode_route
from tests.support.bare_store import DAY_MS, BareStore
from tests.support.mail import WEEK_MS, Mail

PLAIN = b""


@pytest.fixture
def mail(store: BareStore) -> Mail:
    return Mail(store)


def come(store: BareStore, session: str, device: str, endpoint: str = "n1.a") -> None:
    entry = encode_route(RouteEntry(device, "127.0.0.1", 1.0))
    store.redis.hset(store.routes, f"{endpoint}/{session}", entry)


# ---- looking up ---------------------------------------------------------------------------------


def test_one_who_is_nowhere_is_nowhere_and_nothing_is_made_of_it(
    mail: Mail, store: BareStore
) -> None:
    assert mail.lookup(message=PLAIN) == [b"ok", b"", b"", []]
    assert store.keys_left() == {}


def test_where_a_user_is_comes_with_every_answer(mail: Mail, store: BareStore) -> None:
    come(store, "s1", "web")
    assert mail.lookup("m1", PLAIN)[3] == [b"n1.a/s1"]
    assert mail.lookup("m1", PLAIN, key=True)[3] == [b"n1.a/s1"]
    assert mail.lookup("m2", PLAIN, key=True)[::3] == [b"duplicate", [b"n1.a/s1"]]
    assert mail.lookup("m3")[3] == [b"n1.a/s1"]
    assert mail.lookup("m4", most=1)[::3] == [b"full", [b"n1.a/s1"]]


def test_the_routes_are_read_and_not_changed(mail: Mail, store: BareStore) -> None:
    come(store, "s1", "web")
    store.redis.pexpire(store.routes, 60_000)
    mail.lookup()
    assert 0 < store.ttl_ms(store.routes) <= 60_000
    assert store.redis.hlen(store.routes) == 1


# ---- storing ------------------------------------------------------------------------------------


def test_a_message_is_stored_whoever_is_there(mail: Mail) -> None:
    status, offset, before, fields = mail.lookup("m1", bytes(range(256)))
    assert (status, before, fields) == (b"ok", b"0-0", [])
    ((stored, entry),) = mail.entries()
    assert stored == offset
    assert entry == {b"name": b"bob/m1", b"message": bytes(range(256)), b"total": b"256"}


def test_each_message_names_the_one_before_it_without_a_hole(mail: Mail) -> None:
    last = b"0-0"
    for number in range(20):
        _, offset, before, _ = mail.lookup(f"m{number}")
        assert before == last
        last = offset
    assert mail.offsets()[-1] == last


def test_the_chain_goes_on_where_messages_were_removed(mail: Mail) -> None:
    first, second = mail.put("m1"), mail.put("m2")
    mail.ack("web", second)
    assert mail.offsets() == []
    _, third, before, _ = mail.lookup("m3")
    assert before == second
    assert first < second < third


def test_the_mailbox_and_the_cursors_live_as_long_as_they_must(
    mail: Mail, store: BareStore
) -> None:
    come(store, "s1", "web")
    mail.put("m1", ttl_ms=60_000)
    for key in (store.mail, store.cursors):
        assert 0 < store.ttl_ms(key) <= 60_000
    mail.put("m2", ttl_ms=120_000)
    for key in (store.mail, store.cursors):
        assert 60_000 < store.ttl_ms(key) <= 120_000


def test_a_plain_look_up_does_not_touch_the_mailbox(mail: Mail, store: BareStore) -> None:
    mail.put("m1", ttl_ms=60_000)
    mail.lookup("m2", PLAIN, key=True)
    assert len(mail.entries()) == 1
    assert store.ttl_ms(store.mail) <= 60_000


# ---- devices ------------------------------------------------------------------------------------


def test_devices_that_are_there_when_the_mailbox_is_made_have_a_place_in_it(
    mail: Mail, store: BareStore
) -> None:
    come(store, "s1", "web")
    come(store, "s2", "phone", "n2.b")
    offset = mail.put("m1")
    assert (mail.cursor("web"), mail.cursor("phone")) == (b"0-0", b"0-0")
    mail.ack("web", offset)
    assert mail.offsets() == [offset]  # the phone has not had it
    mail.ack("phone", offset)
    assert mail.offsets() == []


def test_a_device_that_did_not_name_itself_has_a_place_in_it(mail: Mail, store: BareStore) -> None:
    come(store, "s1", "default")
    mail.put("m1")
    assert mail.devices() == {"default"}


def test_a_device_whose_route_an_older_node_has_written_has_a_place_in_it(
    mail: Mail, store: BareStore
) -> None:
    entry = encode(RouteEntry("phone", "127.0.0.1", 1.0))
    store.redis.hset(store.routes, "n1.0123456789/0123456789abcdef", entry)
    mail.put("m1")
    assert mail.devices() == {"phone"}


def test_a_device_that_has_acknowledged_keeps_its_place_when_the_mailbox_is_made_anew(
    mail: Mail, store: BareStore
) -> None:
    come(store, "s1", "web")
    offset = mail.put("m1")
    mail.ack("web", offset)
    store.redis.delete(store.mail)
    mail.put("m2")
    assert mail.cursor("web") == offset


def test_a_route_that_cannot_be_read_keeps_nobody_from_being_written_to(
    mail: Mail, store: BareStore
) -> None:
    odd = (b"", b"\xc1", b"\x80", b"\x90", b"\x91\xc0", b"\x93\x01\x02\x03", b"text")
    for number, entry in enumerate(odd):
        store.redis.hset(store.routes, f"n1.a/odd{number}", entry)
    come(store, "s1", "web")
    mail.put("m1")
    assert mail.devices() == {"web"}


# ---- repeats ------------------------------------------------------------------------------------


def test_a_repeat_finds_what_it_stored_and_stores_nothing(mail: Mail) -> None:
    first = mail.lookup("m1")
    later = mail.put("m2")
    assert mail.lookup("m1", again=True) == first
    assert mail.offsets() == [first[1], later]


def test_a_repeat_names_the_message_before_it(mail: Mail) -> None:
    one, two, three = (mail.put(f"m{number}") for number in range(3))
    assert mail.lookup("m2", again=True)[1:3] == [three, two]
    assert mail.lookup("m1", again=True)[1:3] == [two, one]
    assert mail.lookup("m0", again=True)[1:3] == [one, b"0-0"]


def test_the_first_message_left_in_a_cut_mailbox_names_the_cut(mail: Mail) -> None:
    one, two = mail.put("m1"), mail.put("m2")
    mail.ack("web", one)
    assert mail.lookup("m2", again=True)[1:3] == [two, one]


def test_a_repeat_is_looked_for_among_the_newest(mail: Mail) -> None:
    offsets = [mail.put(f"m{number}") for number in range(128)]
    assert mail.lookup("m0", again=True)[1] == offsets[0]
    mail.put("m128")
    assert mail.lookup("m1", again=True)[1:3] == [offsets[1], offsets[0]]


def test_what_never_ran_is_stored_by_its_repeat(mail: Mail) -> None:
    earlier = mail.put("m1")
    status, offset, before, _ = mail.lookup("m2", again=True)
    assert (status, before) == (b"ok", earlier)
    assert mail.offsets() == [earlier, offset]


def test_the_same_id_of_another_sender_is_another_message(mail: Mail, store: BareStore) -> None:
    mail.put("m1")
    store.redis.xtrim(store.mail, 0)
    fields = {"name": "eve/m1", "message": "message", "total": "7"}
    cast(Any, store.redis).xadd(store.mail, fields)
    mail.put("m1", again=True)
    assert [entry[b"name"] for _, entry in mail.entries()] == [b"eve/m1", b"bob/m1"]


# ---- idempotency keys ---------------------------------------------------------------------------


def test_a_key_stands_for_the_first_message_with_it(mail: Mail, store: BareStore) -> None:
    mail.put("m1", key=True)
    assert store.redis.get(mail.key) == b"m1"
    assert 0 < store.ttl_ms(mail.key) <= DAY_MS


def test_another_message_with_the_same_key_is_a_duplicate_of_the_first(mail: Mail) -> None:
    offset = mail.put("m1", key=True)
    for again in (False, True):
        assert mail.lookup("m2", key=True, again=again) == [b"duplicate", b"m1", b"", []]
    assert mail.offsets() == [offset]


def test_the_same_message_with_its_key_is_a_repeat_and_no_duplicate(mail: Mail) -> None:
    first = mail.lookup("m1", key=True)
    assert mail.lookup("m1", key=True) == first
    assert len(mail.entries()) == 1


def test_a_key_works_without_a_mailbox_too(mail: Mail, store: BareStore) -> None:
    assert mail.lookup("m1", PLAIN, key=True)[0] == b"ok"
    assert mail.lookup("m1", PLAIN, key=True)[0] == b"ok"
    assert mail.lookup("m2", PLAIN, key=True)[:2] == [b"duplicate", b"m1"]
    assert store.keys_left() == {mail.key: "string"}


def test_a_duplicate_changes_nothing(mail: Mail, store: BareStore) -> None:
    come(store, "s1", "web")
    mail.put("m1", key=True)
    before = store.contents()
    mail.lookup("m2", b"another", key=True)
    assert store.contents() == before


def test_a_key_whose_message_found_no_room_is_free_again(mail: Mail, store: BareStore) -> None:
    mail.put("m1")
    assert mail.lookup("m2", key=True, most=1)[0] == b"full"
    assert not store.redis.exists(mail.key)
    mail.put("m3", key=True)


# ---- limits -------------------------------------------------------------------------------------


def test_a_mailbox_may_be_filled_to_its_last_place_and_no_further(mail: Mail) -> None:
    for number in range(3):
        mail.put(f"m{number}", most=3)
    assert mail.lookup("m3", most=3) == [b"full", 3, 21, []]
    assert len(mail.entries()) == 3


def test_a_mailbox_may_be_filled_to_its_last_byte_and_no_further(mail: Mail) -> None:
    mail.put("m1", b"x" * 60, most_bytes=100)
    assert mail.lookup("m2", b"x" * 41, most_bytes=100) == [b"full", 1, 60, []]
    mail.put("m3", b"x" * 40, most_bytes=100)
    assert mail.lookup("m4", b"x", most_bytes=100)[:3] == [b"full", 2, 100]


def test_what_has_been_removed_makes_room(mail: Mail) -> None:
    offsets = [mail.put(f"m{number}", b"x" * 30, most=3, most_bytes=100) for number in range(3)]
    assert mail.lookup("m3", most=3)[0] == b"full"
    mail.ack("web", offsets[1])
    mail.put("m4", b"x" * 70, most=3, most_bytes=100)
    assert mail.lookup("m5", b"x", most=3, most_bytes=100)[:3] == [b"full", 2, 100]
    mail.ack("web", mail.offsets()[-1])
    mail.put("m6", b"x" * 100, most=3, most_bytes=100)


def test_a_repeat_of_what_is_stored_is_not_refused_by_a_full_mailbox(mail: Mail) -> None:
    offset = mail.put("m1", most=1)
    assert mail.lookup("m1", most=1, again=True)[:2] == [b"ok", offset]


def test_one_message_too_large_for_any_mailbox_makes_none(mail: Mail, store: BareStore) -> None:
    assert mail.lookup("m1", b"x" * 101, most_bytes=100) == [b"full", 0, 0, []]
    assert store.keys_left() == {}


def test_entries_past_their_time_are_cut_and_the_cut_is_noted(mail: Mail, store: BareStore) -> None:
    now = store.time_ms()
    old = [mail.put_at(now - WEEK_MS - age) for age in (2_000, 1_000)]
    young = mail.put_at(now - WEEK_MS + 600_000)
    offset = mail.put("m1")
    assert mail.offsets() == [young, offset]
    assert mail.cut() == old[-1]


def test_what_is_not_past_its_time_is_not_cut(mail: Mail, store: BareStore) -> None:
    young = mail.put_at(store.time_ms() - WEEK_MS + 600_000)
    offset = mail.put("m1")
    assert mail.offsets() == [young, offset]
    assert mail.cut() is None


def test_a_full_mailbox_of_old_messages_has_room(mail: Mail, store: BareStore) -> None:
    now = store.time_ms()
    for age in (3_000, 2_000, 1_000):
        mail.put_at(now - WEEK_MS - age)
    offset = mail.put("m1", most=3, most_bytes=21)
    assert mail.offsets() == [offset]
    assert mail.lookup("m2", b"x" * 15, most_bytes=21)[:3] == [b"full", 1, 7]


def test_bytes_are_counted_of_what_is_left(mail: Mail, store: BareStore) -> None:
    now = store.time_ms()
    mail.put_at(now - WEEK_MS - 1_000)
    mail.put_at(now - 5_000, "young")
    mail.put("m1", b"x" * 86, most_bytes=100)
    assert mail.lookup("m2", b"x" * 8, most_bytes=100)[:3] == [b"full", 2, 93]
    mail.put("m3", b"x" * 7, most_bytes=100)


@pytest.mark.parametrize("fields", [{"x": "y"}, {"name": "n", "message": "m", "total": "x"}])
def test_an_entry_that_is_none_of_ours_keeps_nothing_from_being_stored(
    mail: Mail, store: BareStore, fields: dict[str, str]
) -> None:
    store.redis.xadd(store.mail, fields)  # type: ignore[arg-type]
    mail.put("m1")
    store.redis.xadd(store.mail, fields)  # type: ignore[arg-type]
    mail.put("m2", again=True)
    assert len(mail.offsets()) == 4
