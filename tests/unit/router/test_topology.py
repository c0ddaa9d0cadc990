"""Which slot a key is in, and who holds it: what the servers say, in the specification's terms."""

from typing import Any

import pytest

from router.keys import Keys
from router.model import EndpointId, UserId
from router.store.topology import SLOTS, parse_slots, slot_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 12_739),  # 0x31C3, the check value of the specification
        ("foo", 12_182),
        ("somekey", 11_058),
        ("", 0),
    ],
)
def test_a_key_is_in_the_slot_that_the_specification_says(key: str, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("{user1000}.following", "user1000"),
        ("a{b}c{d}", "b"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
    ],
)
def test_a_hash_tag_alone_decides_where_there_is_one(key: str, tag: str) -> None:
    assert slot_of(key) == slot_of(tag)


@pytest.mark.parametrize("key", ["foo{}{bar}", "foo{bar", "foo}bar{"])
def test_what_is_no_hash_tag_does_not(key: str) -> None:
    assert slot_of(key) != slot_of("bar")
    assert slot_of(key) != slot_of("")


def test_all_keys_of_one_endpoint_and_all_of_one_user_are_in_one_slot() -> None:
    keys, endpoint, user = Keys(), EndpointId("n1.aa"), UserId("böb")
    of_endpoint = [getattr(keys, name)(endpoint) for name in ("open", "lease", "inbox", "done")]
    assert {slot_of(key) for key in of_endpoint} == {slot_of("n1.aa")}
    of_user = [keys.routes(user), keys.mail(user), keys.cursors(user), keys.seen(user)]
    assert {slot_of(key) for key in of_user} == {slot_of("böb")}


def server(host: bytes | None, port: int = 7_000) -> list[Any]:
    return [host, port, b"id", []]


def test_each_slot_has_its_master_whatever_replicas_there_are() -> None:
    reply = [
        [0, 99, server(b"10.0.0.1", 7_000), server(b"10.0.0.9", 7_009)],
        [100, 100, server(b"10.0.0.2", 7_001)],
        [102, SLOTS - 1, server(b"10.0.0.1", 7_000)],
    ]
    masters = parse_slots(reply, "asked")
    assert len(masters) == SLOTS
    assert set(masters[:100]) == {"10.0.0.1:7000"}
    assert masters[99:103] == ["10.0.0.1:7000", "10.0.0.2:7001", "", "10.0.0.1:7000"]
    assert set(masters[102:]) == {"10.0.0.1:7000"}


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_server_that_does_not_know_its_own_name_is_the_one_that_was_asked(
    host: bytes | None,
) -> None:
    assert parse_slots([[0, 1, server(host)]], "there")[:3] == ["there:7000", "there:7000", ""]
    assert parse_slots([[0, 0, server(host)]], "fe80::2")[0] == "[fe80::2]:7000"


def test_an_address_with_colons_is_written_as_in_a_url() -> None:
    assert parse_slots([[5, 5, server(b"fe80::2")]], "asked")[5] == "[fe80::2]:7000"


def test_before_slots_are_given_out_nobody_has_any() -> None:
    assert parse_slots([], "asked") == [""] * SLOTS
