"""What thousands of real WebSockets cost one node, and how soon they are back when it is killed."""

import asyncio
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from scripts.benchmark.scale.rows import Row, once
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.children import Child, Children, python
from scripts.measuring.cluster import free_ports, start_node
from scripts.measuring.http import OK, get
from scripts.measuring.peer import STORE_URL
from scripts.measuring.store import Store, Stores

SOCKETS: Final = 15_000
QUICK_SOCKETS: Final = 3_000
AIM_KIB: Final = 20.0
_NODES: Final = 3
_AT_ONCE: Final = 64
_RATE: Final = 100.0
_RECEIVERS: Final = 20
_HTTP_CONNECTIONS: Final = 1_000
_FILES_BESIDE: Final = 500
_CONNECT_S: Final = 300.0
_QUIET_S: Final = 30.0
_IDLE_S: Final = 10.0
_BACK_S: Final = 180.0
_LOOK_S: Final = 0.1


class Place(Protocol):
    """What is needed of a run."""

    @property
    def children(self) -> Children:
        """Return the owner of processes."""

    @property
    def stores(self) -> Stores:
        """Return the owner of stores."""

    @property
    def tell(self) -> Callable[[str, float], None]:
        """Return what shows how far this is."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds, in KiB.

    Args:
        rss: all of it.
        own: what no other process shares.
    """

    rss: int
    own: int


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who takes part.

    Args:
        nodes: the first one gets all the sockets; `ports` in the same order.
        crowd: holds them.
        directed: sends meanwhile.
    """

    nodes: list[Child]
    ports: list[int]
    crowd: Child
    directed: Child


async def probe(stage: Stage) -> list[Row]:
    """Measure as many as the options want."""
    stage.facts["sockets"] = QUICK_SOCKETS if stage.options.quick else SOCKETS
    return await measure(stage, stage.facts["sockets"])


async def measure(stage: Place, sockets: int = SOCKETS) -> list[Row]:
    """Open so many sockets on one node, leave them alone, and kill the node.

    Args:
        stage: owns what is started; all of it ends here.
        sockets: at most; fewer where this process may not open so many files.

    Raises:
        ChildFailed: a process ended, or not all sockets were opened, or came back, in time.
    """
    count = min(sockets, _files() - _HTTP_CONNECTIONS - _FILES_BESIDE)
    store = stage.stores.start("sockets")
    started: list[Child] = []
    try:
        cast = await _start(stage, store, count, started)
        rows = await _connect(stage, cast, count)
        return rows + await _lose(stage, cast, count)
    finally:
        await stage.children.stop(started)
        stage.stores.stop(store)


async def _start(stage: Place, store: Store, count: int, started: list[Child]) -> _Cast:
    env = {
        STORE_URL: store.url,
        "SWITCHBOARD_LIMITS__SESSIONS": str(count + _RECEIVERS),
        "SWITCHBOARD_LIMITS__HTTP_CONNECTIONS": str(_HTTP_CONNECTIONS),
    }
    # The first takes them as fast as it can; the others as fast as is usual.
    usual = {**env, "SWITCHBOARD_LIMITS__HANDSHAKES_PER_SECOND": "500"}
    ports = free_ports(_NODES)
    for number, port in enumerate(ports):
        name = f"s{number + 1}"
        stage.tell(f"starting {name}", 0.0)
        limits = usual if number else env
        started.append(await start_node(stage.children, f"sockets-{name}", name, port, limits))
    nodes = list(started)
    for label, module in (("crowd", "idle_clients"), ("directed", "directed")):
        command = python(f"scripts.benchmark.scale.{module}")
        started.append(
            await stage.children.start(f"sockets-{label}", command, {STORE_URL: store.url}, True)
        )
    return _Cast(nodes, ports, *started[_NODES:])


async def _connect(stage: Place, cast: _Cast, count: int) -> list[Row]:
    """Open all of them on the first node, while it delivers; then let it deliver alone."""
    node, size = cast.nodes[0], f"{count:,} sockets"
    await cast.directed.ask("connect", port=cast.ports[0], users=_RECEIVERS)
    before = await _at_rest(node)
    stage.tell(f"{size} connect", 0.1)
    await cast.directed.ask("start", rate=_RATE)
    opened = await cast.crowd.ask(
        "connect", _CONNECT_S, count=count, ports=cast.ports[:1], at_once=_AT_ONCE
    )
    busy = await cast.directed.ask("stop")
    stage.tell("they are left alone", 0.4)
    after = await _at_rest(node)
    await cast.directed.ask("start", rate=_RATE)
    await asyncio.sleep(_IDLE_S)
    quiet = await cast.directed.ask("stop")
    own = (after.own - before.own) / count
    return [
        Row(
            "node memory per idle WebSocket",
            once((after.rss - before.rss) / count),
            "KiB",
            AIM_KIB,
            size,
            f"resident; {own:.2f} KiB of it are the process's own; the kernel's buffers apart",
            digits=2,
        ),
        Row(
            "WebSockets opened per second",
            once(count / opened["took_s"]),
            "1/s",
            size=size,
            note=f"{_AT_ONCE} under way, limits.handshakes_per_second out of the way (usual: 500)",
            digits=0,
        ),
        *_latency("while they connect", busy, size),
        *_latency("while they are idle", quiet, size),
    ]


def _latency(when: str, found: dict[str, Any], size: str) -> list[Row]:
    sent = f"{found['sent']:,} messages, {_RATE:g} a second, {found['missing']} missing"
    return [
        Row(f"p50 of directed delivery {when}", once(found["p50_ms"]), "ms", size=size, digits=2),
        Row(
            f"p99 of directed delivery {when}",
            once(found["p99_ms"]),
            "ms",
            size=size,
            note=f"{sent}; the longest took {found['max_ms']:.1f} ms",
            digits=2,
        ),
    ]


async def _lose(stage: Place, cast: _Cast, count: int) -> list[Row]:
    """Kill the node; wait until all are on the others, and until the registry says so."""
    left = cast.ports[1:]
    stage.tell("their node is killed", 0.6)
    await cast.crowd.ask("move", ports=left)
    killed_ns = time.monotonic_ns()
    cast.nodes[0].signal(signal.SIGKILL)
    await cast.nodes[0].ended()
    back = await cast.crowd.ask("back", _BACK_S)
    stage.tell("all are back", 0.9)
    lost = sum(back["lost"].values())
    if lost < count or back["given_up"]:
        raise cast.crowd.failure(f"{lost} sessions were lost, {back['given_up']} for good")
    try:
        async with asyncio.timeout(_BACK_S):
            while await _registered(left[0]) != count:
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as exc:
        raise cast.nodes[1].failure("the registry does not show all of them") from exc
    told_ns = time.monotonic_ns()
    size = f"{count:,} sockets"
    waits = f"{back['refused']:,} handshakes were told to come later"
    if lost > count:
        waits += f", {lost - count} sessions lost once more (by close code: {back['lost']})"
    return [
        Row(
            "time until all are back after their node was killed",
            once((back["at_ns"] - killed_ns) / 1e9),
            "s",
            size=size,
            note=f"on {len(left)} others, with the SDK's backoff and the usual 500 handshakes a "
            f"second each; {waits}",
        ),
        Row(
            "time until the registry shows them there, and the dead node gone",
            once((told_ns - killed_ns) / 1e9),
            "s",
            size=size,
        ),
    ]


async def _registered(port: int) -> int:
    """Return how many sessions live nodes have, as a node tells; -1 while a lost one is listed."""
    with suppress(OSError):
        status, told = await get(port, "/api/v1/nodes")
        if status == OK and all(node["state"] == "live" for node in told["nodes"]):
            return sum(int(node["sessions"]) for node in told["nodes"])
    return -1


async def _at_rest(child: Child) -> Memory:
    """Return what a process holds when that has not changed for two seconds."""
    deadline = time.monotonic() + _QUIET_S
    last = memory_of(child.pid)
    while time.monotonic() < deadline:
        await asyncio.sleep(2.0)
        now = memory_of(child.pid)
        if abs(now.rss - last.rss) <= last.rss // 1_000:
            return now
        last = now
    return last


def memory_of(pid: int) -> Memory:
    """Return what a process holds, as Linux counts it.

    Raises:
        OSError: it has ended, or this is not Linux.
    """
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, amount, *_ = line.split()
        found[name.rstrip(":")] = int(amount)
    return Memory(found["Rss"], found["Private_Clean"] + found["Private_Dirty"])


def _files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return SOCKETS * 2 if hard == resource.RLIM_INFINITY else hard
