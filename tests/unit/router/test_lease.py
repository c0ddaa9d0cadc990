"""Endpoints in the store: who may receive, and who was alive lately."""

from typing import Any

import pytest
from redis import Redis

from router.codec import Lease, encode
from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.model import EndpointId
from router.settings import LeaseSettings, RedisSettings
from router.store.connect import Connector
from router.store.lease import Leases
from router.store.modes import make_store
from router.store.store import Store
from tests.support.fake_store import OK, FakeStore
from tests.support.proxy import Proxy
from tests.support.valkey import ValkeyServer, plain_client

SAID = Lease("node", 4_711, "127.0.0.1:8001", "live", 3, 10, 9, 1.5, 0.5)


@pytest.fixture
def leases(plain_store: Store, keys: Keys) -> Leases:
    return Leases(plain_store, keys, LeaseSettings(ttl_s=10.0))


def names_of(redis: Redis, keys: Keys) -> Any:
    return redis.smembers(keys.endpoints)


class TestOpening:
    async def test_a_new_endpoint_is_open_alive_and_listed(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        assert redis.get(keys.lease(endpoint)) == encode(SAID)
        assert redis.exists(keys.open(endpoint)) == 1
        assert names_of(redis, keys) == {endpoint.encode()}
        assert 0 < float(redis.pttl(keys.lease(endpoint))) <= 10_000

    async def test_every_start_is_a_new_epoch_of_the_same_name(self, leases: Leases) -> None:
        ids = {await leases.open("n1", SAID) for _ in range(20)}
        assert len(ids) == 20
        assert {endpoint.rpartition(".")[0] for endpoint in ids} == {"n1"}

    async def test_an_epoch_that_is_taken_is_not_taken_again(
        self, leases: Leases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dice = iter(["aa", "aa", "aa", "bb"])
        monkeypatch.setattr("router.store.lease.secrets.token_hex", lambda _: next(dice))
        assert await leases.open("n1", SAID) == "n1.aa"
        assert await leases.open("n1", SAID) == "n1.bb"

    async def test_dice_that_always_fall_the_same_are_an_error(
        self, leases: Leases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("router.store.lease.secrets.token_hex", lambda _: "aa")
        await leases.open("n1", SAID)
        with pytest.raises(StoreRefused, match="n1"):
            await leases.open("n1", SAID)

    async def test_a_store_that_is_away_is_unavailable(
        self, shaky_store: Store, keys: Keys, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        with pytest.raises(Unavailable):
            await Leases(shaky_store, keys, LeaseSettings()).open("n1", SAID)


class TestHeartbeat:
    async def test_a_store_without_memory_renews_a_lease(
        self, own_server: ValkeyServer, keys: Keys
    ) -> None:
        way = make_store(Connector(own_server.url, RedisSettings()), "test")
        await way.open()
        leases = Leases(way, keys, LeaseSettings(ttl_s=10.0))
        endpoint = await leases.open("n1", SAID)
        with plain_client(own_server.url) as client:
            client.pexpire(keys.lease(endpoint), 500)
            client.config_set("maxmemory", "1")
            assert await leases.heartbeat(endpoint, SAID)
            assert float(client.pttl(keys.lease(endpoint))) > 500
            with pytest.raises(StoreRefused, match="OOM"):
                await leases.open("n2", SAID)
        await way.close()

    async def test_a_list_of_another_kind_is_replaced(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        redis.set(keys.endpoints, b"not a set")
        endpoint = await leases.open("n1", SAID)
        assert await leases.ids() == [endpoint]
        redis.delete(keys.endpoints)
        redis.set(keys.endpoints, b"not a set")
        assert await leases.heartbeat(endpoint, SAID)
        assert await leases.ids() == [endpoint]

    async def test_it_renews_the_lease_and_tells_the_stores_time(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.pexpire(keys.lease(endpoint), 500)
        before: Any = redis.time()
        told = await leases.heartbeat(endpoint, SAID)
        assert told is not None
        assert before[0] * 1000 <= told <= (before[0] + 60) * 1000
        assert float(redis.pttl(keys.lease(endpoint))) > 500

    async def test_it_keeps_what_the_endpoint_says_now(self, leases: Leases) -> None:
        endpoint = await leases.open("n1", SAID)
        busier = Lease("node", 4_711, "127.0.0.1:8001", "draining", 99, 10, 9, 1.5, 0.5)
        await leases.heartbeat(endpoint, busier)
        [found] = await leases.describe([endpoint])
        assert (found.state, found.sessions) == ("draining", 99)

    async def test_a_lease_that_has_ended_is_taken_up_again(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.delete(keys.lease(endpoint))
        assert await leases.heartbeat(endpoint, SAID) is not None
        assert redis.exists(keys.lease(endpoint)) == 1

    async def test_a_fenced_endpoint_is_told_so(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.delete(keys.open(endpoint))
        assert await leases.heartbeat(endpoint, SAID) is None

    async def test_an_endpoint_that_was_taken_off_the_list_is_listed_again(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.delete(keys.endpoints)
        await leases.heartbeat(endpoint, SAID)
        assert await leases.ids() == [endpoint]


class TestMending:
    async def test_a_heartbeat_clears_what_is_none_of_ours(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.set(keys.inbox(endpoint), b"not a list")
        redis.set(keys.rescued(endpoint), b"nor that")
        redis.rpush(keys.rescuer(endpoint), b"not a string")
        redis.set(keys.done(endpoint), b"not a number")
        redis.set(keys.users(endpoint), b"not a sorted set")
        assert await leases.heartbeat(endpoint, SAID)
        names = [keys.inbox, keys.rescued, keys.rescuer, keys.done, keys.users]
        assert redis.exists(*(name(endpoint) for name in names)) == 0
        assert leases.counts.garbage == 5

    async def test_it_leaves_alone_what_is(self, leases: Leases, redis: Redis, keys: Keys) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.rpush(keys.inbox(endpoint), b"a")
        redis.rpush(keys.rescued(endpoint), b"b")
        redis.set(keys.rescuer(endpoint), b"token")
        redis.set(keys.done(endpoint), 7)
        redis.zadd(keys.users(endpoint), {"alice": 0, "first": -1, "last": 5})
        assert await leases.heartbeat(endpoint, SAID)
        assert redis.lrange(keys.inbox(endpoint), 0, -1) == [b"a"]
        assert redis.lrange(keys.rescued(endpoint), 0, -1) == [b"b"]
        assert redis.get(keys.rescuer(endpoint)) == b"token"
        assert redis.get(keys.done(endpoint)) == b"7"
        assert redis.zrange(keys.users(endpoint), 0, -1) == [b"alice"]
        assert leases.counts.garbage == 2

    @pytest.mark.parametrize("name", [b"\xff", b"a b.1", b"a\n.1", b"{n}.1", b"n" * 600, b""])
    async def test_names_that_are_none_are_left_out(
        self, leases: Leases, redis: Redis, keys: Keys, name: bytes
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.sadd(keys.endpoints, name)
        assert await leases.ids() == [endpoint]
        assert leases.counts.garbage == 1


class TestLookingAtSome:
    async def test_they_are_few_of_many_and_others_the_next_time(self, leases: Leases) -> None:
        ids = {await leases.open(f"n{number}", SAID) for number in range(12)}
        seen: set[EndpointId] = set()
        while seen != ids:
            some, count = await leases.some(3)
            assert (len(some), count) == (3, 12)
            assert some == sorted(set(some) & ids)
            seen.update(some)

    async def test_of_few_they_are_all(self, leases: Leases) -> None:
        assert await leases.some(3) == ([], 0)
        ids = [await leases.open(name, SAID) for name in ("n1", "n2", "n3")]
        assert await leases.some(3) == (ids, 3)
        assert await leases.some(4) == (ids, 3)

    async def test_who_is_listed_is_told(self, leases: Leases) -> None:
        ids = [await leases.open(name, SAID) for name in ("n1", "n2", "n3")]
        assert await leases.listed([]) == []
        assert await leases.close(ids[1]) == 0
        assert await leases.listed(ids) == [ids[0], ids[2]]


class TestClosing:
    async def test_an_empty_endpoint_is_gone_without_a_trace(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        assert await leases.close(endpoint) == 0
        assert redis.keys(f"{keys.prefix}:*") == []

    async def test_an_endpoint_with_envelopes_stays_open(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.rpush(keys.inbox(endpoint), "a", "b")
        assert await leases.close(endpoint) == 2
        assert redis.exists(keys.open(endpoint), keys.lease(endpoint)) == 2
        assert await leases.ids() == [endpoint]

    async def test_one_that_was_fenced_stays_listed_for_its_rescuer(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.delete(keys.open(endpoint))
        redis.rpush(keys.rescued(endpoint), "a")
        redis.set(keys.done(endpoint), 7)
        assert await leases.close(endpoint) == 0
        assert redis.exists(keys.rescued(endpoint), keys.done(endpoint)) == 2
        assert await leases.ids() == [endpoint]

    async def test_closing_twice_is_closing_once(self, leases: Leases) -> None:
        endpoint = await leases.open("n1", SAID)
        await leases.close(endpoint)
        assert await leases.close(endpoint) == 0

    async def test_a_fenced_endpoint_stays_listed_for_its_rescuer(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.rpush(keys.inbox(endpoint), "a")
        redis.delete(keys.open(endpoint))
        assert await leases.close(endpoint) == 0
        assert await leases.ids() == [endpoint]
        assert redis.llen(keys.inbox(endpoint)) == 1


class TestDescribing:
    async def test_an_endpoint_is_described_as_it_describes_itself(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.rpush(keys.inbox(endpoint), "a", "b")
        [found] = await leases.describe([endpoint])
        assert (found.name, found.endpoint, found.role) == ("n1", endpoint, "node")
        assert (found.pid, found.address, found.state) == (4_711, "127.0.0.1:8001", "live")
        assert (found.sessions, found.inbox_length) == (3, 2)
        assert (found.received, found.delivered) == (10, 9)
        assert (found.received_per_second, found.delivered_per_second) == (1.5, 0.5)

    async def test_the_age_of_a_heartbeat_is_what_is_gone_of_its_lease(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.pexpire(keys.lease(endpoint), 6_000)
        [found] = await leases.describe([endpoint])
        assert found.heartbeat_age_seconds is not None
        assert 4.0 <= found.heartbeat_age_seconds < 10.0

    async def test_one_whose_lease_has_ended_is_lost_but_still_known(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        endpoint = await leases.open("n1", SAID)
        redis.delete(keys.lease(endpoint))
        [found] = await leases.describe([endpoint])
        assert (found.state, found.sessions, found.heartbeat_age_seconds) == ("lost", 0, None)
        assert (found.role, found.pid, found.address) == ("node", 4_711, "127.0.0.1:8001")

    async def test_a_lost_sender_is_a_sender(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        sender = Lease("sender", 1, "", "live", 0, 0, 0, 0.0, 0.0)
        endpoint = await leases.open("send-1", sender)
        redis.delete(keys.lease(endpoint))
        [found] = await leases.describe([endpoint])
        assert (found.role, found.state) == ("sender", "lost")

    async def test_a_closed_one_is_left_out(self, leases: Leases) -> None:
        gone, here = await leases.open("n1", SAID), await leases.open("n2", SAID)
        await leases.close(gone)
        assert [found.endpoint for found in await leases.describe([gone, here])] == [here]

    async def test_the_order_is_that_of_the_question(self, leases: Leases) -> None:
        ids = [await leases.open(name, SAID) for name in ("n3", "n1", "n2")]
        assert [found.endpoint for found in await leases.describe(ids)] == ids
        assert await leases.ids() == sorted(ids)

    async def test_no_question_has_no_answer(self, leases: Leases) -> None:
        assert await leases.describe([]) == []
        assert await leases.without_lease([]) == []
        assert await leases.ids() == []

    @pytest.mark.parametrize("value", [b"", b"junk", b"\x99\xa1\xff", b"\xc0"])
    async def test_a_lease_nobody_can_read_is_there_and_no_more(
        self, leases: Leases, redis: Redis, keys: Keys, value: bytes
    ) -> None:
        endpoint = EndpointId("n1.aa")
        redis.mset({keys.open(endpoint): value, keys.lease(endpoint): value})
        [found] = await leases.describe([endpoint])
        assert (found.name, found.state, found.pid) == ("n1", "unreadable", 0)

    async def test_keys_of_another_kind_cost_only_their_own_endpoint(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        one, two = [await leases.open(name, SAID) for name in ("n1", "n2")]
        redis.set(keys.inbox(one), b"not a list")
        redis.delete(keys.lease(one))
        redis.rpush(keys.lease(one), b"not a string")
        told = await leases.describe([one, two])
        assert [(each.name, each.state) for each in told] == [("n1", "lost"), ("n2", "live")]
        assert leases.counts.garbage == 2

    async def test_a_store_that_refuses_is_an_error(self, keys: Keys) -> None:
        answers = {b"SCRIPT": OK, b"SETNAME": OK, b"GET": b"-NOPERM no\r\n", b"LLEN": b":0\r\n"}
        answers[b"PTTL"] = b":0\r\n"
        async with FakeStore(answers) as fake:
            way = make_store(Connector(fake.url, RedisSettings()), "test")
            await way.open()
            with pytest.raises(StoreRefused, match="NOPERM"):
                await Leases(way, keys, LeaseSettings()).describe([EndpointId("n1.aa")])
            await way.close()


class TestWithoutLease:
    async def test_a_lease_that_would_never_end_is_given_an_end(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        one, two, three = [await leases.open(name, SAID) for name in ("n1", "n2", "n3")]
        redis.persist(keys.lease(one))
        redis.expire(keys.lease(two), 1_000_000)
        redis.pexpire(keys.lease(three), 20_000)  # another process may have a longer one
        assert await leases.without_lease([one, two, three]) == []
        for endpoint in (one, two):
            left: Any = redis.pttl(keys.lease(endpoint))
            assert 0 < left <= 10_000
        assert redis.pttl(keys.lease(three)) > 10_000
        assert leases.counts.garbage == 2

    async def test_those_whose_lease_has_ended_are_told(
        self, leases: Leases, redis: Redis, keys: Keys
    ) -> None:
        ids = [await leases.open(name, SAID) for name in ("n1", "n2", "n3")]
        redis.delete(keys.lease(ids[1]))
        assert await leases.without_lease(ids) == [ids[1]]

    async def test_a_store_that_refuses_is_an_error(self, keys: Keys) -> None:
        answers = {b"SCRIPT": OK, b"SETNAME": OK, b"PTTL": b"-NOPERM no\r\n"}
        async with FakeStore(answers) as fake:
            way = make_store(Connector(fake.url, RedisSettings()), "test")
            await way.open()
            with pytest.raises(StoreRefused, match="NOPERM"):
                await Leases(way, keys, LeaseSettings()).without_lease([EndpointId("n1.aa")])
            await way.close()
