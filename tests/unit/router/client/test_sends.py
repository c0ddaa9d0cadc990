"""Sends that wait: their order, their answers, and what a broken connection makes of them."""

import json
from typing import Any

import pytest

from router.client.frames import ErrorFrame, OutcomeFrame
from router.client.sends import Results, Send, Sends
from router.client.words import ClientClosed, Closed, NotConnected, QueueFull, Refused
from router.errors import SwitchboardError, TooLarge
from router.model import Outcome, UserId

LIMIT = 65_536


def send(to: str = "bob", **fields: Any) -> tuple[Send, list[Results | SwitchboardError]]:
    told: list[Results | SwitchboardError] = []
    return Send([UserId(to)], False, b"1", told.append, 5.0, **fields), told


def written(sends: Sends, now: float = 0.0) -> list[dict[str, Any]]:
    return [json.loads(text) for text in sends.unwritten(now, LIMIT)]


def outcome_of(told: list[Results | SwitchboardError]) -> tuple[Outcome, str]:
    (results,) = told
    assert isinstance(results, list)
    return results[0].outcome, results[0].reason


def test_a_frame_holds_what_was_given_and_no_more() -> None:
    sends = Sends(10)
    sends.add(send()[0])
    sends.add(send(durable=True, confirm="written", key="k", expires_at=60.5)[0])
    assert written(sends, 0.5) == [
        {"type": "send", "ref": 1, "to": "bob", "data": 1},
        {
            "type": "send",
            "ref": 2,
            "to": "bob",
            "data": 1,
            "durable": True,
            "confirm": "written",
            "ttl_s": 60.0,
            "key": "k",
        },
    ]
    assert written(sends) == []


def test_no_more_may_wait_than_the_limit() -> None:
    sends = Sends(1)
    first, _ = send()
    sends.add(first)
    with pytest.raises(QueueFull, match="1 sends wait"):
        sends.add(send()[0])
    sends.forget(first)
    sends.add(send()[0])


def test_what_is_forgotten_before_it_was_written_never_is() -> None:
    sends = Sends(10)
    first, _ = send("bob")
    sends.add(first)
    sends.add(send("eve")[0])
    sends.forget(first)
    assert [frame["to"] for frame in written(sends)] == ["eve"]


class TestAnswers:
    def test_each_finds_its_send_once(self) -> None:
        sends = Sends(10)
        (first, told_first), (second, told_second) = send(), send()
        sends.add(first)
        sends.add(second)
        written(sends)
        assert sends.answers_wanted
        sends.answered(OutcomeFrame(id="b", ref=2, outcome="written"))
        sends.answered(OutcomeFrame(id="a", ref=1, outcome="unknown", reason="why"))
        sends.answered(OutcomeFrame(id="c", ref=1, outcome="acked"))
        assert outcome_of(told_second) == (Outcome.WRITTEN, "")
        assert outcome_of(told_first) == (Outcome.UNKNOWN, "why")
        assert len(sends) == 0

    @pytest.mark.parametrize("ref", [None, "1", 7])
    def test_one_of_nobody_is_passed_over(self, ref: int | str | None) -> None:
        sends = Sends(10)
        one, told = send()
        sends.add(one)
        written(sends)
        sends.answered(OutcomeFrame(id="a", ref=ref, outcome="written"))
        assert not sends.refused(ErrorFrame("bad_frame", "what?", ref))
        assert told == []

    def test_a_word_of_a_later_version_is_unknown(self) -> None:
        sends = Sends(10)
        one, told = send()
        sends.add(one)
        written(sends)
        sends.answered(OutcomeFrame(id="a", ref=1, outcome="teleported"))
        outcome, reason = outcome_of(told)
        assert outcome is Outcome.UNKNOWN
        assert "teleported" in reason

    def test_several_users_have_an_outcome_each(self) -> None:
        sends = Sends(10)
        told: list[Results | SwitchboardError] = []
        users = [UserId("bob"), UserId("eve"), UserId("dan")]
        sends.add(Send(users, True, b"1", told.append, 5.0))
        assert written(sends)[0]["to"] == users
        outcomes = {"eve": "offline", "bob": "written"}
        sends.answered(OutcomeFrame(id="a", ref=1, outcomes=outcomes))
        (results,) = told
        assert isinstance(results, list)
        assert [(r.user, r.outcome) for r in results] == [
            ("bob", Outcome.WRITTEN),
            ("eve", Outcome.OFFLINE),
            ("dan", Outcome.UNKNOWN),
        ]

    def test_an_error_is_raised_with_all_it_says(self) -> None:
        sends = Sends(10)
        one, told = send()
        sends.add(one)
        written(sends)
        assert sends.refused(ErrorFrame("invalid_request", "no", 1, "confirm"))
        (error,) = told
        assert isinstance(error, Refused)
        assert (error.code, str(error), error.field) == ("invalid_request", "no", "confirm")
        assert error.consequence.retry is False


