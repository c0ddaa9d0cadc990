"""What a probe is given: the options, a folder, owners of what it starts, and the registries."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.options import Options
from scripts.benchmark.scale.rows import Row
from scripts.comparison.chart import Chart
from scripts.measuring.children import Children
from scripts.measuring.store import Stores

Tell = Callable[[str, float], None]
"""Takes what is being done, and which share of its probe is done by now, from 0 to 1."""


@dataclass(slots=True)
class Stage:
    """What a probe may use.

    Args:
        options: how large it all is.
        directory: of the run, removed at its end.
        children: owner of the processes that a probe starts.
        stores: owner of its stores.
        tell: shows how far the probe is.
        crowd: the large registry; None for probes that need none.
        few: the small one.
        charts: what the probes have to draw.
        facts: what the document tells beside the rows, by name.
    """

    options: Options
    directory: Path
    children: Children
    stores: Stores
    tell: Tell
    crowd: Crowd | None = None
    few: Crowd | None = None
    charts: list[Chart] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def large(self) -> Crowd:
        """Return the large registry."""
        assert self.crowd is not None
        return self.crowd

    @property
    def small(self) -> Crowd:
        """Return the small registry."""
        assert self.few is not None
        return self.few


@dataclass(frozen=True, slots=True)
class Probe:
    """A part of the bench.

    Args:
        part: what `--only` calls it, with others of its kind.
        name: told while it runs.
        measure: returns its rows.
        needs_crowd: it uses `Stage.large` or `Stage.small`. Those that do come first; the
            registries are gone when the others run.
        seconds: about how long it takes at full size; only the bar depends on it.
    """

    part: str
    name: str
    measure: Callable[[Stage], Awaitable[list[Row]]]
    needs_crowd: bool = True
    seconds: float = 10.0
