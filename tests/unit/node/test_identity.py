import pytest

from node.identity import EVERYBODY, Identity, Recipients, Right
from router.errors import Forbidden
from router.model import UserId

ALICE, BOB = UserId("alice"), UserId("bob")


@pytest.mark.parametrize(
    ("patterns", "inside", "outside"),
    [
        (["*"], ["alice", "b", "a/b"], []),
        (["alice", "bob"], ["alice", "bob"], ["alicebob", "carol", "Alice"]),
        (["team-*"], ["team-", "team-7"], ["xteam-7", "team"]),
        (["*-bot", "a*c"], ["x-bot", "abc", "ac"], ["abcd", "bot"]),
        (["a.c", "a+"], ["a.c", "a+"], ["abc", "aa"]),
        (["a*a", "a*b*c"], ["aa", "axa", "abc", "axbxc"], ["a", "acb", "ab", "bc"]),
        (["*ab*ab*"], ["abab", "xabxabx"], ["ab", "aab"]),
        ([], [], ["alice", ""]),
    ],
)
def test_a_pattern_names_users_and_a_star_any_characters(
    patterns: list[str], inside: list[str], outside: list[str]
) -> None:
    recipients = Recipients(patterns)
    assert all(user in recipients for user in inside)
    assert not any(user in recipients for user in outside)


def test_who_has_every_right_may_send_to_everybody() -> None:
    Identity(ALICE).check_send([ALICE, BOB], durable=True)
    assert "anybody" in EVERYBODY


def test_who_has_no_right_only_receives() -> None:
    with pytest.raises(Forbidden, match="may only receive"):
        Identity(ALICE, rights=frozenset()).check_send([BOB], durable=False)


def test_durable_messages_are_a_right_of_their_own() -> None:
    sender = Identity(ALICE, rights=frozenset({Right.SEND}))
    sender.check_send([BOB], durable=False)
    with pytest.raises(Forbidden, match="durable"):
        sender.check_send([BOB], durable=True)


def test_one_recipient_who_is_not_allowed_stops_the_whole_send() -> None:
    sender = Identity(ALICE, to=Recipients(["b*"]))
    sender.check_send([BOB], durable=True)
    with pytest.raises(Forbidden, match="'alice'"):
        sender.check_send([BOB, ALICE], durable=False)


def test_many_stars_cost_no_more_than_a_look_from_left_to_right() -> None:
    recipients = Recipients(["*a" * 60 + "*b"])
    assert "a" * 128 not in recipients  # a regular expression would not come back from here
