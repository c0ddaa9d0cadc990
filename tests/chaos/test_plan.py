"""What is broken when: drawn from the seed and from nothing else."""

import dataclasses
import itertools

import pytest

from scripts.faults.options import (
    CLUSTER,
    CLUSTER_FAULTS,
    FAULTS,
    HOST_FAULTS,
    LINK_FAULTS,
    MASTER_FAULTS,
    SENTINEL,
    SENTINEL_FAULTS,
    SLOT_MOVE,
    Options,
    parse_faults,
)
from scripts.faults.parting import pairs_of
from scripts.faults.steps import (
    ALL,
    BEHIND,
    CLIENTS,
    INWARDS,
    KILLED,
    OUTWARDS,
    SENDER,
    STORE,
    Step,
    make_plan,
    node_names,
)

OPTIONS = Options()
ON_HOSTS = Options(hosts=True, faults=HOST_FAULTS)
ON_CLUSTER = Options(store=CLUSTER, faults=CLUSTER_FAULTS)
ON_SENTINELS = Options(store=SENTINEL, faults=SENTINEL_FAULTS)
PROXIED = {"cut", "slow", "redis-restart", "redis-hang"}


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


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_long_plan_on_hosts_breaks_links_on_every_side_and_needs_no_proxy(seed: int) -> None:
    plan = make_plan(dataclasses.replace(ON_HOSTS, seed=seed))
    assert {step.fault for step in plan} == set(HOST_FAULTS)
    assert not {"cut", "slow"} & set(HOST_FAULTS)
    assert {step.side for step in plan if step.fault in LINK_FAULTS} == {STORE, CLIENTS, ALL}
    assert {step.how for step in plan if step.fault == "one-way"} == {OUTWARDS, INWARDS}
    hows = {step.how for step in plan}
    assert "kill-rescuer" not in hows


def test_plans_on_hosts_have_nodes_that_are_killed_while_they_are_cut_off() -> None:
    plans = [make_plan(dataclasses.replace(ON_HOSTS, seed=seed)) for seed in range(1, 11)]
    parts = [step.how for plan in plans for step in plan if step.fault == "part"]
    assert parts.count("both") > parts.count(KILLED) > 0


@pytest.mark.parametrize("options", [ON_CLUSTER, ON_SENTINELS], ids=[CLUSTER, SENTINEL])
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_long_plan_for_several_servers_has_every_kind_and_needs_no_proxy(
    options: Options, seed: int
) -> None:
    plan = make_plan(dataclasses.replace(options, seed=seed))
    assert plan == make_plan(dataclasses.replace(options, seed=seed))
    assert {step.fault for step in plan} == set(options.faults)
    assert not PROXIED & set(options.faults)
    assert {step.where for step in plan if step.fault in (*MASTER_FAULTS, SLOT_MOVE)} == {STORE}
    assert "kill-rescuer" not in {step.how for step in plan}
    assert {step.how for step in plan if step.fault == SLOT_MOVE} <= set(node_names(options.nodes))


def test_masters_are_killed_with_and_without_a_replica_in_step_and_hang_shortly_and_long() -> None:
    plans = [make_plan(dataclasses.replace(ON_CLUSTER, seed=seed)) for seed in range(1, 11)]
    steps = [step for plan in plans for step in plan]
    assert {step.how for step in steps if step.fault == "master-kill"} == {"kill", BEHIND}
    hangs = [step for step in steps if step.fault == "master-hang"]
    replace_s = ON_CLUSTER.replace_s
    assert all(step.lasts_s < replace_s for step in hangs if step.how == "short")
    assert all(step.lasts_s > replace_s for step in hangs if step.how == "long")
    assert {step.how for step in hangs} == {"short", "long"}
    assert {step.amount for step in steps if step.fault in MASTER_FAULTS} == {0, 1, 2}


@pytest.mark.parametrize("options", [ON_CLUSTER, ON_SENTINELS], ids=[CLUSTER, SENTINEL])
@pytest.mark.parametrize("seed", range(1, 11))
def test_servers_are_broken_one_after_the_other(options: Options, seed: int) -> None:
    plan = make_plan(dataclasses.replace(options, seed=seed))
    steps = [step for step in plan if step.where == STORE]
    for step, following in itertools.pairwise(steps):
        assert following.at_s > step.at_s + step.lasts_s


def test_a_broken_link_is_broken_to_each_host_of_its_side() -> None:
    names = (STORE, CLIENTS, SENDER, "n1", "n2")
    out, back = ("n1", STORE), (STORE, "n1")
    assert pairs_of(Step(1, "part", "n1", side=STORE), names) == [out, back]
    assert pairs_of(Step(1, "one-way", "n1", OUTWARDS, side=STORE), names) == [out]
    assert pairs_of(Step(1, "one-way", "n1", INWARDS, side=STORE), names) == [back]
    clients = pairs_of(Step(1, "late", "n1", side=CLIENTS), names)
    assert set(clients) == {("n1", CLIENTS), ("n1", SENDER), (CLIENTS, "n1"), (SENDER, "n1")}
    everything = pairs_of(Step(1, "part", "n1", side=ALL), names)
    assert {pair[1] for pair in everything} == set(names)
    assert len(everything) == 8


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
    assert parse_faults("all", hosts=True) == HOST_FAULTS
    assert parse_faults("part,kill", hosts=True) == ("kill", "part")
    assert parse_faults("all", store=CLUSTER) == CLUSTER_FAULTS
    assert parse_faults("master-kill,kill", store=SENTINEL) == ("kill", "master-kill")
    with pytest.raises(ValueError, match="'cut' is not one of kill"):
        parse_faults("cut", hosts=True)
    with pytest.raises(ValueError, match="'redis-hang' is not one of kill"):
        parse_faults("redis-hang", store=CLUSTER)
    with pytest.raises(ValueError, match="'slot-move' is not one of kill"):
        parse_faults("slot-move", store=SENTINEL)
    with pytest.raises(ValueError, match="'master-kill' is not one of kill"):
        parse_faults("master-kill")
    with pytest.raises(ValueError, match="'fire' is not one of kill, pause"):
        parse_faults("fire")
