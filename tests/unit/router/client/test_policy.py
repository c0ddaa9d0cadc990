"""What follows from the end of a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.client.policy import Ending, comes_back, failures_after, wait_s
from router.client.words import Options

OPTIONS = Options(retry_base_s=0.5, retry_cap_s=8.0, stable_after_s=10.0)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1009, 1012, 1013, 4408, 4429, 3000, 404, 503])
def test_after_most_codes_it_comes_back(code: int) -> None:
    assert comes_back(Ending(code, ""), fresh_token=False)


@pytest.mark.parametrize("code", [1008, 4401, 4403, 4409, 4410, 401, 403, 422])
def test_after_some_it_would_only_happen_again(code: int) -> None:
    assert not comes_back(Ending(code, ""), fresh_token=False)


def test_a_token_that_has_expired_is_replaced_but_one_that_never_worked_is_not() -> None:
    assert comes_back(Ending(4401, "", welcomed=True), fresh_token=True)
    assert not comes_back(Ending(4401, "", welcomed=False), fresh_token=True)
    assert not comes_back(Ending(4401, "", welcomed=True), fresh_token=False)


def test_a_handshake_refused_for_its_token_is_tried_again_with_the_next_one() -> None:
    assert comes_back(Ending(401, ""), fresh_token=True)
    assert not comes_back(Ending(401, ""), fresh_token=False)
    assert not comes_back(Ending(403, ""), fresh_token=True)


def test_only_a_connection_that_held_ends_the_row() -> None:
    assert failures_after(Ending(1006, "", held_s=9.9), 4, OPTIONS) == 5
    assert failures_after(Ending(1006, "", held_s=10.0), 4, OPTIONS) == 0


def test_what_the_node_asks_for_is_obeyed_as_it_is() -> None:
    assert wait_s(Ending(1012, "", after_s=42.5), 9, OPTIONS, 0.1) == 42.5
    assert wait_s(Ending(1012, "", after_s=0.0), 9, OPTIONS, 0.9) == 0.0


def test_the_bound_doubles_up_to_the_cap() -> None:
    waits = [wait_s(Ending(1006, ""), failures, OPTIONS, 1.0) for failures in range(7)]
    assert waits == [0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_it_never_waits_longer_than_the_cap(failures: int, roll: float) -> None:
    assert 0 <= wait_s(Ending(1006, ""), failures, OPTIONS, roll) <= OPTIONS.retry_cap_s