class TestTime:
    def test_one_that_was_never_written_says_so(self) -> None:
        sends = Sends(10)
        one, _ = send()
        sends.add(one)
        with pytest.raises(NotConnected, match="within 5 s; nothing was sent"):
            sends.out_of_time(one)
        assert written(sends) == []

    def test_one_that_was_is_unknown(self) -> None:
        sends = Sends(10)
        one, _ = send()
        sends.add(one)
        written(sends)
        assert [r.outcome for r in sends.out_of_time(one)] == [Outcome.UNKNOWN]
        assert len(sends) == 0

    def test_a_ttl_that_has_passed_keeps_it_from_being_written(self) -> None:
        sends = Sends(10)
        one, told = send(expires_at=10.0)
        sends.add(one)
        assert written(sends, 10.0) == []
        assert outcome_of(told)[0] is Outcome.EXPIRED

    def test_but_nobody_knows_of_an_earlier_attempt(self) -> None:
        sends = Sends(10)
        one, told = send(expires_at=10.0, key="k")
        sends.add(one)
        written(sends, 0.0)
        sends.disconnected()
        assert written(sends, 10.0) == []
        assert outcome_of(told)[0] is Outcome.UNKNOWN


def test_one_that_is_too_large_is_an_error_and_the_next_goes_on() -> None:
    sends = Sends(10)
    one, told = send()
    one.data = b'"' + b"x" * 100 + b'"'
    sends.add(one)
    sends.add(send()[0])
    assert len(list(sends.unwritten(0.0, 100))) == 1
    assert isinstance(told[0], TooLarge)


class TestBroken:
    def test_those_with_a_key_are_written_again_in_order_before_new_ones(self) -> None:
        sends = Sends(10)
        told = []
        for number, key in enumerate(("a", None, "b")):
            one, told_one = send(f"u{number}", key=key)
            told.append(told_one)
            sends.add(one)
        written(sends)
        sends.disconnected()
        assert not sends.answers_wanted
        sends.add(send("new")[0])
        again = written(sends)
        assert [(frame["to"], frame.get("key")) for frame in again] == [
            ("u0", "a"),
            ("u2", "b"),
            ("new", None),
        ]
        assert outcome_of(told[1])[0] is Outcome.UNKNOWN
        assert told[0] == told[2] == []

    def test_a_duplicate_of_our_own_says_so(self) -> None:
        sends = Sends(10)
        one, told = send(key="k")
        sends.add(one)
        written(sends)
        sends.disconnected()
        written(sends)
        sends.answered(OutcomeFrame(id="first", ref=1, outcome="duplicate"))
        outcome, reason = outcome_of(told)
        assert outcome is Outcome.DUPLICATE
        assert "earlier" in reason

    def test_an_error_of_the_repeat_is_no_word_about_the_first(self) -> None:
        sends = Sends(10)
        one, told = send(key="k")
        sends.add(one)
        written(sends)
        sends.disconnected()
        written(sends)
        sends.refused(ErrorFrame("unavailable", "the store is away", 1))
        outcome, reason = outcome_of(told)
        assert outcome is Outcome.UNKNOWN
        assert "the store is away" in reason

    def test_what_was_not_written_waits_on(self) -> None:
        sends = Sends(10)
        one, told = send()
        sends.add(one)
        sends.disconnected()
        assert told == []
        assert len(written(sends)) == 1


def test_at_the_end_everybody_is_told_the_truth() -> None:
    sends = Sends(10)
    first, told_first = send(key="k")
    sends.add(first)
    written(sends)
    second, told_second = send()
    sends.add(second)
    error = ClientClosed(Closed(4410, "kicked"))
    sends.close(error)
    assert outcome_of(told_first)[0] is Outcome.UNKNOWN
    assert told_second == [error]
    assert str(error) == "the client is closed: kicked (4410)"
