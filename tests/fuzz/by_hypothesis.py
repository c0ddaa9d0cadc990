"""The engine that runs everywhere: hypothesis, in rounds, so that a run may be long."""

from collections.abc import Callable
from typing import Final

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.strategies import inputs
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.watching import Finding, Watch

# It remembers each input of a round, so as not to try it twice; a new round forgets.
_ROUND: Final = 2_000


def explore(count: int, seed: int, watch: Watch, told: Callable[[int], None]) -> None:
    """Run `count` inputs, spread over all targets.

    Args:
        count: how many.
        seed: same seed, same inputs (with the same version of hypothesis).
        watch: runs them.
        told: called with how many were run since it was called last.

    Raises:
        Finding: the smallest input that hypothesis found for a fault.
    """
    share, rest = divmod(count, len(TARGETS))
    for place, target in enumerate(TARGETS.values()):
        wanted = share + (place < rest)
        begun = watch.inputs[target.name]
        number = 0
        while (left := wanted - (watch.inputs[target.name] - begun)) > 0:
            before = watch.inputs[target.name]
            _round(target, min(left, _ROUND), hash((seed, place, number)), watch)
            told(watch.inputs[target.name] - before)
            number += 1


def _round(target: Target, count: int, seed: int, watch: Watch) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(inputs(target))
    def run(data: bytes) -> None:
        watch.run(target, data)

    try:
        run()
    except hypothesis.errors.FlakyFailure as exc:
        raise _first(exc) from exc


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the finding in hypothesis's report of a fault that does not show each time."""
    found = [each for each in group.exceptions if isinstance(each, Finding)]
    return found[0] if found else group
