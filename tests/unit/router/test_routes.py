"""The look-up and its cache: what it says is what the store says, or nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from router.codec import StoredMessage
from router.errors import Unavailable
from router.keys import Keys
from router.model import UserId
from router.settings import MailboxSettings, RedisSettings, RegistrySettings
from router.store.connect import Connector
from router.store.mailbox import Mailbox, parse_deposit
from router.store.routes import NOWHERE, Found, Question, Routes, RouteTable, parse_routes
from tests.support.fake_store import OK, FakeStore
from tests.support.proxy import Fault, Proxy
from tests.support.valkey import ValkeyServer, plain_client
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs

ALICE, BOB, EVE = UserId("alice"), UserId("bob"), UserId("eve")
ON_N1, ON_N2 = Routes(("n1.aa",), 1), Routes(("n2.bb",), 1)  # type: ignore[arg-type]
LOST = "store connection lost"


@asynccontextmanager
async def opened(connector: Connector, keys: Keys, **settings: Any) -> AsyncIterator[RouteTable]:
    table = RouteTable(connector, keys, RegistrySettings(**settings))
    await table.open()
    try:
        yield table
    finally:
        await table.close()


@pytest.fixture
async def table(connector: Connector, keys: Keys) -> AsyncIterator[RouteTable]:
    async with opened(connector, keys) as found:
        yield found


@pytest.fixture
async def shaky_table(shaky: Connector, keys: Keys, logs: StrictLogs) -> AsyncIterator[RouteTable]:
    logs.expect(LOST)
    async with opened(shaky, keys) as found:
        yield found


class Users:
    """Puts routes into the store and takes them out again."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def come(self, user: UserId, *fields: str) -> None:
        self._redis.hset(self._keys.routes(user), mapping=dict.fromkeys(fields, b"entry"))

    def go(self, user: UserId, *fields: str) -> None:
        self._redis.hdel(self._keys.routes(user), *fields)


@pytest.fixture
def users(redis: "Redis", keys: Keys) -> Users:
    return Users(redis, keys)


async def asked(table: RouteTable, *users: UserId) -> list[Found]:
    future: asyncio.Future[list[Found]] = asyncio.Future()
    table.look_up([Question(user) for user in users], future.set_result)
    return await future


async def look_up(table: RouteTable, *users: UserId) -> list[Routes | None]:
    return [each.routes for each in await asked(table, *users)]


class TestLookingUp:
    async def test_a_user_is_where_the_routes_say(self, table: RouteTable, users: Users) -> None:
        users.come(ALICE, "n1.aa/s1")
        assert await look_up(table, ALICE) == [ON_N1]

    async def test_several_sessions_on_one_endpoint_are_one_endpoint(
        self, table: RouteTable, users: Users
    ) -> None:
        users.come(ALICE, "n1.aa/s1", "n1.aa/s2", "n2.bb/s3")
        [found] = await look_up(table, ALICE)
        assert found is not None
        assert set(found.endpoints) == {"n1.aa", "n2.bb"}
        assert (len(found.endpoints), found.sessions) == (2, 3)

    async def test_many_are_answered_in_the_order_asked(
        self, table: RouteTable, users: Users
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        users.come(EVE, "n2.bb/s2")
        assert await look_up(table, EVE, BOB, ALICE, EVE) == [ON_N2, NOWHERE, ON_N1, ON_N2]

    async def test_a_key_of_another_kind_spoils_only_its_own_answer(
        self, table: RouteTable, users: Users, redis: Redis, keys: Keys
    ) -> None:
        redis.set(keys.routes(BOB), b"not a hash")
        users.come(ALICE, "n1.aa/s1")
        assert await look_up(table, BOB, ALICE) == [None, ON_N1]
        assert table.cached(BOB) is None

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ([], NOWHERE),
            ([b"n1.aa/s1"], ON_N1),
            ([b"garbage"], NOWHERE),
            ([b"\xff\xfe", b"n1.aa/s1"], ON_N1),
            ([b"/s1", b"n2.bb/s2"], ON_N2),
        ],
    )
    def test_fields_that_are_not_ours_are_left_out(
        self, fields: Sequence[bytes], expected: Routes
    ) -> None:
        assert parse_routes(fields) == expected


