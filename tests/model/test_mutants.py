"""The model notices when any rule of the protocol is left out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.configurations import CONFIGURATIONS
from tests.model.mutants import MUTANTS
from tests.model.search import search

# These need more than 10,000 states.
LONG = {
    "trim_before_resend",
    "index_without_open",
    "offline_any_hop",
    "reread_is_first",
    "no_token",
    "no_token,relative_rescue_trim",
}


def _faults(mutant: str) -> Iterator[str]:
    for name in MUTANTS[mutant]:
        yield search(CONFIGURATIONS[name], frozenset(mutant.split(",")), most_seconds=400).fault


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant not in LONG])
def test_a_rule_left_out_is_noticed(mutant: str) -> None:
    assert any(_faults(mutant))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", sorted(LONG))
def test_a_rule_left_out_is_noticed_after_a_long_search(mutant: str) -> None:
    assert any(_faults(mutant))


def test_every_rule_that_can_be_left_out_is_on_the_list() -> None:
    in_code: set[str] = set()
    for file in Path(__file__).parent.glob("*.py"):
        in_code |= set(re.findall(r'"(\w+)" (?:not )?in rules\.broken', file.read_text("utf-8")))
    assert in_code == {name for mutant in MUTANTS for name in mutant.split(",")}
