"""Requests are checked by typed structs, and the field at fault is named."""

import msgspec
import pytest

from node.handlers.schemas import Kick, Message, PageQuery, UserList, from_body, from_query
from router.errors import InvalidRequest


def test_a_body_becomes_its_struct_and_data_stays_as_it_was_written() -> None:
    message = from_body(bytearray(b'{"data": {"a" : 1.0} ,"from":"bob"}'), Message)
    assert bytes(message.data) == b'{"a" : 1.0}'
    assert (message.origin, message.confirm, message.durable) == ("bob", None, False)


def test_no_body_is_an_empty_object() -> None:
    assert from_body(b"", Kick) == Kick()


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (b"{", "body", "is not JSON"),
        (b"\xff", "body", "is not UTF-8 text: byte 0"),
        (b'{"data":"\xc3("}', "body", "is not UTF-8 text: byte 9"),
        (b'{"data":' + b"[" * 100_000, "body", "is not JSON"),
        (b"{}", "data", "is missing"),
        (b'{"data":1,"a`b":1}', "a`b", "there is no such field"),
        (b'{"data":1,"ttl_s":"x"}', "ttl_s", "expected `float | null`, got `str`"),
        (b"3", "body", "expected `object`, got `int`"),
    ],
)
def test_a_body_that_cannot_be_used_names_the_field(body: bytes, field: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_body(body, Message)
    assert caught.value.field == field
    assert caught.value.reason.startswith(reason)


def test_a_place_in_a_list_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_body(b'{"users":["a","b",{}]}', UserList)
    assert caught.value.field == "users[2]"


def test_a_query_becomes_its_struct_and_the_last_of_several_values_counts() -> None:
    query = from_query({"limit": [b"1", b"7"], "prefix": ["ü".encode()]}, PageQuery)
    assert query == PageQuery(prefix="ü", limit=7)


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", b"0"), ("limit", b"x"), ("limit", b"\xff"), ("nope", b""), ("cursor", b"x" * 129)],
)
def test_a_query_that_cannot_be_used_names_the_parameter(name: str, value: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_query({name: [value]}, PageQuery)
    assert caught.value.field == name


def test_an_error_keeps_its_cause() -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_body(b"{}", Message)
    assert isinstance(caught.value.__cause__, msgspec.ValidationError)
