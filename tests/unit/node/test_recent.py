from hypothesis import given
from hypothesis import strategies as st

from node.recent import RecentWrites


def test_a_second_write_to_the_same_session_is_a_repeat() -> None:
    recent = RecentWrites(10)
    assert recent.add("bob", "m1", "s1")
    assert not recent.add("bob", "m1", "s1")


def test_sender_message_and_session_all_count() -> None:
    recent = RecentWrites(10)
    assert recent.add("bob", "m1", "s1")
    assert recent.add("eve", "m1", "s1")
    assert recent.add("bob", "m2", "s1")
    assert recent.add("bob", "m1", "s2")


def test_the_parts_of_a_key_cannot_run_into_each_other() -> None:
    recent = RecentWrites(10)
    assert recent.add("a", "bc", "d")
    assert recent.add("ab", "c", "d")
    assert recent.add("a", "b", "cd")


@given(st.integers(1, 20), st.lists(st.integers(0, 60), max_size=200))
def test_the_last_writes_are_remembered_and_never_more_than_twice_as_many(
    size: int, writes: list[int]
) -> None:
    recent = RecentWrites(size)
    fresh: list[int] = []
    for write in writes:
        if recent.add("bob", str(write), "s1"):
            fresh.append(write)
        else:
            assert write in fresh[-2 * size :]
        for known in fresh[-size:]:
            assert not recent.add("bob", str(known), "s1")


def test_a_note_that_was_taken_back_is_none() -> None:
    recent = RecentWrites(10)
    recent.add("bob", "m", "s1")
    recent.forget("bob", "m", "s1")
    assert recent.add("bob", "m", "s1")
    recent.forget("bob", "never", "s1")
