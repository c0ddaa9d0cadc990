"""The proxy breaks exactly what it is told to break: other tests rely on it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from router.errors import Unavailable
from router.settings import RedisSettings
from router.store.answers import ReplyLost
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.modes import make_store
from router.store.resp import NO_REPLY, keyless, pack
from router.store.store import Store
from tests.support.proxy import Fault, Proxy, Way, value_end
from tests.support.valkey import plain_client
from tests.support.waiting import eventually

VALUES = st.recursive(
    st.sampled_from([b"+OK\r\n", b":7\r\n", b"_\r\n", b"$-1\r\n", b",1.5\r\n", b"#t\r\n"])
    | st.binary(max_size=9).map(lambda data: b"$%d\r\n%b\r\n" % (len(data), data)),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: b"*%d\r\n" % len(items) + b"".join(items))
        | st.lists(inner, min_size=2, max_size=2).map(lambda pair: b"%1\r\n" + b"".join(pair))
    ),
    max_leaves=8,
)


@given(VALUES, st.binary(max_size=5))
@settings(deadline=None)
def test_the_end_of_a_value_is_found_wherever_its_bytes_are_cut(value: bytes, more: bytes) -> None:
    assert value_end(value + more, 0) == len(value)
    assert all(value_end(value[:cut], 0) == -1 for cut in range(1, len(value)))


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(store.address.socket, store.address.password) as between:
        yield between


@pytest.fixture
async def way(proxy: Proxy) -> AsyncIterator[Store]:
    found = make_store(Connector(proxy.url, RedisSettings()), "test")
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def redis(store: EmbeddedServer) -> "Redis":
    return plain_client(store.address.url)


@pytest.mark.parametrize(("fault", "ran"), [(Fault.LOSE_REPLY, b"1"), (Fault.LOSE_COMMAND, None)])
async def test_what_is_lost_is_the_command_or_its_reply_and_what_came_before_is_not(
    proxy: Proxy, way: Store, redis: Redis, prefix: str, fault: Fault, ran: bytes | None
) -> None:
    sprung = proxy.when(b"INCR", fault)
    before = asyncio.create_task(way.command("ECHO", "before"))
    lost = asyncio.create_task(way.command("INCR", prefix))
    after = asyncio.create_task(way.command("SET", f"{prefix}-after", 1))
    assert await before == b"before"
    for task in (lost, after):
        with pytest.raises(ReplyLost):
            await task
    assert sprung.is_set()
    assert (redis.get(prefix), redis.get(f"{prefix}-after")) == (ran, None)
    redis.delete(prefix)
    redis.close()


async def test_of_a_torn_reply_a_half_arrives(
    proxy: Proxy, way: Store, redis: Redis, prefix: str
) -> None:
    proxy.when(b"INCR", Fault.TEAR_REPLY)
    before = asyncio.create_task(way.command("ECHO", "before"))
    torn = asyncio.create_task(way.command("INCR", prefix))
    assert await before == b"before"
    with pytest.raises(ReplyLost):
        await torn
    assert redis.get(prefix) == b"1"
    redis.delete(prefix)
    redis.close()


async def test_an_error_in_the_stores_place_stands_where_the_reply_would(
    proxy: Proxy, way: Store, redis: Redis, prefix: str
) -> None:
    proxy.answer(b"INCR", "BUSY with something", times=2)
    skipped = NO_REPLY + pack("INCR", prefix)  # takes the first error, and nobody hears it
    data = skipped + pack("ECHO", "a") + pack("INCR", prefix) + pack("ECHO", "b")
    first, error, last = await way.link_of("").ask(data, 3)
    assert (first, str(error), last) == (b"a", "BUSY with something", b"b")
    assert redis.get(prefix) is None
    assert await way.command("INCR", prefix) == 1
    redis.delete(prefix)
    redis.close()


async def test_an_error_may_be_answered_until_all_is_well(
    proxy: Proxy, way: Store, prefix: str
) -> None:
    proxy.answer(b"ECHO", "BUSY", times=-1)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await way.command("ECHO", "a")
    proxy.heal()
    assert await way.command("ECHO", "a") == b"a"


async def test_commands_without_a_reply_do_not_confuse_it(
    proxy: Proxy, way: Store, redis: Redis, prefix: str
) -> None:
    way.link_of("").write(pack("SUBSCRIBE", prefix))
    way.link_of("").write(NO_REPLY + pack("INCR", prefix))
    proxy.when(b"APPEND", Fault.LOSE_REPLY)
    before = asyncio.create_task(way.command("ECHO", "before"))
    lost = asyncio.create_task(way.command("APPEND", prefix, "0"))
    assert await before == b"before"
    with pytest.raises(ReplyLost):
        await lost
    assert redis.get(prefix) == b"10"
    redis.delete(prefix)
    redis.close()


async def test_a_command_without_a_reply_may_be_the_last_that_runs(
    proxy: Proxy, way: Store, redis: Redis, prefix: str
) -> None:
    sprung = proxy.when(b"INCR", Fault.LOSE_REPLY)
    way.link_of("").write(NO_REPLY + pack("INCR", prefix))
    await sprung.wait()
    await eventually(lambda: redis.get(prefix) == b"1")
    await eventually(lambda: proxy.connections >= 2)
    redis.delete(prefix)
    redis.close()


async def test_the_nth_command_is_the_nth(proxy: Proxy, way: Store, prefix: str) -> None:
    proxy.when(b"ECHO", Fault.LOSE_COMMAND, nth=3)
    assert [await way.command("ECHO", "x") for _ in range(2)] == [b"x", b"x"]
    with pytest.raises(ReplyLost):
        await way.command("ECHO", "x")


async def test_a_black_hole_gives_back_what_it_held(proxy: Proxy, way: Store) -> None:
    proxy.hold(Way.TO_CLIENT)
    asked = [asyncio.create_task(way.command("ECHO", str(number))) for number in range(5)]
    await asyncio.wait(asked, timeout=0.05)
    assert not any(task.done() for task in asked)
    proxy.heal()
    assert await asyncio.gather(*asked) == [b"0", b"1", b"2", b"3", b"4"]


async def test_only_the_connection_that_hangs_is_reset_when_only_that_is_wanted(
    proxy: Proxy, way: Store
) -> None:
    other = make_store(Connector(proxy.url, RedisSettings()), "other")
    await other.open()
    proxy.when(b"hang", Fault.HANG)
    hangs = asyncio.create_task(way.command("ECHO", "hang"))
    await asyncio.wait([hangs], timeout=0.05)
    proxy.reset_hung()
    with pytest.raises(ReplyLost):
        await hangs
    assert await other.call(keyless("PING")) == b"PONG"
    assert other.up
    await other.close()
