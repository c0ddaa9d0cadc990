"""No promise is broken in any state that a small cluster can reach."""

import pytest

from tests.model.configurations import CONFIGURATIONS, INEXHAUSTIBLE, QUICK
from tests.model.search import search

_MOST_STATES = 1_000_000  # some 2.5 GB


def _configurations(*, quick: bool) -> list[str]:
    return [name for name in CONFIGURATIONS if (name in QUICK) == quick]


@pytest.mark.parametrize("name", _configurations(quick=True))
def test_no_promise_is_broken(name: str) -> None:
    found = search(CONFIGURATIONS[name])
    assert (found.fault, found.trace) == ("", ())
    assert found.exhausted


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", _configurations(quick=False))
def test_no_promise_is_broken_however_long_it_takes(name: str) -> None:
    found = search(CONFIGURATIONS[name], most_states=_MOST_STATES)
    assert (found.fault, found.trace) == ("", ())
    if not found.exhausted and name not in INEXHAUSTIBLE:
        pytest.fail(f"{name} was not exhausted: {found.states} states in {found.seconds:.0f} s")
