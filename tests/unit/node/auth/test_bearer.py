import pytest

from node.auth.bearer import Bearer, Place, bearer_of
from router.errors import Unauthenticated
from tests.support.requests import handshake

ENTRY = "Sec-WebSocket-Protocol"


@pytest.mark.parametrize(
    ("query", "headers", "place"),
    [
        ("", [("Authorization", "Bearer a.b-c_d")], Place.HEADER),
        ("", [("authorization", "bearer   a.b-c_d")], Place.HEADER),
        ("", [(ENTRY, "switchboard.v1.json, switchboard.bearer.a.b-c_d")], Place.SUBPROTOCOL),
        ("", [(ENTRY, "switchboard.bearer.a.b-c_d,switchboard.v1.json")], Place.SUBPROTOCOL),
        ("", [(ENTRY, "switchboard.v1.json"), (ENTRY, "switchboard.bearer.a.b-c_d")], "Sec-W"),
        ("?token=a.b-c_d&device=web", [], Place.QUERY),
    ],
)
def test_a_token_may_stand_in_three_places(
    query: str, headers: list[tuple[str, str]], place: str
) -> None:
    found = bearer_of(handshake(query, *headers))
    assert found is not None
    assert found.token == "a.b-c_d"
    assert found.place.startswith(place)


@pytest.mark.parametrize(
    ("query", "headers"), [("", []), ("?user=a", []), ("", [(ENTRY, "switchboard.v1.json")])]
)
def test_without_one_there_is_none(query: str, headers: list[tuple[str, str]]) -> None:
    assert bearer_of(handshake(query, *headers)) is None


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token=one", [("Authorization", "Bearer two")]),
        ("?token=one&token=two", []),
        ("?token=one", [(ENTRY, "switchboard.bearer.one")]),
        ("", [(ENTRY, "switchboard.bearer.one, switchboard.bearer.two")]),
        ("", [("Authorization", "Bearer one"), ("Authorization", "Bearer two")]),
    ],
)
def test_of_several_none_is_chosen_and_none_is_repeated(
    query: str, headers: list[tuple[str, str]]
) -> None:
    with pytest.raises(Unauthenticated, match="there are 2 tokens") as caught:
        bearer_of(handshake(query, *headers))
    assert "one" not in str(caught.value).replace("send one", "")


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "abc", "Bearerabc"])
def test_another_kind_of_authorization_is_refused_with_the_right_one(header: str) -> None:
    with pytest.raises(Unauthenticated, match="'Bearer', a space and the token") as caught:
        bearer_of(handshake("", ("Authorization", header)))
    assert "abc" not in str(caught.value)


def test_a_token_is_not_shown_when_it_is_printed() -> None:
    assert "secret" not in repr(Bearer("secret", Place.HEADER))
