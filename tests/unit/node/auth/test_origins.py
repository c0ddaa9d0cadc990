"""Which pages may talk to a node."""

import pytest

from node.auth.origins import Origins
from router.errors import Forbidden
from router.settings import normal_origin
from tests.support.requests import request_of

LISTED = Origins(["https://app.example", "http://localhost:3000", "https://[2001:db8::1]:8443"])


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:8001", "http://[::1]:8001"),
        ("null", None),
        ("", None),
        ("app.example", None),
        ("https://", None),
        ("https://app.example/", None),
        ("https://app.example/path", None),
        ("https://me@app.example", None),
        ("https://app.example#x", None),
        ("https://app.example?x", None),
        ("https://app.example,https://evil.example", None),
        ("https://app.example https://evil.example", None),
        ("https://app.example\n", None),
        ("https://*.example", None),
        ("file://", None),
        ("wss://app.example", None),
        ("chrome-extension://abcdef", None),
        ("http://[", None),
    ],
)
def test_an_origin_is_a_scheme_a_name_and_a_port(origin: str, normal: str | None) -> None:
    assert normal_origin(origin) == normal


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "allowed"),
    [
        ("https://app.example", "chat.example", "https", True),
        ("https://app.example:443", "chat.example", "https", True),
        ("http://app.example", "chat.example", "https", False),
        ("https://app.example:8443", "chat.example", "https", False),
        ("https://sub.app.example", "chat.example", "https", False),
        ("https://app.example.evil.example", "chat.example", "https", False),
        ("https://evil.example", "chat.example", "https", False),
        ("https://chat.example", "chat.example", "https", True),
        ("https://CHAT.example", "chat.EXAMPLE:443", "https", True),
        ("http://chat.example:8001", "chat.example:8001", "http", True),
        ("http://chat.example:8002", "chat.example:8001", "http", False),
        ("http://chat.example", "chat.example", "https", False),
        ("https://chat.example", "chat.example", "http", False),
        ("null", "chat.example", "https", False),
        ("", "chat.example", "https", False),
        ("file://", "chat.example", "https", False),
        ("https://[2001:db8::1]:8443", "chat.example", "https", True),
    ],
)
def test_a_page_is_let_in_from_the_nodes_own_site_or_a_listed_one(
    origin: str, host: str, scheme: str, allowed: bool
) -> None:
    request = request_of("/ws", ("Origin", origin), host=host, scheme=scheme)
    assert LISTED.allows(request) is allowed
    assert LISTED.lists(request) is (allowed and "chat" not in origin.lower())


def test_what_no_page_sends_is_not_stopped_here() -> None:
    assert LISTED.allows(request_of("/ws"))
    assert not LISTED.lists(request_of("/ws"))


def test_two_origins_are_none_even_if_both_are_listed() -> None:
    for second in ("https://app.example", "https://evil.example"):
        request = request_of("/ws", ("Origin", "https://app.example"), ("Origin", second))
        assert not LISTED.allows(request)
        assert not LISTED.lists(request)


def test_nothing_listed_leaves_the_nodes_own_site() -> None:
    own = request_of("/ws", ("Origin", "http://localhost:1"), host="localhost:1")
    assert Origins([]).allows(own)
    with pytest.raises(Forbidden, match=r"pages of 'null' may not; auth\.origins lists who may"):
        Origins([]).check(request_of("/ws", ("Origin", "null")))
