from hypothesis import given
from hypothesis import strategies as st

from node.acks import MAX_WAITING, Unacknowledged
from router.model import START, Offset


class Told:
    """Somebody who waits for an acknowledgement, and what they heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def proved(self) -> None:
        self.heard.append("proved")

    def failed(self) -> None:
        self.heard.append("failed")


def at(number: int) -> Offset:
    return Offset(1_000 + number, 0)


def written(*numbers: int) -> Unacknowledged:
    """Return the acknowledgements of a client that was written m1, m2, ..."""
    acks = Unacknowledged()
    for number in numbers:
        acks.wrote(f"m{number}", at(number))
    return acks


# ---- the cursor ---------------------------------------------------------------------------------


def test_one_by_one_the_cursor_follows() -> None:
    acks = written(1, 2, 3)
    for number in (1, 2, 3):
        assert acks.acknowledge(f"m{number}")
        assert acks.cursor == at(number)


def test_it_does_not_move_past_a_message_that_is_still_open() -> None:
    acks = written(1, 2, 3)
    assert not acks.acknowledge("m3")
    assert not acks.acknowledge("m2")
    assert acks.cursor == START
    assert acks.acknowledge("m1")
    assert acks.cursor == at(3)


def test_an_offset_acknowledges_all_up_to_it() -> None:
    acks = written(1, 2, 3)
    assert acks.acknowledge_up_to(at(2))
    assert acks.cursor == at(2)
    assert not acks.acknowledge("m1")
    assert acks.acknowledge("m3")
    assert acks.cursor == at(3)


def test_an_offset_between_messages_will_do() -> None:
    acks = written(1, 5)
    assert acks.acknowledge_up_to(at(3))
    assert acks.cursor == at(3)
    assert acks.acknowledge("m5")


def test_the_cursor_never_goes_back() -> None:
    acks = written(1, 2, 3)
    acks.acknowledge_up_to(at(3))
    assert not acks.acknowledge_up_to(at(1))
    assert not acks.acknowledge_up_to(at(3))
    assert acks.cursor == at(3)


def test_what_was_acknowledged_ahead_counts_once_an_offset_reaches_it() -> None:
    acks = written(1, 2, 3, 4)
    acks.acknowledge("m3")
    assert acks.acknowledge_up_to(at(2))
    assert acks.cursor == at(2)
    assert acks.acknowledge("m4")
    assert acks.cursor == at(4)


def test_an_unknown_id_moves_nothing() -> None:
    acks = written(1)
    assert not acks.acknowledge("another")
    assert acks.cursor == START


def test_two_messages_with_one_id_do_not_take_the_cursor_past_a_third() -> None:
    acks = Unacknowledged()
    for message, number in (("same", 1), ("m2", 2), ("same", 3)):
        acks.wrote(message, at(number))
    acks.acknowledge("same")
    assert acks.cursor < at(2)
    assert acks.acknowledge("m2")
    assert acks.cursor == at(3)


@given(
    st.lists(st.tuples(st.sampled_from(["write", "id", "offset"]), st.integers(0, 30)), max_size=60)
)
def test_the_cursor_never_passes_what_nobody_acknowledged(steps: list[tuple[str, int]]) -> None:
    acks = Unacknowledged()
    sent, open_, last = 0, set[int](), START
    for what, number in steps:
        if what == "write":
            sent += 1
            acks.wrote(f"m{sent}", at(sent))
            open_.add(sent)
        elif what == "id":
            moved = acks.acknowledge(f"m{number}")
            open_.discard(number)
            assert moved is (acks.cursor > last)
        else:
            reached = min(at(number), at(sent)) if sent else START
            assert acks.acknowledge_up_to(reached) is (reached > last)
            open_ -= {each for each in open_ if at(each) <= reached}
        assert acks.cursor >= last
        assert not open_ or acks.cursor < at(min(open_))
        last = acks.cursor


# ---- who waits ----------------------------------------------------------------------------------


def test_who_waits_is_told_by_the_id_and_by_an_offset() -> None:
    acks, by_id, by_offset, later = written(1, 2, 3), Told(), Told(), Told()
    for number, told in enumerate((by_id, by_offset, later), 1):
        acks.expect(f"m{number}", at(number), told)
    acks.acknowledge("m1")
    acks.acknowledge_up_to(at(2))
    assert [told.heard for told in (by_id, by_offset, later)] == [["proved"], ["proved"], []]


def test_a_message_that_is_not_durable_is_acknowledged_by_its_id_only() -> None:
    acks, told = Unacknowledged(), Told()
    acks.expect("plain", START, told)
    acks.acknowledge_up_to(at(9))
    assert told.heard == []
    acks.acknowledge("plain")
    assert told.heard == ["proved"]


def test_an_acknowledgement_that_came_first_counts_for_who_asks_later() -> None:
    acks = written(1, 2, 3)
    acks.acknowledge_up_to(at(1))
    acks.acknowledge("m3")
    heard = []
    for number in (1, 2, 3):
        told = Told()
        acks.expect(f"m{number}", at(number), told)
        heard.append(told.heard)
    assert heard == [["proved"], [], ["proved"]]


def test_where_a_client_goes_on_is_no_acknowledgement_of_its_application() -> None:
    acks, told = Unacknowledged(), Told()
    acks.cursor = at(5)
    acks.expect("m3", at(3), told)
    assert told.heard == []


def test_of_too_many_who_wait_the_oldest_hears_that_it_failed() -> None:
    acks, everybody = Unacknowledged(), [Told() for _ in range(MAX_WAITING + 2)]
    for number, told in enumerate(everybody):
        acks.expect(f"m{number}", START, told)
    assert [told.heard for told in everybody[:3]] == [["failed"], ["failed"], []]


def test_what_a_client_may_have_us_remember_is_bounded() -> None:
    acks = Unacknowledged()
    for number in range(10_000):
        acks.acknowledge(f"made up {number}")
        acks.acknowledge(f"{number}" * 1_000)
    held = sum(len(getattr(acks, name)) for name in ("_acknowledged", "_ahead", "_offsets"))
    assert held <= 100


def test_a_second_who_waits_for_the_same_takes_the_place_of_the_first() -> None:
    acks, first, second = written(1), Told(), Told()
    acks.expect("m1", at(1), first)
    acks.expect("m1", at(1), second)
    acks.acknowledge("m1")
    assert (first.heard, second.heard) == (["failed"], ["proved"])


def test_at_the_end_all_who_wait_are_told_once() -> None:
    acks, told, done = written(1, 2), Told(), Told()
    acks.expect("m1", at(1), done)
    acks.expect("m2", at(2), told)
    acks.acknowledge("m1")
    acks.close()
    acks.close()
    assert (done.heard, told.heard) == (["proved"], ["failed"])
