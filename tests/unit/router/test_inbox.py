"""The inbox as its reader's journal: nothing goes before it is dealt with, whatever breaks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from router.codec import MAX_USERS_PER_ENVELOPE, MessageEnvelope, encode
from router.errors import Unavailable
from router.keys import Keys
from router.model import MAX_USER_CHARACTERS, Confirm, EndpointId, UserId
from router.settings import InboxSettings, RedisSettings
from router.store import inbox as inbox_module
from router.store import scripts
from router.store import wire as wire_module
from router.store.connect import Connector
from router.store.inbox import ENVELOPE_BYTES, Batch, InboxReader, Room, pack_push
from tests.support.fake_store import OK, FakeStore
from tests.support.proxy import Fault, Proxy
from tests.support.valkey import ValkeyServer, plain_client
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

ME, OTHER = EndpointId("n1.aa"), EndpointId("n1.bb")
LOST, GIVEN_UP = "store connection lost", "store connection given up"
TRIM_SHA = scripts.TRIM.sha.encode()


class Reading:
    """An inbox reader, and everything it has said."""

    def __init__(self, connector: Connector, keys: Keys, **settings: Any) -> None:
        self.batches: list[Batch] = []
        self.fenced = 0
        self.trimmed: list[bool] = []
        self.reader = InboxReader(
            connector, keys, InboxSettings(**settings), self.batches.append, self._fenced
        )

    def _fenced(self) -> None:
        self.fenced += 1

    async def next(self) -> Batch:
        """Return the next batch, and forget it."""
        await eventually(lambda: self.batches, what="a batch")
        return self.batches.pop(0)

    def deal(self, batch: Batch) -> None:
        """Give a batch back, and note whether it is known to be removed."""
        self.reader.dealt(batch, self.trimmed.append)


@asynccontextmanager
async def reading_from(connector: Connector, keys: Keys, **settings: Any) -> AsyncIterator[Reading]:
    found = Reading(connector, keys, **settings)
    await found.reader.open(ME)
    try:
        yield found
    finally:
        await found.reader.close()


@pytest.fixture
async def reading(connector: Connector, keys: Keys, opened: None) -> AsyncIterator[Reading]:
    async with reading_from(connector, keys, batch=4) as found:
        yield found


@pytest.fixture
async def shaky_reading(
    shaky: Connector, keys: Keys, opened: None, logs: StrictLogs
) -> AsyncIterator[Reading]:
    logs.expect(LOST, GIVEN_UP)
    async with reading_from(shaky, keys, batch=4, block_s=0.2) as found:
        yield found


@pytest.fixture
def opened(redis: Redis, keys: Keys) -> None:
    redis.mset({keys.open(ME): b"1", keys.open(OTHER): b"1"})


def push(redis: Redis, keys: Keys, *entries: str, endpoint: EndpointId = ME) -> None:
    redis.rpush(keys.inbox(endpoint), *entries)


def left(redis: Redis, keys: Keys, endpoint: EndpointId = ME) -> Any:
    return redis.lrange(keys.inbox(endpoint), 0, -1)


def test_a_packed_push_is_one_command_for_one_slot(keys: Keys) -> None:
    command = pack_push(keys, ME, Room(100, 2_000, 50), [b"a", b"b"])
    assert command.key in (keys.open(ME), keys.inbox(ME))
    words = command.packed.split(b"\r\n")[2::2]
    assert words[2:] == [
        b"2",
        keys.open(ME).encode(),
        keys.inbox(ME).encode(),
        b"100",
        b"2000",
        b"50",
        b"a",
        b"b",
    ]


def test_as_many_of_the_largest_envelopes_as_fit_are_not_weighed() -> None:
    settings = InboxSettings(max_length=900, max_bytes=8 * 1024 * 1024)
    room = Room.of(settings, 65_536)
    assert (room.max_length, room.max_bytes) == (900, 8 * 1024 * 1024)
    assert room.unweighed * (65_536 + ENVELOPE_BYTES) <= room.max_bytes
    assert (room.unweighed + 1) * (65_536 + ENVELOPE_BYTES) > room.max_bytes


def test_the_largest_envelope_beside_its_data_is_within_what_is_reckoned() -> None:
    many = MAX_USERS_PER_ENVELOPE
    widest = UserId("\U0001f600" * MAX_USER_CHARACTERS)
    envelope = MessageEnvelope(
        id="\U0001f600" * 128,
        sender="n" * 128,
        origin=widest,
        confirm=max(Confirm),
        hop=3,
        sent_at=1.5,
        expires_ms=2**50,
        users=[widest] * many,
        refs=[2**50] * many,
        data=b"",
    )
    assert len(encode(envelope)) <= ENVELOPE_BYTES


class TestReading:
    async def test_entries_come_in_the_order_of_the_pushes(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, *"abcdefghij")
        seen: list[bytes] = []
        while len(seen) < 10:
            batch = await reading.next()
            seen += batch.entries
            reading.deal(batch)
        assert b"".join(seen) == b"abcdefghij"

    async def test_a_batch_holds_so_many_and_no_more(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, *"abcdef")
        first = await reading.next()
        if len(first.entries) == 1:  # the peek was there before the rest
            reading.deal(first)
            first = await reading.next()
        assert len(first.entries) == 4

    async def test_what_is_pushed_later_wakes_the_reader(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        for entry in "abc":
            push(redis, keys, entry)
            batch = await reading.next()
            assert batch.entries == [entry.encode()]
            reading.deal(batch)

    async def test_the_next_batch_comes_only_after_the_last_was_dealt_with(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a")
        batch = await reading.next()
        push(redis, keys, "b")
        await rounds(50)
        assert reading.batches == []
        reading.deal(batch)
        assert (await reading.next()).entries == [b"b"]

    async def test_a_first_reading_has_nothing_read_before(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a")
        assert (await reading.next()).read_before == 0

    async def test_an_inbox_with_a_past_is_read_from_where_it_stands(
        self, connector: Connector, redis: Redis, keys: Keys, opened: None
    ) -> None:
        redis.set(keys.done(ME), 41)
        push(redis, keys, "a")
        async with reading_from(connector, keys) as reading:
            batch = await reading.next()
            assert (batch.position, batch.read_before) == (41, 0)
            reading.deal(batch)
            await eventually(lambda: redis.get(keys.done(ME)) == b"42")


class TestRemoving:
    async def test_nothing_is_removed_before_it_was_dealt_with(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a", "b")
        await reading.next()
        await rounds(50)
        assert left(redis, keys) == [b"a", b"b"]

    async def test_what_was_dealt_with_is_removed_and_counted(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a")
        reading.deal(await reading.next())
        await eventually(lambda: reading.trimmed == [True])
        assert left(redis, keys) == []
        assert redis.get(keys.done(ME)) == b"1"

    async def test_it_is_known_at_once_though_the_next_peek_blocks(
        self, connector: Connector, redis: Redis, keys: Keys, opened: None
    ) -> None:
        async with reading_from(connector, keys, block_s=60.0) as reading:
            push(redis, keys, "a")
            reading.deal(await reading.next())
            await eventually(lambda: reading.trimmed == [True])

    async def test_nobody_need_ask_whether_it_was_removed(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        for entry in "abc":
            push(redis, keys, entry)
            reading.reader.dealt(await reading.next())
        await eventually(lambda: redis.get(keys.done(ME)) == b"3")
        assert left(redis, keys) == []
        assert reading.fenced == 0

    async def test_what_came_meanwhile_stays(
        self, reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a")
        batch = await reading.next()
        push(redis, keys, "b", "c")
        reading.deal(batch)
        assert (await reading.next()).entries == [b"b", b"c"]
        assert left(redis, keys) == [b"b", b"c"]


class TestQuietInbox:
    async def test_a_peek_that_timed_out_is_followed_by_another(
        self, connector: Connector, redis: Redis, keys: Keys, opened: None
    ) -> None:
        async with reading_from(connector, keys, block_s=0.1) as reading:
            await asyncio.sleep(0.35)  # some peeks time out
            push(redis, keys, "a", "b")
            seen: list[bytes] = []
            while len(seen) < 2:
                batch = await reading.next()
                seen += batch.entries
                reading.deal(batch)
            assert seen == [b"a", b"b"]

    async def test_what_was_pushed_behind_a_peek_that_timed_out_is_not_taken_for_a_batch(
        self, keys: Keys
    ) -> None:
        async with FakeStore({b"SCRIPT": OK, b"SETNAME": OK}) as fake:
            async with reading_from(Connector(fake.url, RedisSettings()), keys) as reading:
                fake.say(b"_\r\n")  # the position
                await eventually(lambda: any(b"BLMOVE" in command for command in fake.said))
                # The head ran out of time; "b" came between the two commands, behind an "a" that
                # the range, which begins at the second place, does not show.
                fake.say(b"_\r\n*1\r\n$1\r\nb\r\n_\r\n")
                await eventually(lambda: sum(b"BLMOVE" in command for command in fake.said) == 2)
                assert reading.batches == []
                fake.say(b"$1\r\na\r\n*1\r\n$1\r\nb\r\n_\r\n")
                assert (await reading.next()).entries == [b"a", b"b"]


class TestDoubt:
    async def test_a_batch_that_was_not_dealt_with_comes_again_and_is_known(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        push(redis, keys, "a", "b")
        first = await shaky_reading.next()
        proxy.reset_all()
        again = await shaky_reading.next()
        assert again.entries[: len(first.entries)] == first.entries
        assert again.read_before == len(first.entries)
        assert again.position == first.position

    async def test_what_came_later_in_the_same_batch_is_new(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        push(redis, keys, "a")
        await shaky_reading.next()
        push(redis, keys, "b", "c")
        proxy.reset_all()
        again = await shaky_reading.next()
        assert (again.entries, again.read_before) == ([b"a", b"b", b"c"], 1)

    async def test_a_trim_whose_reply_was_lost_is_not_known_to_be_made(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        push(redis, keys, "a")
        batch = await shaky_reading.next()
        proxy.when(TRIM_SHA, Fault.LOSE_REPLY)
        shaky_reading.deal(batch)
        await eventually(lambda: shaky_reading.trimmed == [False])
        push(redis, keys, "b")
        following = await shaky_reading.next()
        assert (following.entries, following.read_before) == ([b"b"], 0)
        assert following.position == 1

    async def test_a_trim_that_was_lost_leaves_the_batch_to_come_again(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        push(redis, keys, "a")
        batch = await shaky_reading.next()
        proxy.when(TRIM_SHA, Fault.LOSE_COMMAND)
        shaky_reading.deal(batch)
        again = await shaky_reading.next()
        assert shaky_reading.trimmed == [False]
        assert (again.entries, again.read_before) == ([b"a"], 1)

    @pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
    async def test_a_trim_nobody_asked_about_is_no_different(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy, fault: Fault
    ) -> None:
        push(redis, keys, "a")
        batch = await shaky_reading.next()
        proxy.when(TRIM_SHA, fault)
        shaky_reading.reader.dealt(batch)
        await eventually(lambda: proxy.connections >= 2)
        push(redis, keys, "b")
        seen = await shaky_reading.next()
        if seen.read_before:
            assert seen.entries[0] == b"a"
            shaky_reading.reader.dealt(seen)
        await eventually(lambda: redis.get(keys.done(ME)) is not None)
        assert left(redis, keys) in ([b"b"], [])

    async def test_a_batch_of_an_earlier_connection_cannot_be_removed(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        push(redis, keys, "a")
        early = await shaky_reading.next()
        proxy.reset_all()
        again = await shaky_reading.next()
        shaky_reading.deal(early)
        shaky_reading.reader.dealt(early)
        assert shaky_reading.trimmed == [False]
        await rounds(50)
        assert left(redis, keys) == [b"a"]
        shaky_reading.deal(again)
        await eventually(lambda: shaky_reading.trimmed == [False, True])

    async def test_nothing_can_be_removed_while_the_store_is_away(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy
    ) -> None:
        push(redis, keys, "a")
        batch = await shaky_reading.next()
        await proxy.refuse()

        def refused() -> bool:
            shaky_reading.trimmed.clear()
            shaky_reading.deal(batch)
            return shaky_reading.trimmed == [False]

        await eventually(refused)
        assert left(redis, keys) == [b"a"]

    async def test_a_batch_given_up_comes_again(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, logs: StrictLogs
    ) -> None:
        push(redis, keys, "a")
        await shaky_reading.next()
        shaky_reading.reader.again("it could not be sent on")
        again = await shaky_reading.next()
        assert (again.entries, again.read_before) == ([b"a"], 1)
        assert logs.events(GIVEN_UP)[0]["reason"] == "it could not be sent on"

    async def test_a_hung_store_is_given_up_and_the_inbox_read_again(
        self,
        shaky: Connector,
        redis: Redis,
        keys: Keys,
        proxy: Proxy,
        opened: None,
        logs: StrictLogs,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        logs.expect(LOST)
        monkeypatch.setattr(wire_module, "_TICK_S", 0.05)
        monkeypatch.setattr(inbox_module, "_GRACE_S", 0.3)
        async with reading_from(shaky, keys, block_s=0.1) as reading:
            push(redis, keys, "a")
            first = await reading.next()
            proxy.hold()
            reading.deal(first)
            await eventually(lambda: reading.trimmed == [False])
            proxy.heal()
            push(redis, keys, "b")
            seen = await reading.next()
            # The held trim may have run after all: then "a" is gone, and was dealt with once.
            assert seen.entries in ([b"a", b"b"], [b"b"])
            assert seen.read_before == len(seen.entries) - 1

    async def test_a_blocking_peek_is_not_taken_for_a_hung_store(
        self,
        shaky: Connector,
        redis: Redis,
        keys: Keys,
        proxy: Proxy,
        opened: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(wire_module, "_TICK_S", 0.05)
        monkeypatch.setattr(inbox_module, "_GRACE_S", 0.4)
        async with reading_from(shaky, keys, block_s=0.3) as reading:
            await asyncio.sleep(0.9)
            push(redis, keys, "a")
            assert (await reading.next()).entries == [b"a"]
            assert proxy.connections == 1


class TestForgottenScripts:
    @pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
    async def test_the_batch_comes_again_and_is_known(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, asked: bool
    ) -> None:
        push(redis, keys, "a", "b")
        batch = await shaky_reading.next()
        redis.script_flush()
        shaky_reading.reader.dealt(batch, shaky_reading.trimmed.append if asked else None)
        again = await shaky_reading.next()
        assert again.entries[: len(batch.entries)] == batch.entries
        assert again.read_before >= len(batch.entries)
        assert again.position == batch.position
        assert shaky_reading.trimmed == [False] * asked
        shaky_reading.deal(again)
        await eventually(lambda: shaky_reading.trimmed[-1:] == [True])


class TestFenced:
    @pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
    async def test_a_fenced_endpoint_removes_nothing_and_is_told(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, asked: bool
    ) -> None:
        push(redis, keys, "a")
        batch = await shaky_reading.next()
        redis.delete(keys.open(ME))
        shaky_reading.reader.dealt(batch, shaky_reading.trimmed.append if asked else None)
        await eventually(lambda: shaky_reading.fenced)
        assert shaky_reading.trimmed == [False] * asked
        assert left(redis, keys) == [b"a"]

    async def test_an_inbox_that_was_put_aside_is_not_trimmed(
        self, shaky_reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a", "b", "c")
        batch = await shaky_reading.next()
        redis.delete(keys.open(ME))
        redis.rename(keys.inbox(ME), keys.rescued(ME))
        shaky_reading.deal(batch)
        await eventually(lambda: shaky_reading.trimmed == [False])
        assert redis.lrange(keys.rescued(ME), 0, -1) == [b"a", b"b", b"c"]

    async def test_the_next_epoch_is_read_from_its_own_beginning(
        self, shaky_reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a", "b", "c")
        await shaky_reading.next()
        push(redis, keys, "x", endpoint=OTHER)
        await shaky_reading.reader.open(OTHER)
        batch = await shaky_reading.next()
        assert (batch.entries, batch.position, batch.read_before) == ([b"x"], 0, 0)
        shaky_reading.deal(batch)
        await eventually(lambda: shaky_reading.trimmed == [True])
        assert left(redis, keys) == [b"a", b"b", b"c"]

    async def test_a_batch_of_the_epoch_before_removes_nothing_of_the_next(
        self, shaky_reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a")
        before = await shaky_reading.next()
        push(redis, keys, "x", endpoint=OTHER)
        changing = asyncio.create_task(shaky_reading.reader.open(OTHER))
        await rounds(1)
        shaky_reading.deal(before)
        await changing
        assert (await shaky_reading.next()).entries == [b"x"]
        assert shaky_reading.trimmed == [False]
        assert left(redis, keys, OTHER) == [b"x"]

    async def test_a_store_that_lost_the_inbox_is_noticed(
        self, shaky_reading: Reading, redis: Redis, keys: Keys
    ) -> None:
        push(redis, keys, "a")
        shaky_reading.deal(await shaky_reading.next())
        await eventually(lambda: shaky_reading.trimmed == [True])
        redis.delete(keys.open(ME), keys.done(ME))
        push(redis, keys, "b")  # by somebody who does not look first
        await eventually(lambda: shaky_reading.fenced)


class TestAFullStore:
    """A store without memory refuses BLMOVE, though it would add nothing."""

    @pytest.fixture
    async def full(
        self,
        own_server: ValkeyServer,
        keys: Keys,
        hasty: RedisSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> AsyncIterator[tuple[Reading, Redis]]:
        monkeypatch.setattr(inbox_module, "_LOOK_AGAIN_S", 0.01)
        with plain_client(own_server.url) as client:
            client.set(keys.open(ME), b"1")
            connector = Connector(own_server.url, hasty)
            async with reading_from(connector, keys, batch=4, block_s=0.2) as reading:
                yield reading, client

    async def test_is_read_all_the_same_and_gets_room_by_that(
        self, full: tuple[Reading, Redis], keys: Keys
    ) -> None:
        reading, client = full
        push(client, keys, *"abcdefgh")
        client.config_set("maxmemory", "1")
        seen: list[bytes] = []
        while len(seen) < 8:
            batch = await reading.next()
            seen += batch.entries
            assert batch.read_before == 0
            reading.deal(batch)
        await eventually(lambda: left(client, keys) == [])
        assert seen == [letter.encode() for letter in "abcdefgh"]
        assert set(reading.trimmed) == {True}

    async def test_is_asked_again_until_it_can_wait_for_messages(
        self, full: tuple[Reading, Redis], keys: Keys
    ) -> None:
        reading, client = full
        client.config_set("maxmemory", "1")
        await eventually(lambda: refusals(client) >= 3)
        client.config_set("maxmemory", "0")
        push(client, keys, "a")
        batch = await reading.next()
        reading.deal(batch)
        push(client, keys, "b")
        assert (await reading.next()).entries == [b"b"]

    async def test_a_reader_that_is_closed_asks_no_more(
        self, full: tuple[Reading, Redis], keys: Keys
    ) -> None:
        reading, client = full
        client.config_set("maxmemory", "1")
        await eventually(lambda: refusals(client) >= 1)
        await reading.reader.close()


def refusals(client: Redis) -> int:
    """Return how many commands the store has refused for want of memory."""
    stats: Any = client.info("errorstats")
    return int(stats.get("errorstat_OOM", {"count": 0})["count"])


class TestTrouble:
    @pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
    async def test_a_head_that_is_elsewhere_is_found_again(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, asked: bool
    ) -> None:
        push(redis, keys, "a", "b")
        batch = await shaky_reading.next()
        # As if a trim of an earlier connection had run late.
        redis.ltrim(keys.inbox(ME), 1, -1)
        redis.incr(keys.done(ME))
        shaky_reading.reader.dealt(batch, shaky_reading.trimmed.append if asked else None)
        again = await shaky_reading.next()
        assert shaky_reading.trimmed == [False] * asked
        assert (again.entries, again.position) == ([b"b"], 1)

    async def test_an_inbox_of_another_kind_is_read_when_it_is_mended(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, logs: StrictLogs, proxy: Proxy
    ) -> None:
        redis.set(keys.inbox(ME), b"not a list")
        proxy.reset_all()
        await eventually(lambda: logs.events(GIVEN_UP))
        assert "WRONGTYPE" in logs.events(GIVEN_UP)[0]["reason"]
        redis.delete(keys.inbox(ME))
        push(redis, keys, "a")
        assert (await shaky_reading.next()).entries == [b"a"]

    async def test_a_position_of_another_kind_is_read_when_it_is_mended(
        self, shaky_reading: Reading, redis: Redis, keys: Keys, logs: StrictLogs, proxy: Proxy
    ) -> None:
        redis.rpush(keys.done(ME), b"not a number")
        proxy.reset_all()
        await eventually(lambda: logs.events(GIVEN_UP))
        assert "position cannot be read" in logs.events(GIVEN_UP)[0]["reason"]
        redis.delete(keys.done(ME))
        push(redis, keys, "a")
        assert (await shaky_reading.next()).entries == [b"a"]

    async def test_a_first_connection_that_fails_may_be_tried_again(
        self, shaky: Connector, redis: Redis, keys: Keys, proxy: Proxy, opened: None
    ) -> None:
        await proxy.refuse()
        reading = Reading(shaky, keys)
        with pytest.raises(Unavailable):
            await reading.reader.open(ME)
        await proxy.accept()
        await reading.reader.open(ME)
        push(redis, keys, "a")
        assert (await reading.next()).entries == [b"a"]
        await reading.reader.close()

    async def test_a_closed_reader_leaves_everything_where_it_is(
        self, connector: Connector, redis: Redis, keys: Keys, opened: None
    ) -> None:
        async with reading_from(connector, keys) as reading:
            push(redis, keys, "a", "b")
            batch = await reading.next()
        reading.deal(batch)
        reading.reader.dealt(batch)
        assert reading.trimmed == [False]
        assert left(redis, keys) == [b"a", b"b"]


async def test_a_reader_that_ends_at_whatever_moment_loses_nothing(
    connector: Connector, redis: Redis, keys: Keys, opened: None
) -> None:
    """What pops, loses: of 300 entries 183 were gone when a BLPOP was cancelled again and again."""
    dealt: list[bytes] = []
    for moment in range(60):
        push(redis, keys, f"a{moment}", f"b{moment}")
        reading = Reading(connector, keys, batch=4)
        opening = asyncio.create_task(reading.reader.open(ME))
        for _ in range(moment):
            await asyncio.sleep(0.0005)
            while reading.batches:
                batch = reading.batches.pop(0)
                dealt += batch.entries
                reading.reader.dealt(batch)
        opening.cancel()
        await asyncio.wait([opening])
        await reading.reader.close()
    # Some come twice: dealt with, and the end came before the trim.
    everything = [f"{letter}{moment}".encode() for moment in range(60) for letter in "ab"]
    assert (
        list(dict.fromkeys(dealt)) + [e for e in left(redis, keys) if e not in dealt] == everything
    )


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_breaks_every_entry_is_read_and_new_ones_are_really_new(
    shaky_reading: Reading, redis: Redis, keys: Keys, proxy: Proxy, seed: int
) -> None:
    dice = random.Random(seed)
    total, pushed, handed = 50, 0, set[bytes]()
    in_order: list[bytes] = []
    while int(redis.get(keys.done(ME)) or 0) < total:
        if pushed < total:
            more = [
                str(number) for number in range(pushed, min(total, pushed + dice.randint(1, 6)))
            ]
            push(redis, keys, *more)
            pushed += len(more)
        if not shaky_reading.batches:  # while it connects again, nothing more breaks
            await asyncio.sleep(0.005)
            continue
        if dice.random() < 0.15:
            fault = dice.choice([Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
            proxy.when(dice.choice([TRIM_SHA, b"BLMOVE", b"LRANGE", b"GET"]), fault)
        elif dice.random() < 0.1:
            redis.script_flush()
        elif dice.random() < 0.1:
            proxy.reset_all()
        batch = shaky_reading.batches.pop(0)
        new = batch.entries[batch.read_before :]
        assert not handed.intersection(new)
        assert set(batch.entries[: batch.read_before]) <= handed
        in_order += [entry for entry in batch.entries if entry not in handed]
        handed.update(batch.entries)
        if dice.random() < 0.5:
            shaky_reading.deal(batch)
        else:
            shaky_reading.reader.dealt(batch)
    assert in_order == [str(number).encode() for number in range(total)]
    assert left(redis, keys) == []
