import pytest

from router.counts import Counts, Histogram
from router.model import Outcome

INFINITY = float("inf")


def test_a_histogram_counts_a_value_below_the_first_bound_that_is_not_less() -> None:
    found = Histogram((1, 2, 4))
    for value in (0.5, 1, 1.5, 4, 100):
        found.add(value)
    assert found.rising() == [(1, 2), (2, 3), (4, 4), (INFINITY, 5)]
    assert (found.count, found.total) == (5, 107)


def test_a_time_below_zero_counts_as_none_at_all() -> None:
    """Two clocks are compared: the sum of a histogram may never fall."""
    found = Histogram((1, 2))
    found.add(-3)
    assert (found.rising()[0], found.total) == ((1, 1), 0)


def test_times_are_counted_together_as_they_are_one_by_one() -> None:
    together, one_by_one = Histogram((1, 2, 4)), Histogram((1, 2, 4))
    together.add_since([9.5, 8.5, 7, 1], 10)
    for value in (0.5, 1.5, 3, 9):
        one_by_one.add(value)
    assert together.rising() == one_by_one.rising()
    assert together.total == pytest.approx(one_by_one.total)


def test_a_sender_whose_clock_is_ahead_does_not_let_the_sum_fall() -> None:
    found = Histogram((1, 2))
    found.add_since([12, 13], 10)
    assert (found.rising()[0], found.total) == ((1, 2), 0)


@pytest.mark.parametrize(
    ("share", "bound"), [(0.0, 1), (0.5, 1), (0.75, 2), (0.9, INFINITY), (1.0, INFINITY)]
)
def test_a_quantile_is_the_bound_below_which_so_many_values_lie(share: float, bound: float) -> None:
    found = Histogram((1, 2, 4))
    for value in (0.1, 0.2, 1.5, 9):
        found.add(value)
    assert found.quantile(share) == bound


def test_without_values_there_is_no_quantile() -> None:
    assert Histogram((1,)).quantile(0.5) is None


def test_every_outcome_has_a_number_from_the_start() -> None:
    assert Counts().outcomes == dict.fromkeys(Outcome, 0)


def test_limits_and_faults_are_counted_by_name() -> None:
    counts = Counts()
    counts.limit("frames")
    counts.limit("frames")
    counts.failed("rescue")
    assert (counts.limits["frames"], counts.limits["bytes"]) == (2, 0)
    assert counts.failures["rescue"] == 1


def test_every_number_is_documented() -> None:
    words = Counts.__doc__ or ""
    undocumented = [name for name in Counts.__slots__ if f"  {name}: " not in words]
    assert undocumented == []
