"""The store: whether it will do, keeps what it is given, and answers soon."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

from hiredis import ReplyError

from node.checks.finding import Finding, fail, ok, warn
from router.errors import StoreRefused, SwitchboardError
from router.keys import Keys
from router.settings import EMBEDDED, RedisSettings
from router.store.connect import check_version
from router.store.resp import keyless, pack
from router.store.rights import rights_probe
from router.store.store import Store

_LOOKS: Final = 21
_SLOW_MS: Final = 5.0
_TOO_SLOW_MS: Final = 250.0
_CLOCK_S: Final = 0.5
_WRONG_CLOCK_S: Final = 10.0
_NEARLY: Final = 0.8
Info = Mapping[str, str]


def fields(info: bytes) -> dict[str, str]:
    """Return the reply to INFO as field -> value."""
    lines = info.decode("utf-8", "replace").split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def version(info: bytes) -> Iterator[Finding]:
    """Look at the program and its version."""
    told = fields(info)
    name = told.get("server_name", "redis").capitalize()
    number = told.get(f"{told.get('server_name', 'redis')}_version", told.get("redis_version", "?"))
    try:
        check_version(info)
    except (StoreRefused, ValueError):
        yield fail(
            "store version", f"it is {name} {number}", "Redis 7.0 is the oldest that will do"
        )
    else:
        yield ok("store version", f"{name} {number}")


def kind(info: Info, mode: str = "single") -> Iterator[Finding]:
    """Find stores that a node cannot work with.

    Args:
        info: what it says of itself.
        mode: `redis.mode`.
    """
    if info.get("role") != "master":
        mend = "name its master in redis.url"
        yield fail("store role", "it is a replica, and takes no writes", mend)
    elif info.get("cluster_enabled") == "1" and mode != "cluster":
        mend = 'set redis.mode = "cluster"'
        yield fail("store role", "it is part of a Redis Cluster", mend)
    else:
        replicas = info.get("connected_slaves", "0")
        what = "a master of a Cluster" if mode == "cluster" else "a single master"
        yield ok("store role", f"{what} with {replicas} replicas")


def memory(info: Info) -> Iterator[Finding]:
    """Look at what happens when the store is full, and how near that is."""
    policy, limit = info.get("maxmemory_policy", "?"), int(info.get("maxmemory", "0"))
    used = int(info.get("used_memory", "0"))
    if policy != "noeviction":
        mend = "CONFIG SET maxmemory-policy noeviction, and the same in its config file"
        says = f"maxmemory-policy is {policy}: when it is full it throws messages and routes away"
        yield fail("store eviction", says, mend)
    else:
        yield ok("store eviction", "noeviction: what is stored stays")
    if limit == 0:
        mend = "set maxmemory below the machine's, so that it answers busy and is not killed"
        yield warn("store memory", f"{used / 1e6:,.0f} MB are used, and there is no limit", mend)
    elif used > _NEARLY * limit:
        mend = "raise maxmemory, or lower mailbox.ttl_s or mailbox.max_bytes"
        says = f"{100 * used / limit:.0f} % of maxmemory are used; senders are told busy at 100 %"
        yield warn("store memory", says, mend)
    else:
        yield ok("store memory", f"{100 * used / limit:.0f} % of maxmemory are used")


def persistence(info: Info) -> Iterator[Finding]:
    """Compare what is kept over a restart with what durable messages promise."""
    if "err" in (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status")):
        mend = "see its log: mostly the disk is full or read-only"
        yield fail("store persistence", "it could not write its append-only file", mend)
    elif info.get("aof_enabled") != "1":
        mend = "CONFIG SET appendonly yes, and the same in its config file"
        says = "appendonly is off: a restart of the store loses durable messages"
        yield warn("store persistence", says, mend)
    else:
        yield ok("store persistence", "appendonly is on")
    if info.get("rdb_last_bgsave_status") == "err":
        mend = "see its log; by default it refuses writes until a save succeeds (MISCONF)"
        yield fail("store snapshots", "the last one failed", mend)


def clients(info: Info) -> Iterator[Finding]:
    """Look at how many connections it takes."""
    here, most = int(info.get("connected_clients", "0")), int(info.get("maxclients", "0"))
    if most and here > _NEARLY * most:
        mend = "raise maxclients; a node has about five connections"
        yield warn("store connections", f"{here:,} of at most {most:,}", mend)
    else:
        yield ok("store connections", f"{here:,} of at most {most:,}")


def latency(round_trips_ms: list[float]) -> Iterator[Finding]:
    """Look at how long answers take."""
    median = statistics.median(round_trips_ms)
    told = f"{median:.2f} ms to an answer, {max(round_trips_ms):.2f} ms at worst"
    mend = "put nodes and store near each other; look for slow commands with SLOWLOG GET"
    if median > _TOO_SLOW_MS:
        yield fail("store latency", told, mend)
    elif median > _SLOW_MS:
        yield warn("store latency", told, mend)
    else:
        yield ok("store latency", told)


def clock(ahead_s: float) -> Iterator[Finding]:
    """Compare the store's clock with ours.

    Args:
        ahead_s: how far ours is ahead of it.
    """
    says = f"this machine is {abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'behind'}"
    mend = "let both run NTP (timedatectl set-ntp true): tokens and latencies go by it"
    if abs(ahead_s) > _WRONG_CLOCK_S:
        yield fail("store clock", says, mend)
    elif abs(ahead_s) > _CLOCK_S:
        yield warn("store clock", says, mend)
    else:
        yield ok("store clock", "the same as this machine's")


async def rights(store: Store, keys: Keys) -> AsyncIterator[Finding]:
    """Try every kind of command that a node needs."""
    replies = await store.ask(rights_probe(keys))
    errors = [str(reply) for reply in replies if type(reply) is ReplyError]
    mend = "deploy/redis/users.acl has the rights that are needed"
    for error in dict.fromkeys(errors):
        yield fail("store rights", f"it refused a command: {error}", mend)
    if not errors:
        yield ok("store rights", "every command that is needed may run")


async def everything(store: Store, keys: Keys, redis: RedisSettings) -> AsyncIterator[Finding]:
    """Look at all of it.

    Args:
        store: open.
        keys: of the cluster.
        redis: where the settings say that the store is.

    Raises:
        Unavailable, StoreRefused: the store went away, or refuses to say anything.
    """
    for info in (await store.each(pack("INFO", "everything"))).values():
        told = fields(info)
        for found in (
            version(info),
            kind(told, redis.mode),
            memory(told),
            persistence(told),
            clients(told),
        ):
            for finding in found:
                if finding.check == "store memory" and redis.url == EMBEDDED and finding.mend:
                    finding = ok(finding.check, finding.says)  # noqa: PLW2901 - ours, for one machine
                yield finding
    try:
        async for finding in rights(store, keys):
            yield finding
    except SwitchboardError as exc:
        yield fail("store rights", str(exc), "see the other findings about the store")
    took_ms: list[float] = []
    ahead_s: list[tuple[float, float]] = []
    for _ in range(_LOOKS):
        began, at = time.perf_counter(), time.time()
        seconds, microseconds = await store.call(keyless("TIME"))
        took = time.perf_counter() - began
        took_ms.append(1000 * took)
        ahead_s.append((took, at + took / 2 - int(seconds) - int(microseconds) / 1e6))
        await asyncio.sleep(0)
    for found in (latency(took_ms), clock(min(ahead_s)[1])):  # the quickest answer knows it best
        for finding in found:
            yield finding
