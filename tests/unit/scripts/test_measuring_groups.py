"""Plans whose messages go to several users each."""

from scripts.measuring.ledger import Arrival, check
from scripts.measuring.load import Gate
from scripts.measuring.plan import Plan, message_frame

PLAN = Plan(run=3, seed=1, users=10, messages=4, size_bytes=100, group=6)
FIRSTS = PLAN.recipients()


def arrivals() -> list[Arrival]:
    return [
        Arrival(user, 100 + n, message_frame(PLAN, n, first, 0))
        for n, first in enumerate(FIRSTS)
        for user in PLAN.members(first)
    ]


def test_a_message_has_as_many_different_members_as_its_group() -> None:
    assert PLAN.members(8) == [8, 9, 0, 1, 2, 3]
    assert PLAN.deliveries == 24


def test_all_is_well_when_each_member_got_it_once() -> None:
    found = check(PLAN, arrivals())
    assert (found.missing, found.doubled, found.misdelivered) == (0, 0, 0)
    assert found.at_ns == [100 + n for n in range(4) for _ in range(6)]


def test_a_member_without_it_is_missing() -> None:
    assert check(PLAN, arrivals()[1:]).missing == 1


def test_a_second_copy_names_its_message() -> None:
    found = check(PLAN, [*arrivals(), arrivals()[-1]])
    assert (found.doubled, found.twice) == (1, {3})


def test_who_is_no_member_must_not_have_it() -> None:
    stranger = (FIRSTS[0] + PLAN.group) % PLAN.users
    wrong = Arrival(stranger, 1, message_frame(PLAN, 0, FIRSTS[0], 0))
    assert check(PLAN, [*arrivals(), wrong]).misdelivered == 1


def test_a_message_counts_as_received_when_all_its_members_may_have_it() -> None:
    gate = Gate()
    gate.reset(3, PLAN.group)
    gate.receive(3, 11)
    assert gate.received == 1
