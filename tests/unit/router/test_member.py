"""One process as a member of a cluster: opening, joining, leaving, and coming back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from router import member as member_module
from router.codec import Lease, MessageEnvelope, encode
from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.member import Member, sender_lease
from router.model import Confirm, EndpointId, Outcome, UserId
from router.sending import Draft
from router.settings import Settings
from router.store import scripts
from router.store.embedded import EmbeddedServer
from router.transport.base import Delivery
from router.transport.routed import RoutedTransport
from tests.support.cluster import fast_settings
from tests.support.fake_store import OK, FakeStore
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

LOST, FAILED, FENCED = (
    "store connection lost",
    "heartbeat failed",
    "endpoint was fenced, new epoch taken",
)
ALICE = UserId("alice")


@pytest.fixture
def settings(prefix: str) -> Settings:
    return fast_settings(prefix, redis={"connect_timeout_s": 3.0, "reply_timeout_s": 1.0})


@asynccontextmanager
async def opened(settings: Settings, url: str, **events: Any) -> AsyncIterator[Member]:
    member = Member(settings, url, **events)
    await member.open()
    try:
        yield member
    finally:
        await member.close()


@pytest.fixture
async def member(store: EmbeddedServer, settings: Settings) -> AsyncIterator[Member]:
    async with opened(settings, store.address.url) as found:
        yield found


@pytest.fixture
async def shaky_member(settings: Settings, proxy: Proxy, logs: StrictLogs) -> AsyncIterator[Member]:
    logs.expect(LOST, FAILED)
    async with opened(settings, proxy.url) as found:
        yield found


def running() -> set[str]:
    """Return the names of the tasks of ours that run."""
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name for name in names if name.startswith(("link", "heartbeat", "send on"))}


class TestOpening:
    async def test_it_can_ask_and_send_without_being_an_endpoint(
        self, member: Member, redis: Redis
    ) -> None:
        assert await member.registry.sessions(ALICE) == []
        assert member.endpoint.id is None
        assert redis.keys(f"{member.keys.prefix}:*") == []

    async def test_the_stores_time_is_known_from_the_start(self, member: Member) -> None:
        assert member.clock.known

    async def test_nobody_there_is_unavailable_and_leaves_nothing_running(
        self, settings: Settings
    ) -> None:
        async with FakeStore() as gone:
            url = gone.url
        with pytest.raises(Unavailable):
            await Member(settings, url).open()
        assert running() == set()

    async def test_a_store_too_old_is_refused_and_leaves_nothing_running(
        self, settings: Settings
    ) -> None:
        info = b"# Server\r\nredis_version:6.2.0\r\n"
        reply = b"$%d\r\n%b\r\n" % (len(info), info)
        async with FakeStore({b"SCRIPT": OK, b"SETNAME": OK, b"INFO": reply}) as old:
            with pytest.raises(StoreRefused, match=r"6\.2\.0"):
                await Member(settings, old.url).open()
        assert running() == set()

    async def test_a_missing_right_is_named_and_leaves_nothing_running(
        self, settings: Settings, store: EmbeddedServer, redis: Redis, prefix: str
    ) -> None:
        ask: Any = redis.execute_command
        ask("ACL", "SETUSER", prefix, "on", ">pw", "~*", "&*", "+@all", "-blmove")
        url = f"redis://{prefix}:pw@127.0.0.1:{store.address.port}"
        try:
            with pytest.raises(StoreRefused, match=r"(?i)noperm.*blmove"):
                await Member(settings, url).open()
        finally:
            ask("ACL", "DELUSER", prefix)
        assert running() == set()

    async def test_a_second_attempt_may_succeed(self, settings: Settings, proxy: Proxy) -> None:
        member = Member(settings, proxy.url)
        await proxy.refuse()
        with pytest.raises(Unavailable):
            await member.open()
        await proxy.accept()
        await member.open()
        assert await member.registry.sessions(ALICE) == []
        await member.close()

    async def test_what_it_says_of_itself_is_that_it_only_sends(self) -> None:
        lease = sender_lease()
        assert (lease.role, lease.state, lease.sessions) == ("sender", "live", 0)


class TestJoining:
    async def test_it_has_an_inbox_from_then_on(self, member: Member, redis: Redis) -> None:
        endpoint = await member.join("me")
        assert endpoint.startswith("me.")
        assert (member.sending.own, member.receipts.own) == (endpoint, endpoint)
        redis.rpush(member.keys.inbox(endpoint), encode(message()))
        await eventually(lambda: not redis.exists(member.keys.inbox(endpoint)))
        assert member.counts.received == 1

    async def test_joining_again_does_nothing(self, member: Member) -> None:
        first = await member.join("me")
        assert await member.join("another") == first

    async def test_many_at_once_join_once(self, member: Member) -> None:
        joined = await asyncio.gather(*(member.join("me") for _ in range(10)))
        assert len(set(joined)) == 1
        assert await member.leases.ids() == [joined[0]]

    @pytest.mark.parametrize("nth", [1, 2])
    async def test_an_attempt_that_failed_may_be_repeated(
        self, shaky_member: Member, proxy: Proxy, nth: int
    ) -> None:
        # The first SADD lists the endpoint; the first heartbeat would be the second.
        text = (b"SADD", scripts.OPEN.sha.encode())[nth - 1]
        proxy.when(text, Fault.LOSE_REPLY)
        with pytest.raises(Unavailable):
            await shaky_member.join("me")
        assert shaky_member.endpoint.id is None
        await eventually(lambda: shaky_member.store.up)
        endpoint = await shaky_member.join("me")
        assert shaky_member.endpoint.id == endpoint

    async def test_an_inbox_that_could_not_be_read_is_no_joining(
        self,
        settings: Settings,
        store: EmbeddedServer,
        proxy: Proxy,
        redis: Redis,
        logs: StrictLogs,
    ) -> None:
        logs.expect(LOST)
        async with opened(settings, proxy.url) as member:
            down = asyncio.Event()
            open_reader = member.receiver.open

            async def without_store(endpoint: EndpointId) -> None:
                if not down.is_set():
                    down.set()
                    await proxy.refuse()
                await open_reader(endpoint)

            member.receiver.open = without_store  # type: ignore[method-assign]
            with pytest.raises(Unavailable):
                await member.join("me")
            await proxy.accept()
            await eventually(lambda: member.store.up)
            endpoint = await member.join("me")
            redis.rpush(member.keys.inbox(endpoint), encode(message()))
            await eventually(lambda: member.counts.received == 1)
            assert member.endpoint.alive

    async def test_a_cancelled_caller_does_not_spoil_it_for_the_next(self, member: Member) -> None:
        for moment in range(30):
            attempt = asyncio.create_task(member.join("me"))
            await rounds(moment)
            attempt.cancel()
            await asyncio.wait([attempt])
            if not attempt.cancelled():
                break
        endpoint = await member.join("me")
        assert member.endpoint.id == endpoint
        assert member.endpoint.alive


def message(user: str = "alice") -> MessageEnvelope:
    return MessageEnvelope("m", "", "", 0, 0, 1.0, 0, [user], [], b"1")


class TestLeaving:
    async def test_an_endpoint_with_an_empty_inbox_leaves_no_trace(
        self, member: Member, redis: Redis
    ) -> None:
        await member.join("me")
        assert await member.leave(5.0) == 0
        assert redis.keys(f"{member.keys.prefix}:*") == []
        assert member.endpoint.id is None

    async def test_what_still_arrives_is_dealt_with_first(
        self, member: Member, redis: Redis
    ) -> None:
        endpoint = await member.join("me")
        redis.rpush(member.keys.inbox(endpoint), *([encode(message())] * 50))
        assert await member.leave(5.0) == 0
        assert member.counts.received == 50
        assert redis.exists(member.keys.inbox(endpoint)) == 0

    async def test_what_cannot_be_dealt_with_in_time_stays_and_is_counted(
        self, member: Member, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(member_module, "_EMPTY_POLL_S", 0.005)
        endpoint = await member.join("me")
        await member.receiver.close()
        redis.rpush(member.keys.inbox(endpoint), *([encode(message())] * 3))
        assert await member.leave(0.1) == 3
        assert redis.llen(member.keys.inbox(endpoint)) == 3
        assert redis.exists(member.keys.open(endpoint)) == 1

    async def test_who_never_joined_has_nothing_to_leave(self, member: Member) -> None:
        assert await member.leave(5.0) == 0

    async def test_a_store_that_is_away_does_not_hold_it_up(
        self, shaky_member: Member, proxy: Proxy
    ) -> None:
        await shaky_member.join("me")
        await proxy.refuse()
        await shaky_member.leave(5.0)
        assert shaky_member.endpoint.id is None

    async def test_closing_leaves_nothing_running(
        self, settings: Settings, store: EmbeddedServer
    ) -> None:
        async with opened(settings, store.address.url) as member:
            await member.join("me")
            assert len(running()) == 4
        assert running() == set()
        await member.close()


class Events:
    """What a member tells its owner."""

    def __init__(self) -> None:
        self.fenced: list[EndpointId] = []
        self.backs = 0

    async def on_epoch(self, endpoint: EndpointId) -> None:
        self.fenced.append(endpoint)

    def on_store_back(self) -> None:
        self.backs += 1

    @property
    def wired(self) -> dict[str, Callable[..., Any]]:
        return {"on_epoch": self.on_epoch, "on_store_back": self.on_store_back}


class TestComingBack:
    async def test_a_first_epoch_is_no_news(
        self, settings: Settings, store: EmbeddedServer
    ) -> None:
        events = Events()
        async with opened(settings, store.address.url, **events.wired) as member:
            await member.join("me")
            assert (events.fenced, events.backs) == ([], 0)

    async def test_a_fenced_member_goes_on_under_a_new_name_and_says_so(
        self, settings: Settings, store: EmbeddedServer, redis: Redis, logs: StrictLogs
    ) -> None:
        logs.expect(FENCED, "store connection given up", LOST)
        events = Events()
        async with opened(settings, store.address.url, **events.wired) as member:
            first = await member.join("me")
            redis.delete(member.keys.open(first))
            member.endpoint.check_now()
            await eventually(lambda: events.fenced == [first])
            second = member.endpoint.id
            assert second is not None
            assert (member.sending.own, member.receipts.own) == (second, second)
            redis.rpush(member.keys.inbox(second), encode(message()))
            await eventually(lambda: member.counts.received == 1)

    async def test_a_store_that_is_back_is_news_and_asked_at_once_whether_we_are_fenced(
        self, settings: Settings, proxy: Proxy, redis: Redis, logs: StrictLogs
    ) -> None:
        logs.expect(LOST, FAILED, FENCED, "store connection given up")
        events = Events()
        slow = settings.model_copy(
            update={"lease": settings.lease.model_copy(update={"ttl_s": 900, "heartbeat_s": 300})}
        )
        async with opened(slow, proxy.url, **events.wired) as member:
            first = await member.join("me")
            redis.delete(member.keys.open(first))
            proxy.reset_all()
            await eventually(lambda: events.backs == 1)
            await eventually(lambda: events.fenced == [first])

    async def test_a_push_whose_reply_was_lost_is_repeated_then(
        self, shaky_member: Member, proxy: Proxy, redis: Redis
    ) -> None:
        member, node = shaky_member, EndpointId("n9.aa")
        redis.set(member.keys.open(node), b"1")
        redis.hset(member.keys.routes(ALICE), f"{node}/s", b"entry")
        proxy.when(scripts.PUSH.sha.encode(), Fault.LOSE_COMMAND)
        settled: list[Delivery] = []
        draft = Draft(b"1", origin="", confirm=Confirm.ACCEPTED, timeout_s=10.0)
        member.sending.submit(draft, (ALICE,), settled.append)
        await eventually(lambda: settled)
        assert settled[0].outcome is Outcome.ACCEPTED
        assert redis.llen(member.keys.inbox(node)) == 1


class TestListing:
    async def test_a_broadcast_goes_to_nodes_and_not_to_senders(self, member: Member) -> None:
        await member.join("me")
        said = Lease("node", 1, "127.0.0.1:1", "live", 0, 0, 0, 0.0, 0.0)
        node = await member.leases.open("n1", said)
        assert await member.broadcast_to() == [node]


def test_the_mode_of_the_settings_is_the_transport(settings: Settings) -> None:
    async def made() -> Member:
        return Member(settings, "unix:///nowhere")

    member = asyncio.run(made())
    assert isinstance(member.transport, RoutedTransport)
    assert member.keys == Keys(settings.registry.prefix)
