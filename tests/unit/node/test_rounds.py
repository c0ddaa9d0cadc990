import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from node.rounds import Rounds


class Member:
    def __init__(self) -> None:
        self.closed = False


def joined(count: int, rounds: Rounds[Member]) -> list[Member]:
    members = [Member() for _ in range(count)]
    for member in members:
        rounds.join(member)
    return members


def test_everybody_has_one_turn_per_period() -> None:
    rounds: Rounds[Member] = Rounds(60.0)
    members = joined(30, rounds)
    turns = Counter(member for _ in range(60) for member in rounds.due(1.0))
    assert turns == dict.fromkeys(members, 1)


def test_turns_are_spread_evenly_over_the_period() -> None:
    rounds: Rounds[Member] = Rounds(10.0)
    joined(100, rounds)
    assert [len(rounds.due(1.0)) for _ in range(10)] == [10] * 10


def test_turns_come_in_the_order_of_joining() -> None:
    rounds: Rounds[Member] = Rounds(4.0)
    members = joined(4, rounds)
    assert [rounds.due(1.0) for _ in range(5)] == [
        [members[0]],
        [members[1]],
        [members[2]],
        [members[3]],
        [members[0]],
    ]


def test_who_joins_waits_for_those_who_were_there() -> None:
    rounds: Rounds[Member] = Rounds(2.0)
    first = joined(2, rounds)
    late = joined(1, rounds)
    assert rounds.due(2.0) == [*first, *late]


def test_closed_members_drop_out() -> None:
    rounds: Rounds[Member] = Rounds(1.0)
    stays, leaves = joined(2, rounds)
    leaves.closed = True
    assert rounds.due(1.0) == [stays]
    assert rounds.due(10.0) == [stays]


def test_after_a_long_pause_nobody_has_two_turns_at_once() -> None:
    rounds: Rounds[Member] = Rounds(1.0)
    members = joined(3, rounds)
    assert rounds.due(1_000.0) == members
    assert len(rounds.due(0.1)) <= 1


def test_with_nobody_there_nothing_is_owed_to_who_comes() -> None:
    rounds: Rounds[Member] = Rounds(10.0)
    assert rounds.due(1_000.0) == []
    joined(5, rounds)
    assert rounds.due(0.1) == []


def test_turns_of_one_are_never_close_however_many_join() -> None:
    rounds: Rounds[Member] = Rounds(20.0)
    early = joined(10, rounds)
    turns: dict[Member, list[int]] = {member: [] for member in early}
    for second in range(1, 121):
        joined(500 if second <= 30 else 0, rounds)
        for member in rounds.due(1.0):
            turns.setdefault(member, []).append(second)
    between = [
        later - earlier for each in turns.values() for earlier, later in itertools.pairwise(each)
    ]
    assert min(between) >= 10
    assert max(between) <= 20
    assert len(turns) == 10 + 30 * 500


@given(st.integers(1, 50), st.lists(st.floats(0.01, 2.0), min_size=50, max_size=100))
def test_nobody_is_forgotten_however_time_passes(count: int, steps: list[float]) -> None:
    rounds: Rounds[Member] = Rounds(5.0)
    members = joined(count, rounds)
    turns = Counter(member for step in steps for member in rounds.due(step))
    assert max(turns.values(), default=0) - min(turns[member] for member in members) <= 1
