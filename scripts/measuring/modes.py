"""What is measured: whose processes, how far a send waits, and how the load is made. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mode:
    """One row of the tables.

    Args:
        name: what the command line calls it.
        cluster: whose processes it runs on.
        confirm: how far each send waits, and the outcome it must have; "" where nobody sends.
        how: what its sender is told of each send; "" for the name.
    """

    name: str
    cluster: str
    confirm: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Regime:
    """How the load is made.

    Args:
        outstanding: messages under way at once; 0 at a fixed rate.
        rate: messages per second; 0 at full load.
    """

    outstanding: int = 0
    rate: float = 0

    @property
    def name(self) -> str:
        """Return `full` or `rate`."""
        return "rate" if self.rate else "full"

    @property
    def label(self) -> str:
        """Return what people read."""
        return f"{self.rate:g}/s" if self.rate else f"full load, {self.outstanding} outstanding"
