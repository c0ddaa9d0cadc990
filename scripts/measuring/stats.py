"""Median, spread, percentiles and ratios. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """What the repeats of one figure say together."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value.

        Raises:
            ValueError: there is none.
        """
        if not values:
            raise ValueError("a spread needs at least one value")
        return cls(median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value with at least `percent` per cent of all at or below it.

    Nearest rank, so what is returned was really measured; nan when there is no value.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def ratios(tops: Sequence[float], bottoms: Sequence[float]) -> list[float]:
    """Return top / bottom, repeat by repeat: both were measured under the same noise.

    Raises:
        ValueError: the two were not repeated equally often.
    """
    return [top / bottom if bottom else math.nan for top, bottom in zip(tops, bottoms, strict=True)]
