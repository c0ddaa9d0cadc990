import math

import pytest

from scripts.measuring.stats import Spread, percentile, ratios


def test_a_spread_has_the_middle_and_both_ends() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 9.0, 3.0]) == Spread(3.0, 1.0, 9.0)


def test_one_value_is_its_own_spread() -> None:
    assert Spread.of([4.0]) == Spread(4.0, 4.0, 4.0)


def test_no_value_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (100, 100.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_the_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 99))


def test_ratios_are_taken_repeat_by_repeat() -> None:
    assert ratios([2.0, 9.0], [4.0, 3.0]) == [0.5, 3.0]


def test_a_ratio_to_nothing_is_not_a_number() -> None:
    assert math.isnan(ratios([1.0], [0.0])[0])


def test_ratios_need_equally_many_repeats() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])
