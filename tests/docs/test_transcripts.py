"""The comparison of what is told with what is said is neither too strict nor too mild."""

import pytest

from tests.docs.playing import only_looks
from tests.support.transcripts import Names, Step, first_missing, steps


def same(told: str, real: str) -> bool:
    return Names(first_port=40_001).same(told, real)


@pytest.mark.parametrize(
    ("told", "real"),
    [
        ("delivered: a, id 14b602ef271a1", "delivered: a, id 0f22aed6b4c61"),
        (
            '{"id":"14b602ef271a1","sent_at":1795439181.43}',
            '{"sent_at":1.7e9,"id":"0f22aed6b4c61"}',
        ),
        ("since 2026-11-23 13:06:19+00:00", "since 2031-01-02 03:04:05+02:00"),
        (" n1   n1.64dad99d03   24999   127.0.0.1:8001", "n1 n1.d353b58f69 7 127.0.0.1:40001"),
        ("store 127.0.0.1:41789", "store 127.0.0.1:39999"),
        ("0.1 s ago", "12.75 s ago"),
        ("< hello", "\x1b[A\x1b[L< hello"),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(told: str, real: str) -> None:
    assert same(told, real)


@pytest.mark.parametrize(
    ("told", "real"),
    [
        ("delivered: alice, 1 session", "offline: alice, 1 session"),
        ("delivered: alice, 1 session", "delivered: alice, 2 sessions"),
        ("node n1 http://127.0.0.1:8001/", "node n1 http://127.0.0.1:40002/"),
        ('{"outcome":"delivered"}', '{"outcome":"accepted"}'),
        ('{"outcome":"delivered"}', '{"outcome":"delivered","more":1}'),
        ("received 1", "received 2"),
        ("hello", "hello world"),
    ],
)
def test_everything_else_counts(told: str, real: str) -> None:
    assert not same(told, real)


class TestOutput:
    names = Names(first_port=40_001)

    def test_no_line_may_be_missing_or_too_many(self) -> None:
        assert self.names.all_same(["one", "two"], ["one", "", "two"])
        assert not self.names.all_same(["one"], ["one", "two"])
        assert not self.names.all_same(["one", "two"], ["one"])

    def test_three_dots_stand_for_any_lines(self) -> None:
        assert self.names.all_same(["one", "...", "four"], ["one", "two", "three", "four"])
        assert self.names.all_same(["..."], [])
        assert not self.names.all_same(["one", "...", "four"], ["one", "two"])
        assert not self.names.all_same(["one", "...", "one"], ["one"])


def test_a_line_that_is_told_twice_must_be_said_twice() -> None:
    taken: set[int] = set()
    assert first_missing(["a", "a"], ["a"], taken, same) == "a"
    assert taken == set()
    assert first_missing(["a", "a"], ["a", "b", "a"], taken, same) is None
    assert first_missing(["a"], ["a", "b", "a"], taken, same) == "a"


def test_names_of_this_run_take_the_place_of_those_told() -> None:
    names = Names(first_port=40_001)
    assert names.same("node n2 (process 25001)", "node n2 (process 31)")
    assert names.same("id 14b602ef271a1", "id 0f22aed6b4c61")
    assert names.here("kill -STOP 25001") == "kill -STOP 31"
    assert names.here("kick --session 14b602ef271a1") == "kick --session 0f22aed6b4c61"
    assert names.here("ws://127.0.0.1:8002/ws") == "ws://127.0.0.1:40002/ws"


def test_a_block_is_read_step_by_step() -> None:
    lines = ["$ one", "> more", "out", "$ two", "^C", "gone"]
    assert steps(lines, 7, stays=False) == [
        Step("run", "one\nmore", ("out",), 7),
        Step("run", "two", (), 10),
        Step("stop", "", ("gone",), 11),
    ]
    assert steps(["said before", "> typed", "said"], 1, stays=True) == [
        Step("see", "", ("said before",), 1),
        Step("type", "typed", ("said",), 2),
    ]


def test_only_what_changes_nothing_is_run_again() -> None:
    assert only_looks("switchboard nodes")
    assert only_looks("curl -s http://127.0.0.1:8001/readyz")
    assert not only_looks("curl -s http://127.0.0.1:8001/api/v1/broadcast -d '{}'")
    assert not only_looks("switchboard send alice hello")
