import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest, InvalidUser
from router.model import (
    OUTCOMES,
    Confirm,
    EndpointId,
    Outcome,
    Session,
    SessionId,
    check_name,
    check_user,
    endpoint_name,
)


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("accepted", Confirm.ACCEPTED),
        ("written", Confirm.WRITTEN),
        ("delivered", Confirm.DELIVERED),
    ],
)
def test_a_level_of_confirmation_is_found_by_its_word(word: str, level: Confirm) -> None:
    assert Confirm.parse(word) is level


@pytest.mark.parametrize("word", ["", "queued", "yes"])
def test_an_unknown_level_is_refused_with_those_there_are(word: str) -> None:
    with pytest.raises(InvalidRequest, match="accepted, written, delivered") as caught:
        Confirm.parse(word)
    assert caught.value.field == "confirm"


def test_a_higher_level_implies_the_lower_ones() -> None:
    assert Confirm.ACCEPTED < Confirm.WRITTEN < Confirm.DELIVERED


def test_every_outcome_has_a_consequence() -> None:
    assert set(OUTCOMES) == set(Outcome)


@pytest.mark.parametrize(
    ("outcome", "exit_status"),
    [
        *((outcome, 0) for outcome in ("acked", "delivered", "written", "accepted", "queued")),
        ("duplicate", 0),
        *((outcome, 3) for outcome in ("offline", "dropped", "expired")),
        ("unknown", 4),
        ("busy", 5),
    ],
)
def test_the_exit_status_is_what_the_contract_says(outcome: str, exit_status: int) -> None:
    assert OUTCOMES[Outcome(outcome)].exit_status == exit_status


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("delivered", 200), ("accepted", 202), ("queued", 202), ("unknown", 504), ("busy", 503)],
)
def test_the_http_status_is_what_the_contract_says(outcome: str, status: int) -> None:
    assert OUTCOMES[Outcome(outcome)].http_status == status


@pytest.mark.parametrize("user", ["a", "alice", "a" * 128, "ä" * 128, "user:1@x.org", "猫", "😀"])
def test_a_printable_id_is_a_user(user: str) -> None:
    assert check_user(user) == user


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (None, "string"),
        (7, "string"),
        (b"alice", "string"),
        ("", "empty"),
        ("a" * 129, "128 characters, this one 129"),
        ("a b", "white space"),
        ("a\tb", "white space"),
        ("a\n", "white space"),
        ("a\u00a0b", "white space"),
        ("a\u200bb", "white space"),
        ("a\x00", "control"),
        ("\ud800", "control"),
        ("a{b", "{ or }"),
        ("a}b", "{ or }"),
    ],
)
def test_what_cannot_be_a_user_is_refused_with_the_rule_it_breaks(user: object, words: str) -> None:
    with pytest.raises(InvalidUser, match=words) as caught:
        check_user(user, "to")
    assert caught.value.field == "to"


@given(st.text(max_size=140))
def test_whatever_passes_as_a_user_keeps_every_rule(user: str) -> None:
    try:
        check_user(user)
    except InvalidUser:
        return
    assert 1 <= len(user) <= 128
    assert not any(letter.isspace() or letter in "{}" for letter in user)
    assert user.encode().decode() == user


@pytest.mark.parametrize("name", ["n1", "a-b_c", "A" * 64, "0"])
def test_letters_digits_and_two_signs_make_a_name(name: str) -> None:
    assert check_name(name, "device") == name


@pytest.mark.parametrize("name", ["", "A" * 65, "a.b", "a b", "ä", "a/b", "a{", None, 1, "\n"])
def test_anything_else_is_no_name(name: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(name, "device")
    assert caught.value.field == "device"


def test_the_name_of_an_endpoint_is_what_stands_before_its_epoch() -> None:
    assert endpoint_name(EndpointId("n1.0a1b")) == "n1"
    assert endpoint_name(EndpointId("send-7.x.0a1b")) == "send-7.x"


def test_a_session_knows_its_node() -> None:
    session = Session(SessionId("s1"), EndpointId("n2.ff"), "web", "127.0.0.1", 1.0)
    assert session.node == "n2"
