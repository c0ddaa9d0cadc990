"""The part of the scale bench with real sockets, with few of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.benchmark.scale import sockets
from scripts.benchmark.scale.sockets import memory_of
from scripts.measuring.children import Children
from scripts.measuring.store import Stores

SOCKETS = 200


@dataclass(frozen=True, slots=True)
class Stage:
    children: Children
    stores: Stores
    tell: Callable[[str, float], None]


async def test_every_figure_is_measured_and_everything_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_IDLE_S", 1.0)
    monkeypatch.setenv("SWITCHBOARD_LEASE__TTL_S", "2")
    monkeypatch.setenv("SWITCHBOARD_LEASE__HEARTBEAT_S", "0.4")
    told: list[str] = []
    with Stores(tmp_path) as stores:
        async with Children(tmp_path) as children:
            stage = Stage(children, stores, lambda what, _: told.append(what))
            rows = await sockets.measure(stage, SOCKETS)
            assert (children._all, stores._running) == ([], [])
    found = {row.figure: row for row in rows}
    memory = found["node memory per idle WebSocket"]
    assert (memory.unit, memory.aim, memory.size) == ("KiB", 20.0, "200 sockets")
    assert memory.value.median > 0.5
    assert found["WebSockets opened per second"].value.median > 1
    for when in ("while they connect", "while they are idle"):
        p50, p99 = (found[f"{which} of directed delivery {when}"] for which in ("p50", "p99"))
        assert 0 < p50.value.median <= p99.value.median
        assert "100 a second, 0 missing" in p99.note
    back = found["time until all are back after their node was killed"]
    shown = found["time until the registry shows them there, and the dead node gone"]
    assert 0 < back.value.median <= shown.value.median
    assert "their node is killed" in told


def test_the_memory_of_a_process_is_what_linux_counts() -> None:
    block = bytearray(b"x") * 64_000_000
    found = memory_of(os.getpid())
    assert found.rss >= found.own > len(block) // 1024
