"""Who is where: what is written, what is read back, and how it is listed in pages."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from router.codec import RouteEntry, encode
from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.model import EndpointId, OnlineUser, Session, SessionId, UserId
from router.settings import RegistrySettings
from router.store.answers import ReplyLost
from router.store.fields import route_field
from router.store.registry import Registry
from router.store.store import Store
from tests.support.proxy import Fault, Proxy

ALICE, BOB = UserId("alice"), UserId("bob")
N1, N2, N3 = (EndpointId(name) for name in ("n1.aa", "n2.bb", "n3.cc"))


@pytest.fixture
def registry(plain_store: Store, keys: Keys) -> Registry:
    return Registry(plain_store, keys, RegistrySettings())


@pytest.fixture(autouse=True)
def opened(redis: Redis, keys: Keys) -> None:
    redis.mset({keys.open(endpoint): b"1" for endpoint in (N1, N2, N3)})


def session(name: str, endpoint: EndpointId = N1, since: float = 1.0) -> Session:
    return Session(SessionId(name), endpoint, "web", "127.0.0.1:5", since)


def ttl_s(redis: Redis, key: str) -> float:
    left: Any = redis.pttl(key)
    return float(left) / 1000


class TestRegistering:
    async def test_a_registered_session_is_found_as_it_was(self, registry: Registry) -> None:
        written = Session(SessionId("s1"), N1, "phone", "10.0.0.1:44", 1_795_419_635.0)
        assert await registry.register([(ALICE, written)])
        assert await registry.sessions(ALICE) == [written]

    async def test_many_are_registered_at_once(self, registry: Registry) -> None:
        wanted = [(UserId(f"user-{n}"), session(f"s{n}", since=float(n))) for n in range(300)]
        assert await registry.register(wanted)
        for user, written in wanted[::50]:
            assert await registry.sessions(user) == [written]

    async def test_no_session_is_registered_in_no_time(self, registry: Registry) -> None:
        assert await registry.register([])

    async def test_the_sessions_of_a_user_are_told_oldest_first(self, registry: Registry) -> None:
        sessions = [session("s1", N1, 3.0), session("s2", N2, 1.0), session("s3", N1, 2.0)]
        await registry.register([(ALICE, each) for each in sessions])
        assert [found.session for found in await registry.sessions(ALICE)] == ["s2", "s3", "s1"]

    async def test_a_user_is_listed_under_each_endpoint_that_holds_them(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1", N1)), (ALICE, session("s2", N2))])
        assert redis.zrange(keys.users(N1), 0, -1) == [b"alice"]
        assert redis.zrange(keys.users(N2), 0, -1) == [b"alice"]

    async def test_registering_again_changes_nothing_but_the_time_left(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1"))])
        before = redis.hgetall(keys.routes(ALICE))
        redis.pexpire(keys.routes(ALICE), 1_000)
        await registry.register([(ALICE, session("s1"))])
        assert redis.hgetall(keys.routes(ALICE)) == before
        assert ttl_s(redis, keys.routes(ALICE)) > 100

    async def test_routes_live_as_long_as_the_settings_say(
        self, plain_store: Store, redis: Redis, keys: Keys
    ) -> None:
        registry = Registry(plain_store, keys, RegistrySettings(user_ttl_s=12.5))
        await registry.register([(ALICE, session("s1"))])
        assert 10 < ttl_s(redis, keys.routes(ALICE)) <= 12.5

    async def test_a_fenced_endpoint_is_told_so(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        redis.delete(keys.open(N1))
        assert not await registry.register([(ALICE, session("s1")), (BOB, session("s2"))])
        assert redis.exists(keys.users(N1)) == 0

    async def test_a_store_that_refuses_is_an_error(
        self, shaky_store: Store, keys: Keys, proxy: Proxy
    ) -> None:
        shaky = Registry(shaky_store, keys, RegistrySettings())
        proxy.answer(b"alice", "NOPERM no")
        with pytest.raises(StoreRefused, match="NOPERM"):
            await shaky.register([(BOB, session("s1")), (ALICE, session("s2"))])

    async def test_what_is_of_another_kind_is_replaced(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        redis.set(keys.routes(ALICE), b"not a hash")
        redis.set(keys.mail(ALICE), b"not a stream")
        redis.set(keys.users(N1), b"not a sorted set")
        registered = await registry.register([(ALICE, session("s1")), (BOB, session("s2"))])
        assert registered
        assert registered.newest == [None, None]
        assert len(await registry.sessions(ALICE)) == 1
        assert redis.zrange(keys.users(N1), 0, -1) == [b"alice", b"bob"]
        assert redis.get(keys.mail(ALICE)) == b"not a stream"

    async def test_a_lost_reply_may_be_answered_by_doing_it_again(
        self, shaky_store: Store, keys: Keys, proxy: Proxy, registry: Registry
    ) -> None:
        shaky = Registry(shaky_store, keys, RegistrySettings())
        proxy.when(b"alice", Fault.LOSE_REPLY)
        with pytest.raises(ReplyLost):
            await shaky.register([(ALICE, session("s1"))])
        assert await registry.register([(ALICE, session("s1"))])
        assert await registry.sessions(ALICE) == [session("s1")]

    async def test_a_store_that_is_away_is_unavailable(
        self, shaky_store: Store, keys: Keys, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        with pytest.raises(Unavailable):
            await Registry(shaky_store, keys, RegistrySettings()).register([(ALICE, session("s1"))])


class TestUnregistering:
    async def test_the_last_session_is_known_as_the_last(self, registry: Registry) -> None:
        await registry.register([(ALICE, session("s1"))])
        assert await registry.unregister(ALICE, N1, SessionId("s1"), last_here=True)
        assert await registry.sessions(ALICE) == []

    async def test_another_session_stays(self, registry: Registry) -> None:
        await registry.register([(ALICE, session("s1")), (ALICE, session("s2"))])
        assert not await registry.unregister(ALICE, N1, SessionId("s1"), last_here=False)
        assert await registry.sessions(ALICE) == [session("s2")]

    async def test_a_late_goodbye_does_not_touch_the_session_elsewhere(
        self, registry: Registry
    ) -> None:
        await registry.register([(ALICE, session("s1", N1)), (ALICE, session("s1", N2))])
        for _ in range(2):
            await registry.unregister(ALICE, N1, SessionId("s1"), last_here=True)
        assert await registry.sessions(ALICE) == [session("s1", N2)]

    async def test_the_listing_goes_with_the_last_session_here_only(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1")), (ALICE, session("s2"))])
        await registry.unregister(ALICE, N1, SessionId("s1"), last_here=False)
        assert redis.zrange(keys.users(N1), 0, -1) == [b"alice"]
        await registry.unregister(ALICE, N1, SessionId("s2"), last_here=True)
        assert redis.exists(keys.users(N1)) == 0

    async def test_when_the_user_was_last_seen_is_kept(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        assert await registry.last_seen(ALICE) is None
        await registry.register([(ALICE, session("s1"))])
        before: Any = redis.time()
        await registry.unregister(ALICE, N1, SessionId("s1"), last_here=True)
        seen = await registry.last_seen(ALICE)
        assert seen is not None
        assert before[0] <= seen <= before[0] + 60
        assert 0 < ttl_s(redis, keys.seen(ALICE)) <= 30 * 86_400

    async def test_who_was_never_here_is_not_the_last(self, registry: Registry) -> None:
        assert not await registry.unregister(ALICE, N1, SessionId("s1"), last_here=True)
        assert await registry.last_seen(ALICE) is None


class TestForgetting:
    async def test_every_route_to_the_endpoint_goes_and_the_rest_is_told(
        self, registry: Registry
    ) -> None:
        sessions = [session("s1", N1), session("s2", N1), session("s3", N2), session("s4", N3)]
        await registry.register([(ALICE, each) for each in sessions])
        left = await registry.forget(ALICE, N1)
        assert (set(left.endpoints), left.sessions) == ({N2, N3}, 2)
        assert {found.session for found in await registry.sessions(ALICE)} == {"s3", "s4"}

    async def test_sessions_that_are_alive_after_all_stay(self, registry: Registry) -> None:
        await registry.register([(ALICE, session("s1")), (ALICE, session("s2"))])
        left = await registry.forget(ALICE, N1, [SessionId("s2")])
        assert (left.endpoints, left.sessions) == ((N1,), 1)

    async def test_who_has_no_route_left_is_offline_and_was_seen(self, registry: Registry) -> None:
        await registry.register([(ALICE, session("s1"))])
        left = await registry.forget(ALICE, N1)
        assert (left.endpoints, left.sessions) == ((), 0)
        assert await registry.last_seen(ALICE) is not None

    async def test_another_users_routes_stay(self, registry: Registry) -> None:
        await registry.register([(ALICE, session("s1")), (BOB, session("s2"))])
        await registry.forget(ALICE, N1)
        assert await registry.sessions(BOB) == [session("s2")]

    async def test_a_store_that_refuses_is_an_error(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        redis.set(keys.routes(ALICE), b"not a hash")
        with pytest.raises(StoreRefused):
            await registry.forget(ALICE, N1)


class TestLocating:
    async def test_who_is_online_is_told_with_their_nodes(self, registry: Registry) -> None:
        await registry.register(
            [
                (ALICE, session("s1", N2)),
                (ALICE, session("s2", N1)),
                (ALICE, session("s3", N1)),
                (BOB, session("s4", N3)),
            ]
        )
        found = await registry.locate([ALICE, UserId("nobody"), BOB])
        assert found == {"alice": ["n1", "n2"], "bob": ["n3"]}

    async def test_nobody_is_nowhere(self, registry: Registry) -> None:
        assert await registry.locate([]) == {}

    async def test_a_user_asked_for_twice_is_told_once(self, registry: Registry) -> None:
        await registry.register([(ALICE, session("s1"))])
        assert await registry.locate([ALICE, ALICE]) == {"alice": ["n1"]}

    async def test_entries_that_are_not_ours_are_left_out(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1"))])
        junk: dict[Any, Any] = {
            b"n9.zz/s": b"\xff",
            b"junk": encode(RouteEntry("web", "", 1.0)),
            b"n1.aa/s2": b"\x93\xa1\xff\xa0\x00",
        }
        redis.hset(keys.routes(ALICE), mapping=junk)
        assert await registry.sessions(ALICE) == [session("s1")]


async def page_through(
    registry: Registry, endpoints: list[EndpointId], prefix: str, limit: int
) -> list[OnlineUser]:
    """Return every user, read page by page; each page is checked for its size and order."""
    found: list[OnlineUser] = []
    cursor: str | None = ""
    while cursor is not None:
        page, cursor = await registry.page(endpoints, prefix, limit, cursor)
        assert len(page) <= limit
        found += page
        if cursor is not None:
            assert page
            assert cursor == page[-1].user
    return found


NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="{}"),
    min_size=1,
    max_size=3,
) | st.sampled_from(["a", "ab", "abc", "a~", "b", "ä", "äb", "\U0001f600", "a\U0001f600"])


class TestRefreshing:
    async def test_routes_that_are_there_are_given_their_time_anew(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        wanted = [(ALICE, session("s1")), (BOB, session("s2"))]
        await registry.register(wanted)
        redis.pexpire(keys.routes(ALICE), 1_000)
        assert await registry.refresh(wanted) == [True, True]
        assert ttl_s(redis, keys.routes(ALICE)) > 100
        assert await registry.sessions(ALICE) == [session("s1")]

    async def test_nobody_is_refreshed_in_no_time(self, registry: Registry) -> None:
        assert await registry.refresh([]) == []

    async def test_it_says_whose_route_is_lost_and_writes_none(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        carol, dave = UserId("carol"), UserId("dave")
        wanted = [(user, session(f"s-{user}")) for user in (ALICE, BOB, carol, dave)]
        await registry.register([*wanted, (BOB, session("other", N2))])
        redis.delete(keys.routes(ALICE), keys.routes(dave))
        redis.hdel(keys.routes(BOB), route_field(N1, SessionId("s-bob")))
        redis.set(keys.routes(dave), b"none of ours")
        assert await registry.refresh(wanted) == [False, False, True, False]
        assert await registry.sessions(ALICE) == []
        assert [found.session for found in await registry.sessions(BOB)] == ["other"]

    async def test_an_entry_that_is_not_what_it_should_be_is_to_be_written_again(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1"))])
        redis.hset(keys.routes(ALICE), route_field(N1, SessionId("s1")), b"somebody else's")
        assert await registry.refresh([(ALICE, session("s1"))]) == [False]

    async def test_what_lies_in_a_mailbox_is_to_be_asked_for(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1"))])
        redis.xadd(keys.mail(ALICE), {"message": b"m"})
        assert await registry.refresh([(ALICE, session("s1"))]) == [False]
        redis.xtrim(keys.mail(ALICE), 0)
        assert await registry.refresh([(ALICE, session("s1"))]) == [True]

    async def test_it_says_who_is_not_listed(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        wanted = [(ALICE, session("s1")), (BOB, session("s2"))]
        await registry.register(wanted)
        redis.zrem(keys.users(N1), "alice")
        assert await registry.refresh(wanted) == [False, True]
        redis.delete(keys.users(N1))
        assert await registry.refresh(wanted) == [False, False]
        redis.set(keys.users(N1), b"none of ours")
        assert await registry.refresh(wanted) == [False, False]

    async def test_nobody_is_well_on_an_endpoint_that_is_fenced(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1"))])
        redis.delete(keys.open(N1))
        assert await registry.refresh([(ALICE, session("s1"))]) == [False]


class TestPages:
    async def test_a_page_says_who_where_and_since_when(self, registry: Registry) -> None:
        sessions = [session("s1", N2, 5.0), session("s2", N1, 3.0), session("s3", N1, 4.0)]
        await registry.register([(ALICE, each) for each in sessions])
        page, cursor = await registry.page([N1, N2, N3], "", 10, "")
        assert page == [OnlineUser(ALICE, 3, ("n1", "n2"), 3.0)]
        assert cursor is None

    async def test_nobody_is_an_empty_page(self, registry: Registry) -> None:
        assert await registry.page([N1, N2], "", 10, "") == ([], None)
        assert await registry.page([], "", 10, "") == ([], None)

    async def test_names_that_are_no_text_are_left_out_and_hold_up_no_page(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register(
            [(UserId(name), session(f"s-{name}")) for name in ("a", "b", "\U0001f600")]
        )
        strange = [b"a\xff", b"a\xff\xff", b"\xc3", b"\xff", b"\xff\xfe"]
        strange += [b"a\n", b"a b", b"{a}", b"b" * 1_000, b""]  # text, and no user id
        redis.zadd(keys.users(N1), dict.fromkeys(strange, 0))
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = await registry.page([N1, N2], "", 1, cursor)
            found += [online.user for online in page]
        assert found == ["a", "b", "\U0001f600"]

    async def test_a_page_that_is_just_full_is_the_last_one(self, registry: Registry) -> None:
        await registry.register([(UserId(name), session(name)) for name in "abc"])
        page, cursor = await registry.page([N1], "", 3, "")
        assert ([user.user for user in page], cursor) == (["a", "b", "c"], None)

    async def test_a_cursor_points_behind_the_last_user_of_the_page(
        self, registry: Registry
    ) -> None:
        await registry.register([(UserId(name), session(name)) for name in "abcd"])
        page, cursor = await registry.page([N1], "", 3, "")
        assert ([user.user for user in page], cursor) == (["a", "b", "c"], "c")
        page, cursor = await registry.page([N1], "", 3, "c")
        assert ([user.user for user in page], cursor) == (["d"], None)

    async def test_a_user_who_left_between_pages_leaves_no_hole(self, registry: Registry) -> None:
        await registry.register([(UserId(name), session(name)) for name in "abcd"])
        _, cursor = await registry.page([N1], "", 2, "")
        await registry.unregister(UserId("b"), N1, SessionId("b"), last_here=True)
        page, _ = await registry.page([N1], "", 2, cursor or "")
        assert [user.user for user in page] == ["c", "d"]

    async def test_a_listing_older_than_the_users_leaving_is_not_believed(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(UserId(name), session(name)) for name in "abc"])
        redis.delete(keys.routes(UserId("b")))
        page, _ = await registry.page([N1], "", 3, "")
        assert [user.user for user in page] == ["a", "c"]

    @pytest.mark.parametrize(
        ("prefix", "after", "expected"),
        [
            ("a", "", ["a", "aa", "ab", "a\U0001f600"]),
            ("aa", "", ["aa"]),
            ("a", "a", ["aa", "ab", "a\U0001f600"]),
            ("a", "aaa", ["ab", "a\U0001f600"]),
            ("b", "a", ["b", "ba"]),
            ("b", "ba", []),
            ("a", "b", []),
            ("z", "", []),
            ("ä", "", ["ä", "äö"]),
        ],
    )
    async def test_a_prefix_and_a_cursor_narrow_the_list_together(
        self, registry: Registry, prefix: str, after: str, expected: list[str]
    ) -> None:
        names = ["a", "aa", "ab", "a\U0001f600", "b", "ba", "ä", "äö"]
        await registry.register([(UserId(name), session(name)) for name in names])
        page, cursor = await registry.page([N1], prefix, 10, after)
        assert ([user.user for user in page], cursor) == (expected, None)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        placed=st.lists(st.tuples(NAMES, st.sets(st.sampled_from([N1, N2, N3]), min_size=1))),
        prefix=st.sampled_from(["", "a", "ab", "ä", "\U0001f600", "zz"]),
        limit=st.integers(1, 6),
    )
    async def test_pages_are_exact_for_any_users_prefix_and_size(
        self,
        plain_store: Store,
        keys: Keys,
        redis: Redis,
        placed: list[tuple[str, set[EndpointId]]],
        prefix: str,
        limit: int,
    ) -> None:
        redis.delete(*(redis.keys(f"{keys.prefix}:*") or [b"nothing"]))
        redis.mset({keys.open(endpoint): b"1" for endpoint in (N1, N2, N3)})
        registry = Registry(plain_store, keys, RegistrySettings())
        await registry.register(
            [
                (UserId(name), session(name, endpoint))
                for name, endpoints in placed
                for endpoint in endpoints
            ]
        )
        found = await page_through(registry, [N1, N2, N3], prefix, limit)
        wanted = {name for name, _ in placed if name.startswith(prefix)}
        assert [user.user for user in found] == sorted(wanted, key=str.encode)

    async def test_only_the_users_of_the_endpoints_asked_for_are_listed(
        self, registry: Registry
    ) -> None:
        await registry.register(
            [(ALICE, session("s1", N1)), (BOB, session("s2", N2)), (BOB, session("s3", N1))]
        )
        assert [u.user for u in await page_through(registry, [N2], "", 5)] == ["bob"]
        assert [u.user for u in await page_through(registry, [N1], "", 1)] == ["alice", "bob"]

    async def test_what_is_of_another_kind_costs_nobody_else(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1", N2)), (BOB, session("s2", N2))])
        redis.set(keys.users(N1), b"not a sorted set")
        redis.delete(keys.routes(ALICE))
        redis.set(keys.routes(ALICE), b"not a hash")
        page, cursor = await registry.page([N1, N2], "", 5, "")
        assert [online.user for online in page] == [BOB]
        assert cursor is None
        assert await registry.locate([ALICE, BOB]) == {BOB: ["n2"]}

    async def test_fields_that_are_no_routes_are_left_out(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        await registry.register([(ALICE, session("s1"))])
        good: Any = redis.hget(keys.routes(ALICE), f"{N1}/s1")
        strange = [b"\xff/s", b"no slash", b"/s", b"e\n/s", b"x" * 1_000 + b"/s", b"{e}/s", b""]
        redis.hset(keys.routes(ALICE), mapping=dict.fromkeys(strange, good))
        redis.hset(keys.routes(ALICE), f"{N2}/s2", b"no entry")
        assert [found.session for found in await registry.sessions(ALICE)] == ["s1"]

    @pytest.mark.parametrize("value", [b"", b"nan", b"-1", b"1e400", b"\xff", b"9" * 40])
    async def test_a_last_seen_that_is_no_time_is_not_known(
        self, registry: Registry, redis: Redis, keys: Keys, value: bytes
    ) -> None:
        redis.set(keys.seen(ALICE), value)
        assert await registry.last_seen(ALICE) is None

    async def test_a_page_is_exact_however_unevenly_users_are_spread(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        endpoints = [EndpointId(f"m{number}.aa") for number in range(20)]
        redis.mset({keys.open(endpoint): b"1" for endpoint in endpoints})
        names = [f"u{number:03}" for number in range(300)]
        for number, name in enumerate(names):
            endpoint = endpoints[0 if number < 200 else number % 20]
            await registry.register([(UserId(name), session(name, endpoint))])
        for limit in (1, 30, 70, 299, 300, 301):
            found = await page_through(registry, endpoints, "", limit)
            assert [user.user for user in found] == names

    async def test_an_endpoint_is_asked_for_little_more_than_its_share_of_a_page(
        self, registry: Registry, redis: Redis, keys: Keys
    ) -> None:
        endpoints = [EndpointId(f"m{number}.aa") for number in range(50)]
        redis.mset({keys.open(endpoint): b"1" for endpoint in endpoints})
        for number in range(50):
            some = [UserId(f"u{number + 50 * turn:05}") for turn in range(200)]
            entries = [(user, session(str(user), endpoints[number])) for user in some]
            await registry.register(entries)
        before: Any = redis.info("stats")
        page, _ = await registry.page(endpoints, "", 1_000, "")
        after: Any = redis.info("stats")
        assert [str(user.user) for user in page] == [f"u{number:05}" for number in range(1_000)]
        sent = after["total_net_output_bytes"] - before["total_net_output_bytes"]
        assert sent < 250_000  # all that they have would be more than 110 kB beside the routes
