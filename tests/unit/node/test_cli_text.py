"""Text between the terminal and the commands."""

import json
import os
import time
from unittest.mock import patch

import pytest

from node.cli.text import as_data, count, utf8, when
from router.errors import InvalidRequest


@pytest.mark.parametrize(
    "text", ["1", "null", '"a"', '{"a": [1, 2.50]}', " 7 ", "12345678901234567890123", '"\\u00e9"']
)
def test_json_is_left_as_it_was_written(text: str) -> None:
    assert bytes(as_data(text.encode())) == text.encode()


@pytest.mark.parametrize(
    "text", ["", "hello", "NaN", "{", "[1,]", "'a'", "01", "tru", 'say "hi"', "ü", "[" * 100_000]
)
def test_anything_else_is_a_string(text: str) -> None:
    assert json.loads(bytes(as_data(text.encode()))) == text


@pytest.mark.parametrize("text", [b"\xff", b'"\xff"', b'{"a":"\xc3("}'])
def test_what_is_not_utf_8_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="is not UTF-8"):
        as_data(text)


def test_an_argument_that_is_not_utf_8_is_refused_by_its_name() -> None:
    assert utf8("ü", "DATA") == "ü".encode()
    with pytest.raises(InvalidRequest, match="DATA: is not UTF-8"):
        utf8("\udcff", "DATA")


def test_times_are_shown_in_the_time_zone_of_the_reader() -> None:
    with patch.dict(os.environ, {"TZ": "UTC-2"}):
        time.tzset()
        assert when(1_795_437_511.9) == "2026-11-23 14:38:31+02:00"
    time.tzset()


@pytest.mark.parametrize("seconds", [1e300, -1e300, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_shown_as_its_number(seconds: float) -> None:
    assert when(seconds) == str(seconds)


def test_a_time_nobody_knows_is_said_to_be_unknown() -> None:
    assert when(None) == "unknown"


def test_counts_agree_with_their_nouns() -> None:
    told = [count(number, "session") for number in (0, 1, 2, 12_345)]
    assert told == ["0 sessions", "1 session", "2 sessions", "12,345 sessions"]
