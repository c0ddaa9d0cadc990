"""From measured constants to the tables of docs/scaling.md."""

from pathlib import Path
from typing import Final

import pytest

from scripts.benchmark.scale.paper import filled, newest, tables
from scripts.benchmark.scale.reckoning import (
    Constants,
    Pair,
    Size,
    broadcast,
    constants,
    routed,
    upkeep,
)

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
FOUND: Final = Constants(
    sessions=10_000,
    session_kib=10.0,
    user_bytes=200.0,
    refresh_us=6.0,
    heartbeat_us=10.0,
    look_us=30.0,
    routed_node_us=Pair(50.0, 400.0),
    routed_store_us=Pair(10.0, 100.0),
    heard_us=Pair(3.0, 40.0),
    copy_us=Pair(0.5, 8.0),
    routed_bytes=Pair(400.0, 900.0),
    copy_bytes=200.0,
)
MILLION: Final = Size(1_000_000, 0.6)  # 10,000 messages a second


def test_a_routed_message_costs_two_nodes_and_the_store_whatever_their_number() -> None:
    needs = routed(FOUND, MILLION)
    assert needs.nodes == 100
    assert needs.node_cores == Pair(0.005, 0.04)
    steady, looks = upkeep(FOUND, MILLION.users, 100)
    assert steady == pytest.approx((1_000_000 / 60 * 6 + 100 / 2.5 * 10) / 1e6)
    assert looks == pytest.approx(100 / 3 * 30 / 1e6)
    assert needs.store_cores.together == pytest.approx(0.1 + steady + looks)
    assert needs.bytes_per_second == Pair(4e6, 9e6)
    assert needs.shards == (1, 3)


def test_a_broadcast_message_costs_every_node_and_the_store_a_copy_for_each() -> None:
    needs = broadcast(FOUND, MILLION)
    assert needs.nodes == 100
    assert needs.node_cores == Pair(0.03, 0.4)
    assert needs.store_cores == Pair(0.5, 8.0)
    assert needs.bytes_per_second == Pair(2e8, 2e8)


def test_the_constants_are_read_from_both_results() -> None:
    figures = {
        "node memory per idle WebSocket": 9.5,
        "store memory per online user": 210.0,
        "store CPU per refresh of a session": 6.5,
        "store CPU per heartbeat of an endpoint": 9.0,
        "store CPU per look for dead nodes": 30.0,
    }
    scale = {
        "rows": [{"figure": name, "value": {"median": value}} for name, value in figures.items()],
        "facts": {"sockets": 15_000},
        "settings": {"endpoints": 64},
    }
    cells = [
        {
            "mode": mode,
            "regime": regime,
            "nodes": nodes,
            "cpu_nodes": 0.1 * nodes,
            "cpu_store": 0.01 * nodes,
            "cpu_sender": 0.2,
            "store_bytes_in": 100.0,
            "store_bytes_out": 200.0 * nodes,
        }
        for mode in ("routed", "broadcast")
        for regime in ("full", "rate")
        for nodes in (1, 16)
    ]
    found = constants(scale, {"cells": cells})
    assert (found.sessions, found.session_kib, found.look_us) == (15_000, 9.5, 30.0)
    assert found.routed_node_us.together == pytest.approx(180.0)
    assert found.heard_us.alone == pytest.approx(10.0)
    assert found.copy_us.together == pytest.approx(1.0)
    assert found.copy_bytes == pytest.approx(200.0)


def test_what_was_not_measured_is_named() -> None:
    scale = {"rows": [], "facts": {"sockets": 1}, "settings": {"endpoints": 1}}
    with pytest.raises(LookupError):
        constants(scale, {"cells": []})


def test_the_tables_have_a_row_for_each_cluster_and_kind() -> None:
    found = tables(FOUND)
    text = found["sizes"]
    assert text.count("| routed |") == text.count("| broadcast |") == 6
    assert "| 1,000,000 | 1 | 16,667 | 100 | routed | 0.83 - 6.7 % |" in text
    assert "| 100,000,000 | 10,000 | 20.0 GB |" in found["upkeep"]


def test_the_page_has_what_is_reckoned_from_the_results_beside_it() -> None:
    page = (DOCS / "scaling.md").read_text(encoding="utf-8")
    assert filled(page, tables(newest(DOCS / "figures"))) == page


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(LookupError, match="0 places for upkeep"):
        filled("", {"upkeep": "| |"})