class TestCache:
    async def test_who_was_never_looked_up_is_not_known(self, table: RouteTable) -> None:
        assert table.cached(ALICE) is None

    async def test_who_was_looked_up_is_known(self, table: RouteTable, users: Users) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(table, ALICE)
        assert table.cached(ALICE) == ON_N1

    async def test_absence_is_not_remembered(self, table: RouteTable, users: Users) -> None:
        assert await look_up(table, ALICE) == [NOWHERE]
        assert table.cached(ALICE) is None
        users.come(ALICE, "n1.aa/s1")
        assert await look_up(table, ALICE) == [ON_N1]

    async def test_a_user_who_moved_is_no_longer_where_they_were(
        self, table: RouteTable, users: Users
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(table, ALICE)
        users.come(ALICE, "n2.bb/s2")
        users.go(ALICE, "n1.aa/s1")
        await eventually(lambda: table.cached(ALICE) is None)
        assert await look_up(table, ALICE) == [ON_N2]
        assert table.cached(ALICE) == ON_N2

    async def test_a_second_device_is_noticed(self, table: RouteTable, users: Users) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(table, ALICE)
        users.come(ALICE, "n2.bb/s2")
        await eventually(lambda: table.cached(ALICE) is None)

    async def test_a_user_who_left_is_noticed(self, table: RouteTable, users: Users) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(table, ALICE)
        users.go(ALICE, "n1.aa/s1")
        await eventually(lambda: table.cached(ALICE) is None)

    async def test_routes_that_end_by_themselves_are_noticed(
        self, table: RouteTable, users: Users, redis: Redis, keys: Keys
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        redis.pexpire(keys.routes(ALICE), 60)
        await look_up(table, ALICE)
        # The store ends a key when somebody asks for it, or in its own good time.
        await eventually(lambda: not redis.exists(keys.routes(ALICE)))
        await eventually(lambda: table.cached(ALICE) is None)

    async def test_a_change_to_one_user_leaves_the_others_known(
        self, table: RouteTable, users: Users
    ) -> None:
        for user in (ALICE, BOB, EVE):
            users.come(user, "n1.aa/s1")
        await look_up(table, ALICE, BOB, EVE)
        users.come(BOB, "n2.bb/s2")
        await eventually(lambda: table.cached(BOB) is None)
        assert table.cached(ALICE) == table.cached(EVE) == ON_N1

    async def test_every_invalidation_of_many_keys_is_taken(
        self, table: RouteTable, users: Users, redis: Redis, keys: Keys
    ) -> None:
        many = [UserId(f"user-{number}") for number in range(200)]
        for user in many:
            users.come(user, "n1.aa/s1")
        await look_up(table, *many)
        redis.delete(*(keys.routes(user) for user in many))
        await eventually(lambda: not any(table.cached(user) for user in many))

    async def test_a_user_whose_id_has_any_letters_is_noticed(
        self, table: RouteTable, users: Users
    ) -> None:
        odd = UserId("ärger:routes)猫")
        users.come(odd, "n1.aa/s1")
        await look_up(table, odd)
        assert table.cached(odd) == ON_N1
        users.come(odd, "n2.bb/s2")
        await eventually(lambda: table.cached(odd) is None)

    async def test_what_a_push_has_shown_to_be_wrong_is_forgotten(
        self, table: RouteTable, users: Users
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(table, ALICE)
        table.forget(ALICE)
        table.forget(BOB)
        assert table.cached(ALICE) is None

    async def test_it_holds_so_many_users_and_no_more(
        self, connector: Connector, keys: Keys, users: Users
    ) -> None:
        many = [UserId(f"user-{number}") for number in range(10)]
        async with opened(connector, keys, cache_users=3) as table:
            for user in many:
                users.come(user, "n1.aa/s1")
                await look_up(table, user)
            assert [user for user in many if table.cached(user)] == many[-3:]

    async def test_a_user_looked_up_again_takes_no_second_place(
        self, connector: Connector, keys: Keys, users: Users
    ) -> None:
        async with opened(connector, keys, cache_users=2) as table:
            users.come(ALICE, "n1.aa/s1")
            users.come(BOB, "n1.aa/s1")
            await look_up(table, ALICE, BOB)
            await look_up(table, BOB, BOB)
            assert table.cached(ALICE) == table.cached(BOB) == ON_N1


class TestChangesDuringALookUp:
    """Replies are handled together: a change between them must not be forgotten."""

    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeStore]:
        async with FakeStore({b"SCRIPT": OK, b"SETNAME": OK, b"TRACKING": OK}) as server:
            yield server

    @pytest.fixture
    async def table(self, fake: FakeStore, keys: Keys) -> AsyncIterator[RouteTable]:
        async with opened(Connector(fake.url, RedisSettings()), keys) as found:
            yield found

    @staticmethod
    def reply(field: bytes) -> bytes:
        return b"*1\r\n$%d\r\n%b\r\n" % (len(field), field)

    @staticmethod
    def changed(key: str) -> bytes:
        return b">2\r\n$10\r\ninvalidate\r\n*1\r\n$%d\r\n%b\r\n" % (len(key), key.encode())

    async def test_who_changed_after_their_reply_is_not_kept(
        self, table: RouteTable, fake: FakeStore, keys: Keys
    ) -> None:
        asked = asyncio.create_task(look_up(table, ALICE, BOB))
        await eventually(lambda: keys.routes(BOB).encode() in fake.said[-1])
        fake.say(self.reply(b"n1.aa/s1") + self.changed(keys.routes(ALICE)))
        fake.say(self.reply(b"n1.aa/s2"))
        assert await asked == [ON_N1, ON_N1]
        assert table.cached(ALICE) is None
        assert table.cached(BOB) == ON_N1

    async def test_nobody_is_kept_when_everything_changed(
        self, table: RouteTable, fake: FakeStore, keys: Keys
    ) -> None:
        asked = asyncio.create_task(look_up(table, ALICE, BOB))
        await eventually(lambda: keys.routes(BOB).encode() in fake.said[-1])
        fake.say(self.reply(b"n1.aa/s1") + b">2\r\n$10\r\ninvalidate\r\n_\r\n")
        fake.say(self.reply(b"n1.aa/s2"))
        await asked
        assert (table.cached(ALICE), table.cached(BOB)) == (None, None)

    async def test_the_next_look_up_is_kept_again(
        self, table: RouteTable, fake: FakeStore, keys: Keys
    ) -> None:
        await self.test_who_changed_after_their_reply_is_not_kept(table, fake, keys)
        asked = asyncio.create_task(look_up(table, ALICE))
        await eventually(lambda: keys.routes(ALICE).encode() in fake.said[-1])
        fake.say(self.reply(b"n2.bb/s3"))
        assert await asked == [ON_N2]
        assert table.cached(ALICE) == ON_N2

    async def test_a_change_is_remembered_until_the_last_look_up_is_answered(
        self, table: RouteTable, fake: FakeStore, keys: Keys
    ) -> None:
        first = asyncio.create_task(look_up(table, BOB))
        second = asyncio.create_task(look_up(table, ALICE, EVE))
        await eventually(lambda: keys.routes(EVE).encode() in fake.said[-1])
        fake.say(self.changed(keys.routes(ALICE)) + self.reply(b"n1.aa/s1"))
        await first
        fake.say(self.reply(b"n1.aa/s2") + self.reply(b"n1.aa/s3"))
        await second
        known = [table.cached(user) for user in (BOB, ALICE, EVE)]
        assert known == [ON_N1, None, ON_N1]

    async def test_other_push_messages_mean_nothing(
        self, table: RouteTable, fake: FakeStore, keys: Keys
    ) -> None:
        fake.say(b">2\r\n+pong\r\n+x\r\n")
        await self.test_who_changed_after_their_reply_is_not_kept(table, fake, keys)


class TestWithoutCache:
    @pytest.fixture
    async def table(self, connector: Connector, keys: Keys) -> AsyncIterator[RouteTable]:
        async with opened(connector, keys, cache=False) as found:
            yield found

    async def test_nobody_is_ever_known(self, table: RouteTable, users: Users) -> None:
        users.come(ALICE, "n1.aa/s1")
        assert await look_up(table, ALICE) == [ON_N1]
        assert table.cached(ALICE) is None

    async def test_the_store_is_not_asked_to_keep_track(
        self, table: RouteTable, users: Users, redis: Redis
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(table, ALICE)
        flags = [c["flags"] for c in redis.client_list() if c["name"] == "switchboard-routes"]
        assert flags
        assert "t" not in "".join(flags)


class TestLosses:
    async def test_a_lost_connection_empties_the_cache(
        self, shaky_table: RouteTable, users: Users, proxy: Proxy
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        await look_up(shaky_table, ALICE)
        proxy.reset_all()
        await eventually(lambda: shaky_table.cached(ALICE) is None)

    async def test_changes_after_a_reconnect_are_noticed(
        self, shaky_table: RouteTable, users: Users, proxy: Proxy
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        proxy.reset_all()

        async def known() -> bool:
            return await look_up(shaky_table, ALICE) == [ON_N1]

        await eventually(known)
        assert shaky_table.cached(ALICE) == ON_N1
        users.come(ALICE, "n2.bb/s2")
        await eventually(lambda: shaky_table.cached(ALICE) is None)

    async def test_a_lost_look_up_says_so_and_nothing_is_kept(
        self, shaky_table: RouteTable, users: Users, proxy: Proxy
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        proxy.when(b"HKEYS", Fault.LOSE_REPLY)
        [found] = await asked(shaky_table, ALICE)
        assert (found.routes, found.lost, found.unsent) == (None, True, False)
        assert isinstance(found.error, Unavailable)
        assert shaky_table.cached(ALICE) is None

    async def test_a_look_up_while_the_store_is_away_says_so_at_once(
        self, shaky_table: RouteTable, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        heard: list[Found] = []

        def down() -> bool:
            told = len(heard)
            shaky_table.look_up([Question(ALICE)], heard.extend)
            return len(heard) > told and heard[-1].unsent

        await eventually(down)
        assert (heard[-1].routes, heard[-1].lost) == (None, False)
        assert isinstance(heard[-1].error, Unavailable)

    async def test_closing_empties_the_cache(
        self, connector: Connector, keys: Keys, users: Users
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        async with opened(connector, keys) as table:
            await look_up(table, ALICE)
        assert table.cached(ALICE) is None


class TestDataLoss:
    async def test_a_store_that_was_emptied_is_noticed(
        self, own_server: ValkeyServer, keys: Keys
    ) -> None:
        with plain_client(own_server.url) as client:
            users = Users(client, keys)
            users.come(ALICE, "n1.aa/s1")
            users.come(BOB, "n1.aa/s1")
            async with opened(Connector(own_server.url, RedisSettings()), keys) as table:
                await look_up(table, ALICE, BOB)
                client.flushall()
                await eventually(lambda: not (table.cached(ALICE) or table.cached(BOB)))

    async def test_a_store_that_forgets_what_it_tracked_says_so(
        self, own_server: ValkeyServer, keys: Keys
    ) -> None:
        with plain_client(own_server.url) as client:
            client.config_set("tracking-table-max-keys", 1)
            users = Users(client, keys)
            many = [UserId(f"user-{number}") for number in range(20)]
            for user in many:
                users.come(user, "n1.aa/s1")
            async with opened(Connector(own_server.url, RedisSettings()), keys) as table:
                await look_up(table, *many)
                # The server drops entries from its table and names each key as changed.
                await eventually(lambda: sum(table.cached(user) is not None for user in many) <= 2)


class TestMailboxes:
    """A look-up that stores reads keys of the mailbox, too, and these are tracked with the rest."""

    @pytest.fixture
    def mailbox(self, keys: Keys) -> Mailbox:
        return Mailbox(None, keys, MailboxSettings())  # type: ignore[arg-type]

    async def store(self, table: RouteTable, mailbox: Mailbox, key: str | None = None) -> Found:
        message = StoredMessage("m1", "bob", 1.0, 0, b"1")
        command = mailbox.pack_lookup(ALICE, message, durable=True, key=key, again=False)
        future: asyncio.Future[list[Found]] = asyncio.Future()
        table.look_up([Question(ALICE, command)], future.set_result)
        [found] = await future
        return found

    async def test_a_look_up_that_stores_says_where_the_user_is_and_what_became_of_it(
        self, table: RouteTable, users: Users, mailbox: Mailbox
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        found = await self.store(table, mailbox)
        assert found.routes == ON_N1
        assert parse_deposit(found.rest).offset is not None

    async def test_what_happens_in_a_mailbox_drops_nobody(
        self, table: RouteTable, users: Users, mailbox: Mailbox, redis: Redis, keys: Keys
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        users.come(BOB, "n1.aa/s1")
        await look_up(table, BOB)
        await self.store(table, mailbox, key="bob }:routes")
        redis.hset(keys.cursors(ALICE), "web", "0-0 1")
        redis.xtrim(keys.mail(ALICE), 0)
        redis.delete(keys.mail(ALICE), keys.cursors(ALICE), keys.key(ALICE, "bob }:routes"))
        await look_up(table, EVE)  # whatever was told of these has arrived before its answer
        assert (table.cached(ALICE), table.cached(BOB)) == (ON_N1, ON_N1)

    async def test_a_change_of_the_routes_still_does(
        self, table: RouteTable, users: Users, mailbox: Mailbox
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        await self.store(table, mailbox)
        assert table.cached(ALICE) == ON_N1
        users.come(ALICE, "n2.bb/s2")
        await eventually(lambda: table.cached(ALICE) is None)

    async def test_one_that_is_refused_says_why_and_the_others_are_answered(
        self, table: RouteTable, users: Users, mailbox: Mailbox, redis: Redis, keys: Keys
    ) -> None:
        users.come(ALICE, "n1.aa/s1")
        redis.set(keys.mail(ALICE), "not a stream")
        found = await self.store(table, mailbox)
        assert found.routes is None
        assert "WRONGTYPE" in str(found.error)
        assert await look_up(table, ALICE) == [ON_N1]
