import pytest

from node.auth.dev import is_local, named_user
from router.errors import InvalidUser
from tests.support.requests import handshake


def test_in_dev_mode_the_query_says_who_it_is() -> None:
    assert named_user(handshake("?user=alice&device=web")) == "alice"


def test_a_name_in_any_script_is_taken() -> None:
    assert named_user(handshake("?user=%E5%A7%94%E5%93%A1")) == "委員"


def test_of_several_users_the_last_one_counts() -> None:
    assert named_user(handshake("?user=alice&user=bob")) == "bob"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?user=",
        "?user=a%20b",
        "?user=a%0Ab",
        "?user=a%7Bb%7D",
        "?user=" + "x" * 129,
        "?user=a%00",
        "?user=%E2%80%8B",
    ],
)
def test_a_user_that_breaks_the_rules_is_refused_naming_the_field(query: str) -> None:
    with pytest.raises(InvalidUser) as caught:
        named_user(handshake(query))
    assert caught.value.field == "user"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8001", True),
        ("http://127.0.0.1:8002", True),
        ("http://[::1]:8001", True),
        ("https://localhost", True),
        ("http://example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://example.com#localhost", False),
        ("http://localhost@example.com", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://[", False),
    ],
)
def test_only_pages_of_this_machine_may_connect(origin: str, allowed: bool) -> None:
    assert is_local(origin) is allowed
