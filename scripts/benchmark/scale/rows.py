"""One line of the table: a figure, its aim, and whether it is met. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from scripts.measuring.stats import Spread


class Faulty(Exception):
    """What the bench does, or the product did for it, is not right: its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.

    Args:
        figure: what was measured, in words.
        value: the median is what is held against the aim.
        unit: of the value and of the aim.
        aim: the most it may be; None for a figure that is only told.
        size: at which size it was measured.
        note: how, or what is behind it; "" for nothing.
        digits: behind the point.
    """

    figure: str
    value: Spread
    unit: str
    aim: float | None = None
    size: str = ""
    note: str = ""
    digits: int = 1

    @property
    def met(self) -> bool | None:
        """Say whether the aim is met; None without one."""
        return None if self.aim is None else self.value.median <= self.aim

    def shown(self) -> str:
        """Return the value as the table has it, with its spread where it was repeated."""
        low, middle, high = (
            f"{value:,.{self.digits}f}"
            for value in (self.value.low, self.value.median, self.value.high)
        )
        return middle if low == high else f"{middle} ({low} - {high})"

    def dump(self) -> dict[str, Any]:
        """Return the row as JSON types."""
        return {**asdict(self), "met": self.met}


def once(value: float) -> Spread:
    """Return the spread of a figure that is measured once."""
    return Spread(value, value, value)
