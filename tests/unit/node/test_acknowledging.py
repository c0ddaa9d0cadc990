"""Acknowledgements reach the mailbox: few commands, none lost, none twice."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from node import acknowledging as acknowledging_module
from node.acknowledging import Acknowledging
from router.keys import Keys
from router.model import Offset, UserId
from router.settings import MailboxSettings, RedisSettings
from router.store import scripts
from router.store.answers import Answered
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.mailbox import Mailbox
from router.store.modes import make_store
from router.store.resp import Command
from router.store.store import Store
from tests.support.cluster import plain_redis
from tests.support.logs import Logs
from tests.support.proxy import Fault, Proxy
from tests.support.valkey import ValkeyServer, running, wheel_program
from tests.support.waiting import eventually

ALICE, BOB = UserId("alice"), UserId("bob")
ACK_SHA = scripts.ACK.sha.encode()


class World:
    """Acknowledgements on their way, and what the store has heard of them."""

    def __init__(self, way: Store, redis: Any, keys: Keys) -> None:
        self.way = way
        self.redis = redis
        self.keys = keys
        self.acknowledging = Acknowledging(way, Mailbox(way, keys, MailboxSettings()))
        self.sent: list[int] = []
        send = way.send

        def counted(commands: Sequence[Command], done: Answered, replicas: int = 0) -> None:
            self.sent.append(len(commands))
            send(commands, done, replicas)

        way.send = counted  # type: ignore[method-assign]

    def add(self, number: int, user: UserId = ALICE, device: str = "web") -> None:
        self.acknowledging.add(user, device, at(number))

    async def cursor(self, user: UserId = ALICE, device: str = "web") -> str | None:
        value = await self.redis.hget(self.keys.cursors(user), device)
        return None if value is None else value.decode().split()[0]

    async def reaches(self, number: int, user: UserId = ALICE, device: str = "web") -> None:
        async def so() -> bool:
            return await self.cursor(user, device) == str(at(number))

        await eventually(so)


def at(number: int) -> Offset:
    return Offset(1_000 + number, 0)


@contextlib.asynccontextmanager
async def opened(url: str, direct: str, prefix: str) -> AsyncIterator[World]:
    """Acknowledge at one address, look at another."""
    way = make_store(Connector(url, RedisSettings()), "test")
    await way.open()
    redis = plain_redis(direct)
    try:
        yield World(way, redis, Keys(prefix))
    finally:
        await way.close()
        await redis.aclose()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledging_module, "_RETRY_S", 0.05)
    monkeypatch.setattr("router.store.link._FIRST_PAUSE_S", 0.05)


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str, logs: Logs) -> AsyncIterator[World]:
    async with opened(store.address.url, store.address.url, prefix) as found:
        yield found


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(store.address.socket, store.address.login) as found:
        yield found


@pytest.fixture
async def shaky_world(store: EmbeddedServer, prefix: str, proxy: Proxy) -> AsyncIterator[World]:
    async with opened(proxy.url, store.address.url, prefix) as found:
        yield found


async def test_the_last_of_many_counts_and_one_command_tells_it(world: World) -> None:
    for number in range(1, 101):
        world.add(number)
    await world.reaches(100)
    assert world.sent == [1]


async def test_an_earlier_one_that_comes_later_changes_nothing(world: World) -> None:
    world.add(5)
    world.add(3)
    await world.reaches(5)


async def test_each_device_has_its_own_cursor_and_all_travel_together(world: World) -> None:
    world.add(1, ALICE, "web")
    world.add(2, ALICE, "phone")
    world.add(3, BOB, "web")
    await world.reaches(3, BOB, "web")
    assert await world.cursor(ALICE, "web") == str(at(1))
    assert await world.cursor(ALICE, "phone") == str(at(2))
    assert world.sent == [3]


async def test_very_many_travel_in_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledging_module, "_SLICE", 10)
    for number in range(35):
        world.add(number, UserId(f"u{number}"))
    await world.reaches(34, UserId("u34"))
    assert world.sent == [10, 10, 10, 5]
    for number in range(35):
        assert await world.cursor(UserId(f"u{number}")) == str(at(number))


async def test_those_that_come_while_others_are_under_way_follow(world: World) -> None:
    world.add(1)
    await eventually(lambda: world.sent)
    world.add(2)
    world.add(3, BOB)
    await world.reaches(2)
    await world.reaches(3, BOB)


# ---- when the store is away ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
async def test_what_got_no_reply_is_told_again(
    shaky_world: World, proxy: Proxy, fault: Fault
) -> None:
    lost = proxy.when(ACK_SHA, fault)
    shaky_world.add(1)
    await lost.wait()
    await shaky_world.reaches(1)


async def test_what_came_meanwhile_wins_over_what_is_told_again(
    shaky_world: World, proxy: Proxy
) -> None:
    lost = proxy.when(ACK_SHA, Fault.LOSE_COMMAND)
    shaky_world.add(1)
    await lost.wait()
    shaky_world.add(7)
    await shaky_world.reaches(7)


async def test_while_the_store_is_away_the_last_of_each_device_is_kept(
    shaky_world: World, proxy: Proxy
) -> None:
    await proxy.refuse()
    await eventually(lambda: not shaky_world.way.up)
    for number in range(50):
        shaky_world.add(number)
    await proxy.accept()
    await shaky_world.reaches(49)


async def test_a_script_the_store_has_forgotten_is_loaded_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, logs: Logs
) -> None:
    with running(wheel_program(), tmp_path_factory.mktemp("s")) as server:
        async with opened(server.url, server.url, prefix) as world:
            await world.redis.script_flush()
            world.add(1)
            await world.reaches(1)
            assert not logs.events("acknowledgements were refused")
    assert isinstance(server, ValkeyServer)


async def test_one_that_is_refused_keeps_no_other_from_its_mailbox(
    world: World, logs: Logs
) -> None:
    await world.redis.set(world.keys.cursors(BOB), "not a hash")
    world.add(1, ALICE)
    world.add(1, BOB)
    await world.reaches(1, ALICE)
    await eventually(lambda: logs.events("acknowledgements were refused"))
    world.add(2, ALICE)
    await world.reaches(2, ALICE)
    await world.redis.delete(world.keys.cursors(BOB))
    await world.reaches(1, BOB)


async def test_what_was_taken_is_not_told_again_with_what_was_refused(world: World) -> None:
    await world.redis.set(world.keys.cursors(BOB), "not a hash")
    for device in ("web", "phone", "tv"):
        world.add(1, ALICE, device)
    world.add(1, BOB)
    await eventually(lambda: len(world.sent) > 2)
    assert world.sent[:3] == [4, 1, 1]


# ---- the end ------------------------------------------------------------------------------------


async def test_finishing_tells_the_store_at_once(world: World) -> None:
    world.add(1)
    await world.acknowledging.finish(5.0)
    assert await world.cursor() == str(at(1))


async def test_finishing_waits_for_what_is_under_way_and_what_is_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledging_module, "_SLICE", 10)
    for number in range(25):
        world.add(1, UserId(f"u{number}"))
    await world.acknowledging.finish(5.0)
    for number in range(25):
        assert await world.cursor(UserId(f"u{number}")) == str(at(1))


async def test_finishing_does_not_wait_for_a_store_that_is_away(
    shaky_world: World, proxy: Proxy
) -> None:
    await proxy.refuse()
    await eventually(lambda: not shaky_world.way.up)
    shaky_world.add(1)
    await shaky_world.acknowledging.finish(60.0)
    await proxy.accept()


async def test_finishing_with_nothing_to_tell_tells_nothing(world: World) -> None:
    await world.acknowledging.finish(60.0)
    assert world.sent == []
