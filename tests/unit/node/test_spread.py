"""Spreading those who leave; pure."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.spread import SESSIONS_PER_SECOND, moments, window_s

PARTS = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3_000)


@pytest.mark.parametrize(
    ("sessions", "longest_s", "expected"),
    [(0, 15, 0), (1, 15, 0.01), (150, 15, 1.5), (20_000, 15, 15)],
)
def test_the_window_grows_with_the_sessions_up_to_its_bound(
    sessions: int, longest_s: float, expected: float
) -> None:
    assert window_s(sessions, longest_s) == pytest.approx(expected)


@given(PARTS)
def test_moments_rise_and_lie_within_the_window(jitter: list[float]) -> None:
    window = window_s(len(jitter), 10)
    found = moments(jitter, window)
    assert found == sorted(found)
    assert found[0] >= 0
    assert found[-1] <= window


@given(PARTS)
def test_no_second_has_more_than_its_share_and_one(jitter: list[float]) -> None:
    found = moments(jitter, window_s(len(jitter), 10))
    share = max(SESSIONS_PER_SECOND, len(jitter) / 10)
    assert max(Counter(int(moment) for moment in found).values()) <= share + 1


def test_nobody_needs_no_moment() -> None:
    assert moments([], 0.0) == []
