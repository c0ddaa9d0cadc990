"""Repeats, order, and what is acknowledged when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.client.arrivals import Arrivals, place_of
from router.client.frames import MessageFrame
from router.client.words import Message


def frame(number: int, offset: str | None = None, origin: str = "bob") -> MessageFrame:
    where = f"{number}-0" if offset is None else offset
    return MessageFrame(id=f"m{number}", origin=origin, data=number, sent_at=1.0, offset=where)


def taken(arrivals: Arrivals, *numbers: int) -> list[Message]:
    found = [arrivals.take(frame(number)) for number in numbers]
    return [message for message in found if message is not None]


def test_offsets_compare_as_numbers() -> None:
    assert place_of("") < place_of("9-9") < place_of("9-10") < place_of("10-0")


class TestRepeats:
    def test_the_same_sender_and_id_is_one(self) -> None:
        arrivals = Arrivals(10)
        assert arrivals.take(frame(1, "")) is not None
        assert arrivals.take(frame(1, "")) is None
        assert arrivals.take(frame(1, "", origin="eve")) is not None
        assert arrivals.repeats == 1

    def test_an_offset_that_does_not_rise_is_one_even_when_the_id_was_forgotten(self) -> None:
        arrivals = Arrivals(1)
        assert len(taken(arrivals, 1, 2, 1, 2, 3)) == 3

    def test_only_so_many_are_remembered(self) -> None:
        arrivals = Arrivals(2)
        for number in (1, 2, 3):
            arrivals.take(frame(number, ""))
        assert arrivals.take(frame(3, "")) is None
        assert arrivals.take(frame(1, "")) is not None
        assert len(arrivals._known) == len(arrivals._ring) == 2


class TestWelcome:
    @pytest.mark.parametrize(
        ("since", "resumed", "offset", "gap", "then"),
        [
            ("", False, "", False, ""),
            ("", False, "0-0", False, "0-0"),
            ("", False, "7-0", False, "7-0"),
            ("", True, "7-0", False, "7-0"),
            ("5-0", True, "5-0", False, "5-0"),
            ("5-0", True, "7-0", False, "7-0"),
            ("5-0", True, "", False, "5-0"),
            ("5-0", True, "3-0", False, "5-0"),
            ("5-0", False, "7-0", True, "7-0"),
            ("5-0", False, "0-0", True, "0-0"),  # the store has lost its data
        ],
    )
    def test_it_says_where_to_go_on_and_whether_there_is_a_gap(
        self, since: str, resumed: bool, offset: str, gap: bool, then: str
    ) -> None:
        arrivals = Arrivals(10, since)
        assert arrivals.welcomed(resumed=resumed, offset=offset) is gap
        assert arrivals.since == then

    def test_what_was_acknowledged_to_the_last_node_is_told_again(self) -> None:
        arrivals = Arrivals(10)
        arrivals.handle(taken(arrivals, 1)[0])
        assert list(arrivals.tell()) == ['{"type":"ack","offset":"1-0"}']
        assert list(arrivals.tell()) == []
        arrivals.welcomed(resumed=True, offset="1-0")
        assert arrivals.untold
        assert list(arrivals.tell()) == ['{"type":"ack","offset":"1-0"}']


class TestAcknowledging:
    def test_it_goes_as_far_as_everything_was_handled(self) -> None:
        arrivals = Arrivals(10)
        first, second, third = taken(arrivals, 1, 2, 3)
        arrivals.handle(third)
        assert not arrivals.untold
        arrivals.handle(first)
        assert arrivals.handled == "1-0"
        arrivals.handle(second)
        assert arrivals.handled == "3-0"
        assert arrivals.unhandled == 0
        arrivals.handle(second)
        assert list(arrivals.tell()) == ['{"type":"ack","offset":"3-0"}']

    def test_a_repeat_of_what_was_handled_is_told_again(self) -> None:
        arrivals = Arrivals(10)
        arrivals.handle(taken(arrivals, 1)[0])
        list(arrivals.tell())
        assert arrivals.take(frame(1)) is None
        assert list(arrivals.tell()) == ['{"type":"ack","offset":"1-0"}']

    def test_what_is_not_stored_is_told_by_its_id_if_the_application_says_so(self) -> None:
        arrivals = Arrivals(10)
        message = arrivals.take(frame(1, ""))
        assert message is not None
        arrivals.handle(message)
        assert not arrivals.untold
        arrivals.acknowledge(message)
        assert list(arrivals.tell()) == ['{"type":"ack","id":"m1"}']

    @given(st.permutations(range(1, 9)))
    def test_any_order_of_handling_ends_with_everything_told(self, order: list[int]) -> None:
        arrivals = Arrivals(10)
        messages = taken(arrivals, *range(1, 9))
        done: set[int] = set()
        for number in order:
            arrivals.handle(messages[number - 1])
            done.add(number)
            prefix = next(n for n in range(1, 10) if n not in done) - 1
            assert arrivals.handled == (f"{prefix}-0" if prefix else "")
        assert arrivals._out_of_turn == set()


@given(st.lists(st.integers(1, 12), max_size=60))
def test_whatever_comes_again_the_application_sees_rising_offsets(numbers: list[int]) -> None:
    arrivals = Arrivals(3)
    seen = [message.data for message in taken(arrivals, *numbers)]
    assert seen == sorted(set(seen))
