import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import EndpointId, SessionId
from router.store.fields import route_field, route_prefixes, split_route_field

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True)
PACKED = st.from_regex(r"[A-Za-z0-9_.-]{1,8}\.[0-9a-f]{10}", fullmatch=True)
ENDPOINTS = PACKED | NAMES
SESSIONS = st.from_regex(r"[0-9a-f]{16}", fullmatch=True) | NAMES


@given(ENDPOINTS, SESSIONS)
def test_a_field_gives_back_what_it_was_made_of(endpoint: str, session: str) -> None:
    field = route_field(EndpointId(endpoint), SessionId(session))
    assert split_route_field(field) == (endpoint, session)


@given(ENDPOINTS, SESSIONS)
def test_a_field_in_text_is_read_as_ever(endpoint: str, session: str) -> None:
    assert split_route_field(f"{endpoint}/{session}".encode()) == (endpoint, session)


@given(ENDPOINTS, SESSIONS, ENDPOINTS)
def test_a_field_begins_with_its_endpoint_and_with_no_other(
    endpoint: str, session: str, other: str
) -> None:
    field = route_field(EndpointId(endpoint), SessionId(session))
    assert field.startswith(route_prefixes(EndpointId(endpoint)))
    assert field.startswith(route_prefixes(EndpointId(other))) == (endpoint == other)


def test_ids_as_our_own_processes_make_them_are_packed() -> None:
    field = route_field(EndpointId("n64.cf17632c60"), SessionId("5f8c4968c382c693"))
    assert field == b"n64\0" + bytes.fromhex("cf17632c605f8c4968c382c693")


@pytest.mark.parametrize(
    ("endpoint", "session"),
    [
        ("n1.CF17632C60", "5f8c4968c382c693"),
        ("n1.cf17632c6", "5f8c4968c382c693"),
        ("n1.cf17632c60", "5f8c4968c382c69"),
        ("n1.cf17632c60", "5F8C4968C382C693"),
        (".cf17632c60", "5f8c4968c382c693"),
    ],
)
def test_any_others_stay_text(endpoint: str, session: str) -> None:
    field = route_field(EndpointId(endpoint), SessionId(session))
    assert field == f"{endpoint}/{session}".encode()


@pytest.mark.parametrize(
    "field",
    [b"", b"no-slash", b"/s1", b"\xff\xfe/s1", b"\0" + b"a" * 13, b"a b\0" + b"a" * 13, b"a\0b/s"],
)
def test_what_is_none_of_ours_names_no_endpoint(field: bytes) -> None:
    assert split_route_field(field) is None


@given(st.binary(max_size=60))
def test_whatever_lies_there_is_an_endpoint_and_a_session_or_none_of_ours(field: bytes) -> None:
    place = split_route_field(field)
    assert place is None or re.fullmatch(r"[^\s{}]+", place[0])
