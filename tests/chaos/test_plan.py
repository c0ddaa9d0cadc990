"""What is broken when: drawn from the seed and from nothing else."""

import dataclasses

import pytest

from scripts.faults.options import FAULTS, Options, parse_faults
from scripts.faults.steps import CLIENTS, SENDER, STORE, make_plan, node_names

OPTIONS = Options()


@pytest.mark.parametrize("quick", [False, True])
def test_the_same_seed_has_the_same_plan_and_another_seed_another(quick: bool) -> None:
    options = dataclasses.replace(OPTIONS, quick=quick)
    assert make_plan(options) == make_plan(options)
    assert make_plan(options) != make_plan(dataclasses.replace(options, seed=2))


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_long_plan_has_every_kind_of_fault(seed: int) -> None:
    plan = make_plan(dataclasses.replace(OPTIONS, seed=seed))
    assert {step.fault for step in plan} == set(FAULTS)
    places = {*node_names(OPTIONS.nodes), STORE, SENDER, CLIENTS}
    assert {step.where for step in plan} <= places
    assert [step.at_s for step in plan] == sorted(step.at_s for step in plan)
    assert all(0 < step.at_s < OPTIONS.seconds for step in plan)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plan_has_only_the_kinds_that_were_asked_for(fault: str) -> None:
    plan = make_plan(dataclasses.replace(OPTIONS, faults=(fault,)))
    assert {step.fault for step in plan} == {fault}


def test_without_faults_there_is_no_plan() -> None:
    assert make_plan(dataclasses.replace(OPTIONS, faults=())) == []


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_node_is_always_spared(seed: int) -> None:
    plan = make_plan(dataclasses.replace(OPTIONS, seed=seed, nodes=2))
    nodes = [step for step in plan if step.where in node_names(2)]
    for step in nodes:
        others = {
            other.where for other in nodes if other.at_s <= step.at_s <= other.at_s + other.lasts_s
        }
        assert others == {step.where}


def test_faults_are_named_one_by_one_or_all() -> None:
    assert parse_faults("all") == FAULTS
    assert parse_faults("none") == ()
    assert parse_faults("move,kill") == ("kill", "move")
    with pytest.raises(ValueError, match="'fire' is not one of kill, pause"):
        parse_faults("fire")
