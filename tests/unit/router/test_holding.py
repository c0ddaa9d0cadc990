"""Which sessions are held, and when the last one of a user is gone."""

from router.model import EndpointId, Session, SessionId, UserId
from router.transport.holding import Holding

ALICE, BOB = UserId("alice"), UserId("bob")
NOW, BEFORE = EndpointId("n1.2"), EndpointId("n1.1")


def entry(user: UserId, name: str, endpoint: EndpointId = NOW) -> tuple[UserId, Session]:
    return user, Session(SessionId(name), endpoint, "web", "127.0.0.1", 1.0)


def test_only_what_was_not_held_is_new() -> None:
    holding = Holding()
    one, two, other = entry(ALICE, "s1"), entry(ALICE, "s2"), entry(BOB, "s3")
    assert holding.add([one, other]) == [one, other]
    assert holding.add([one, two, other]) == [two]
    assert holding.add([]) == []


def test_the_last_one_of_a_user_is_told() -> None:
    holding = Holding()
    holding.add([entry(ALICE, "s1"), entry(ALICE, "s2"), entry(BOB, "s3")])
    assert not holding.remove(ALICE, NOW, SessionId("s1"))
    assert holding.remove(ALICE, NOW, SessionId("s2"))
    assert not holding.remove(ALICE, NOW, SessionId("s2"))
    assert holding.add([entry(ALICE, "s2")])


def test_a_removal_removes_nothing_but_what_it_names() -> None:
    holding = Holding()
    holding.add([entry(ALICE, "s1", BEFORE)])
    assert holding.add([entry(ALICE, "s1", NOW)]) == []
    for user, endpoint, name in ((ALICE, BEFORE, "s1"), (ALICE, NOW, "s2"), (BOB, NOW, "s1")):
        assert not holding.remove(user, endpoint, SessionId(name))
    assert holding.remove(ALICE, NOW, SessionId("s1"))
