import random

from node.wheel import Wheel


def test_a_turn_comes_when_its_second_is_over_and_once() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.put("a", 10.0)
    wheel.put("b", 10.2)
    wheel.put("c", 12.0)
    assert wheel.due(9.9) == []
    assert wheel.due(10.0) == ["a"]
    assert wheel.due(10.9) == []
    assert wheel.due(11.0) == ["b"]
    assert wheel.due(100.0) == ["c"]
    assert wheel.due(1_000.0) == []
    assert len(wheel) == 0


def test_who_is_put_in_again_has_one_turn_at_the_new_time() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.put("a", 10.0)
    wheel.put("a", 20.0)
    assert len(wheel) == 1
    assert wheel.due(15.0) == []
    assert wheel.due(20.0) == ["a"]


def test_who_was_taken_out_is_forgotten_and_may_come_back() -> None:
    wheel: Wheel[str] = Wheel()
    wheel.put("a", 10.0)
    wheel.remove("a")
    wheel.remove("a")
    assert len(wheel) == 0
    wheel.put("b", 10.0)
    assert wheel.due(10.0) == ["b"]
    wheel.put("a", 10.0)
    assert wheel.due(10.0) == ["a"]


def test_turns_come_in_the_order_of_their_seconds_whatever_came_before() -> None:
    wheel: Wheel[int] = Wheel()
    roll = random.Random(7)
    at = {member: roll.uniform(0, 50) for member in range(500)}
    for member, moment in at.items():
        wheel.put(member, roll.uniform(0, 50))
        wheel.put(member, moment)
    gone = set(range(0, 500, 7))
    for member in gone:
        wheel.remove(member)
    seen: list[int] = []
    for now in range(52):
        turn = wheel.due(now)
        assert all(now - 1 < at[member] <= now for member in turn)
        seen.extend(turn)
    assert sorted(seen) == sorted(set(at) - gone)
