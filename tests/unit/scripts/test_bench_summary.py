from typing import Any

import pytest

from scripts.benchmark.options import MODES, Options
from scripts.benchmark.summary import rows
from scripts.measuring.cell import (
    Cell,
    Cost,
    Flow,
    Idle,
    Ledger,
    Raw,
    cost_of,
    flow_of,
    ledger_of,
)
from scripts.measuring.meter import Reading, StoreCount
from scripts.measuring.modes import Regime
from scripts.measuring.plan import Plan
from scripts.measuring.stats import Spread

RATE = Regime(rate=500)
CLEAN = Ledger(0, 0, 0, 0, 0, 0, {})


def reading(cpu_ms: int, store: StoreCount) -> Reading:
    return Reading(cpu_ms * 1_000_000, 2_000_000 if cpu_ms else 0, 0, 0, store)


def raw(received_ns: list[int], sent_ns: list[tuple[int, int]], **found: Any) -> Raw:
    received: dict[str, Any] = {
        "at_ns": received_ns,
        "missing": 0,
        "doubled": 0,
        "misdelivered": 0,
        "stray": 0,
        "closed": [],
        **found,
    }
    before, after = reading(0, StoreCount()), reading(10, StoreCount(30, 400, 500))
    return Raw(before, after, 2.0, received, [{"sent_ns": sent_ns, "outcomes": {"written": 2}}])


def cell(mode: str, repeat: int, nodes_cpu: float, ledger: Ledger = CLEAN) -> Cell:
    cost = Cost(nodes_cpu, 1.0, 0, 0, 0, 0, 0)
    plan = Plan(1, 1, 1, 1, 100)
    return Cell(MODES[mode], 4, RATE, repeat, plan, Flow(1, 1, 1, 1), cost, ledger)


def test_flow_pairs_each_message_with_its_own_send() -> None:
    plan = Plan(1, 1, 1, 3, 100)
    sends = [(1, 1_000_000_000), (0, 2_000_000_000), (2, 2_500_000_000)]
    flow, delivered = flow_of(plan, raw([2_002_000_000, 1_001_000_000, 0], sends))
    assert delivered == 2
    assert (flow.p50_ms, flow.p99_ms) == (1.0, 2.0)
    assert flow.per_second == pytest.approx(2 / 1.002)


def test_cost_is_per_ten_thousand_and_the_stores_counts_per_message() -> None:
    idle = Idle("routed", 4, 0, 0, 0, commands=5.0, bytes_in=0.0, bytes_out=50.0)
    cost = cost_of(raw([], []), 10, idle)
    assert cost.cpu_nodes == pytest.approx(10.0)  # 10 ms for 10 messages
    assert cost.cpu_store == pytest.approx(2.0)
    assert (cost.store_commands, cost.store_bytes_in, cost.store_bytes_out) == (2.0, 40.0, 40.0)


def test_a_ledger_names_every_fault_and_every_other_outcome() -> None:
    found = raw([], [], missing=1, misdelivered=3, closed=["u1"])
    assert ledger_of(found).faults("delivered") == [
        "1 lost",
        "3 misdelivered",
        "1 connections closed",
        "2 told 'written'",
    ]
    assert ledger_of(raw([], [])).faults("written") == []


def test_ratios_compare_the_same_repeat() -> None:
    cells = [
        *(cell("channel", repeat, cpu) for repeat, cpu in enumerate((3.0, 7.0, 1.0))),
        *(cell("accepted", repeat, cpu) for repeat, cpu in enumerate((1.0, 3.0, 2.0))),
    ]
    options = Options(nodes=(4,), repeats=3)
    channel, accepted = rows(options, cells)
    assert channel.ratio == Spread(1.0, 1.0, 1.0)
    assert channel.met is None
    assert accepted.ratio == Spread(0.5, 0.5, 1.5)
    assert accepted.aim == 0.85
    assert accepted.met is True
    assert accepted.ratio_one_by_one is None


def test_no_ratio_without_a_yardstick() -> None:
    (row,) = rows(Options(nodes=(4,)), [cell("accepted", 0, 1.0)])
    assert row.ratio is None
    assert row.met is None
