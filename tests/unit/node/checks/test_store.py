"""Stores that will not do, keep nothing, or answer late: real ones, configured badly."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from node.checks import store as checks
from node.checks.finding import Finding, Level
from router.keys import Keys
from router.settings import RedisSettings
from router.store.modes import make_connector, make_store
from router.store.store import Store
from tests.support.findings import level_of
from tests.support.valkey import ValkeyServer, plain_client, wheel_program
from tests.support.waiting import eventually

_FILL: Final = "x" * 1_000_000


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return what starts a server with options of its own."""
    with ExitStack() as stack:

        def started(**options: Any) -> ValkeyServer:
            folder: Path = tmp_path_factory.mktemp("s")
            server = ValkeyServer(wheel_program(), folder)
            stack.callback(server.stop)
            server.start(**options)
            return server

        yield started


@asynccontextmanager
async def opened(redis: RedisSettings) -> AsyncIterator[Store]:
    way = make_store(make_connector(redis.url, redis), "test")
    await way.open()
    try:
        yield way
    finally:
        await way.close()


async def look(url: str) -> list[Finding]:
    redis = RedisSettings(url=url)
    async with opened(redis) as way:
        return [finding async for finding in checks.everything(way, Keys("t"), redis)]


async def test_a_good_one_is_well_in_every_way(start: Any) -> None:
    server = start(appendonly="yes", maxmemory="100mb")
    found = await look(server.url)
    assert [finding for finding in found if finding.level is not Level.OK] == []
    assert [finding.check for finding in found] == [
        *("store version", "store role", "store eviction", "store memory", "store persistence"),
        *("store connections", "store rights", "store latency", "store clock"),
    ]


async def test_one_that_throws_things_away_fails(start: Any) -> None:
    server = start(maxmemory_policy="allkeys-lru")
    found = await look(server.url)
    assert level_of(found, "store eviction") is Level.FAIL
    assert level_of(found, "store memory") is Level.WARN  # no limit
    assert level_of(found, "store persistence") is Level.WARN  # appendonly is off


async def test_one_that_is_nearly_full_is_told_of(start: Any) -> None:
    server = start(maxmemory="12mb")
    with plain_client(server.url) as client:
        for number in range(9):
            client.set(f"k{number}", _FILL)
    found = await look(server.url)
    assert level_of(found, "store memory") is Level.WARN
    assert "% of maxmemory are used; senders" in next(
        f.says for f in found if f.check == "store memory"
    )


async def test_one_with_few_connections_left_is_told_of(start: Any) -> None:
    server = start(maxclients="10")
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(plain_client(server.url)).ping()
        assert level_of(await look(server.url), "store connections") is Level.WARN


async def test_one_that_cannot_save_fails(start: Any) -> None:
    server = start()
    with plain_client(server.tcp_url) as client:
        folder = server.socket.parent
        kept = folder.with_name(folder.name + "-moved")
        folder.rename(kept)  # the server stays in it; a file of it has no place any more
        shutil.rmtree(kept)
        client.bgsave()

        def failed() -> bool:
            told: Any = client.info("persistence")
            return bool(told["rdb_last_bgsave_status"] == "err")

        await eventually(failed)
        tcp = server.tcp_url
    assert level_of(await look(tcp), "store snapshots") is Level.FAIL


async def test_a_replica_fails(start: Any) -> None:
    master = start()
    replica = start(replicaof=f"127.0.0.1 {master.port}")
    found = await look(replica.url)
    assert level_of(found, "store role") is Level.FAIL
    assert level_of(found, "store rights") is Level.FAIL  # READONLY
    assert level_of(await look(master.url), "store role") is Level.OK


async def test_a_cluster_fails(start: Any) -> None:
    server = start(cluster_enabled="yes", cluster_config_file="nodes.conf")
    assert level_of(await look(server.url), "store role") is Level.FAIL


async def test_a_user_without_a_right_fails_and_the_right_is_named(start: Any) -> None:
    server = start()
    with plain_client(server.url) as client:
        ask: Any = client.execute_command
        ask("ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", "-blmove", "-zadd")
    found = await look(f"redis://weak:pw@127.0.0.1:{server.port}")
    assert level_of(found, "store rights") is Level.FAIL
    told = " ".join(finding.says for finding in found if finding.check == "store rights").lower()
    assert "blmove" in told
    assert "zadd" in told


@pytest.mark.parametrize(
    ("info", "level"),
    [
        (b"redis_version:6.2.9\r\n", Level.FAIL),
        (b"redis_version:what\r\n", Level.FAIL),
        (b"", Level.FAIL),
        (b"redis_version:7.0.0\r\n", Level.OK),
        (b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n", Level.OK),
    ],
)
def test_an_old_program_fails(info: bytes, level: Level) -> None:
    assert level_of(checks.version(info), "store version") is level


def test_an_append_only_file_that_cannot_be_written_fails() -> None:
    told = {"aof_enabled": "1", "aof_last_write_status": "err"}
    assert level_of(checks.persistence(told), "store persistence") is Level.FAIL


@pytest.mark.parametrize(("ms", "level"), [(0.2, "ok"), (20.0, "warn"), (400.0, "fail")])
def test_late_answers_are_told_of(ms: float, level: str) -> None:
    assert level_of(checks.latency([ms, ms, 9 * ms]), "store latency") is Level(level)


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(0.1, "ok"), (-0.1, "ok"), (2.0, "warn"), (-30.0, "fail")]
)
def test_clocks_that_differ_are_told_of(ahead_s: float, level: str) -> None:
    assert level_of(checks.clock(ahead_s), "store clock") is Level(level)
