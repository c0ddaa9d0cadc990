"""The face of Switchboard for asyncio programs: what is sent, what is refused, what is said."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis

from router.aio import MAX_USERS_PER_CALL, Router
from router.codec import Answer, Lease, MessageEnvelope, decode_envelope
from router.errors import (
    InvalidRequest,
    InvalidSettings,
    InvalidUser,
    ServerFailed,
    TooLarge,
    Unavailable,
)
from router.keys import Keys
from router.model import START, Confirm, Offset, Outcome, UserId
from router.settings import Settings
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint, Endpoints, endpoints
from tests.support.proxy import Proxy
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

LOST, FAILED = "store connection lost", "heartbeat failed"


@pytest.fixture
def settings(prefix: str) -> Settings:
    return fast_settings(prefix, node={"max_message_bytes": 1_000})


@pytest.fixture
async def world(store: EmbeddedServer, settings: Settings) -> AsyncIterator[Endpoints]:
    async with endpoints(store.address.url, settings) as found:
        yield found


@pytest.fixture
async def nodes(world: Endpoints) -> list[Endpoint]:
    return [await world.start(name) for name in ("n1", "n2")]


@pytest.fixture
async def router(store: EmbeddedServer, settings: Settings) -> AsyncIterator[Router]:
    async with Router.connect(store.address.url, settings) as found:
        yield found


@pytest.fixture
async def shaky_router(proxy: Proxy, settings: Settings, logs: StrictLogs) -> AsyncIterator[Router]:
    logs.expect(LOST, FAILED)
    async with Router.connect(proxy.url, settings) as found:
        yield found


class TestSend:
    async def test_a_user_who_is_here_receives_it(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        result = await router.send("alice", {"order": 42}, origin="bob")
        assert (result.user, result.outcome, result.sessions) == ("alice", Outcome.DELIVERED, 1)
        [message] = nodes[0].messages
        assert (message.id, message.origin, message.data) == (result.id, "bob", b'{"order":42}')

    async def test_a_user_who_is_away_is_offline(self, router: Router) -> None:
        result = await router.send("nobody", 1)
        assert (result.outcome, result.sessions) == (Outcome.OFFLINE, 0)

    @pytest.mark.parametrize("confirm", ["accepted", "written", "delivered", *Confirm])
    async def test_it_waits_as_far_as_it_is_asked_to(
        self, router: Router, nodes: list[Endpoint], confirm: str | Confirm
    ) -> None:
        await nodes[0].attach("alice")
        result = await router.send("alice", 1, confirm=confirm)
        level = confirm.name.lower() if isinstance(confirm, Confirm) else confirm
        assert result.outcome == level

    async def test_only_who_waits_for_an_answer_needs_an_inbox(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        await router.send("alice", 1, confirm="accepted")
        assert router.member.endpoint.id is None
        await router.send("alice", 1, confirm="written")
        assert router.member.endpoint.id is not None

    async def test_data_that_is_encoded_already_travels_as_it_is(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        await router.send("alice", msgspec.Raw(b'{"a": 1}'))
        assert nodes[0].texts() == ['{"a": 1}']

    async def test_a_given_id_is_the_messages_id(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        for _ in range(2):
            assert (await router.send("alice", 1, id="order-42")).id == "order-42"
        assert [message.id for message in nodes[0].messages] == ["order-42"] * 2

    async def test_a_life_travels_with_the_message(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        before_ms = router.member.clock.now_ms()
        await router.send("alice", 1, ttl=60.0)
        assert nodes[0].messages[0].expires_ms >= before_ms + 60_000

    async def test_time_runs_out_as_unknown(self, router: Router, nodes: list[Endpoint]) -> None:
        await nodes[0].attach("alice")
        nodes[0].silent = True
        result = await router.send("alice", 1, timeout=0.1)
        assert result.outcome is Outcome.UNKNOWN
        assert "0.1 s" in result.reason

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [(Answer.DROPPED, Outcome.DROPPED), (Answer.EXPIRED, Outcome.EXPIRED)],
    )
    async def test_the_nodes_answer_is_the_outcome(
        self, router: Router, nodes: list[Endpoint], answer: Answer, outcome: Outcome
    ) -> None:
        await nodes[0].attach("alice")
        nodes[0].answer = answer
        assert (await router.send("alice", 1)).outcome is outcome

    async def test_a_cancelled_send_stays_sent(self, router: Router, nodes: list[Endpoint]) -> None:
        await nodes[0].attach("alice")
        await router.join()
        nodes[0].silent = True
        sending = asyncio.create_task(router.send("alice", 1))
        await eventually(lambda: nodes[0].messages)
        sending.cancel()
        await asyncio.wait([sending])
        nodes[0].silent = False
        unheard = nodes[0].messages[0]
        nodes[0].member.receipts.add(unheard.sender, unheard.refs[0], Answer.DELIVERED, 1)
        await eventually(lambda: router.member.sending.waiting == 0)
        assert (await router.send("alice", 2)).outcome is Outcome.DELIVERED

    async def test_many_at_once_are_each_told_their_own(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        users = ["alice", "nobody"] * 100
        results = await asyncio.gather(*(router.send(user, user) for user in users))
        assert [result.user for result in results] == users
        outcomes = {result.user: result.outcome for result in results}
        assert outcomes == {"alice": Outcome.DELIVERED, "nobody": Outcome.OFFLINE}


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "error", "field"),
        [
            ({"user": ""}, InvalidUser, "user"),
            ({"user": "a b"}, InvalidUser, "user"),
            ({"origin": "a{b"}, InvalidUser, "from"),
            ({"data": len}, InvalidRequest, "data"),
            ({"data": "x" * 999}, TooLarge, "data"),
            ({"confirm": "never"}, InvalidRequest, "confirm"),
            ({"timeout": 0}, InvalidRequest, "timeout_s"),
            ({"timeout": -1.0}, InvalidRequest, "timeout_s"),
            ({"ttl": 0.0}, InvalidRequest, "ttl_s"),
            ({"id": ""}, InvalidRequest, "id"),
            ({"key": ""}, InvalidRequest, "key"),
            ({"key": "k" * 129}, InvalidRequest, "key"),
        ],
        ids=str,
    )
    async def test_a_call_that_cannot_be_made_names_the_field(
        self, router: Router, call: dict[str, Any], error: type[Exception], field: str
    ) -> None:
        with pytest.raises(error) as caught:
            await router.send(**{"user": "alice", "data": 1, **call})
        assert getattr(caught.value, "field", None) == field
        assert router.member.sending.counts.sends == 0
        assert router.member.endpoint.id is None

    async def test_data_may_have_its_full_size(self, router: Router, nodes: list[Endpoint]) -> None:
        await nodes[0].attach("alice")
        assert (await router.send("alice", "x" * 998)).outcome is Outcome.DELIVERED

    async def test_a_store_that_is_away_is_unavailable_at_once(
        self, shaky_router: Router, proxy: Proxy
    ) -> None:
        await shaky_router.join()
        await proxy.refuse()
        await eventually(lambda: not shaky_router.member.store.up)
        for confirm in Confirm:
            with pytest.raises(Unavailable):
                await shaky_router.send("alice", 1, confirm=confirm, timeout=60.0)


class TestSendMany:
    async def test_each_user_has_a_result(self, router: Router, nodes: list[Endpoint]) -> None:
        await nodes[0].attach("alice")
        await nodes[1].attach("bob")
        results = await router.send_many(["alice", "nobody", "bob"], {"sale": True})
        assert {user: result.outcome for user, result in results.items()} == {
            "alice": Outcome.ACCEPTED,
            "nobody": Outcome.OFFLINE,
            "bob": Outcome.ACCEPTED,
        }
        assert list(results) == ["alice", "nobody", "bob"]
        assert len({result.id for result in results.values()}) == 1

    async def test_it_is_one_envelope_per_node_and_not_one_per_user(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        here, there = [f"a{n}" for n in range(20)], [f"b{n}" for n in range(5)]
        await nodes[0].attach(*here)
        await nodes[1].attach(*there)
        results = await router.send_many([*here, *there], 1, confirm="delivered")
        assert {result.outcome for result in results.values()} == {Outcome.DELIVERED}
        assert [node.member.counts.received for node in nodes] == [1, 1]
        assert nodes[0].messages[0].users == here

    async def test_a_user_named_twice_counts_once(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        results = await router.send_many(["alice", "alice"], 1)
        await eventually(lambda: nodes[0].messages)
        assert list(results) == ["alice"]
        assert nodes[0].messages[0].users == ["alice"]

    async def test_nobody_is_nobody(self, router: Router) -> None:
        assert await router.send_many([], 1) == {}

    async def test_too_many_are_refused(self, router: Router) -> None:
        users = (f"user-{number}" for number in range(MAX_USERS_PER_CALL + 1))
        with pytest.raises(InvalidRequest) as caught:
            await router.send_many(users, 1)
        assert caught.value.field == "to"

    async def test_one_that_is_no_user_spoils_the_call(self, router: Router) -> None:
        with pytest.raises(InvalidUser) as caught:
            await router.send_many(["alice", "a b"], 1)
        assert caught.value.field == "to"
        assert router.member.sending.counts.sends == 0

    async def test_a_store_that_is_away_is_unavailable(
        self, shaky_router: Router, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not shaky_router.member.store.up)
        with pytest.raises(Unavailable):
            await shaky_router.send_many(["alice", "bob"], 1)

    async def test_a_failure_for_some_shows_in_their_results(
        self, router: Router, nodes: list[Endpoint], redis: Redis, settings: Settings
    ) -> None:
        await nodes[0].attach("alice")
        redis.set(Keys(settings.registry.prefix).routes(UserId("bob")), b"not a hash")
        results = await router.send_many(["alice", "bob"], 1)
        assert results[UserId("alice")].outcome is Outcome.ACCEPTED
        assert results[UserId("bob")].outcome is Outcome.BUSY
        assert "WRONGTYPE" in results[UserId("bob")].reason

    async def test_more_than_may_wait_are_busy(self, store: EmbeddedServer, prefix: str) -> None:
        few = fast_settings(prefix, delivery={"max_waiting": 3})
        async with Router.connect(store.address.url, few) as router:
            results = await router.send_many(["a", "b", "c", "d"], 1)
        assert {result.outcome for result in results.values()} == {Outcome.BUSY}


def node_lease() -> Lease:
    return Lease("node", 1, "127.0.0.1:1", "live", 0, 0, 0, 0.0, 0.0)


class TestBroadcast:
    async def test_every_node_has_it_and_no_sender(
        self, router: Router, redis: Redis, settings: Settings
    ) -> None:
        await router.join()
        leases = router.member.leases
        ids = [await leases.open(name, node_lease()) for name in ("n1", "n2")]
        assert await router.broadcast({"all": 1}, origin="bob") == 2
        keys = Keys(settings.registry.prefix)
        for endpoint in ids:
            [entry] = redis.lrange(keys.inbox(endpoint), 0, -1)
            message = decode_envelope(bytes(entry))  # type: ignore[arg-type]
            assert isinstance(message, MessageEnvelope)
            assert (message.users, message.sender, message.origin) == (None, "", "bob")
            assert message.data == b'{"all":1}'

    async def test_a_node_that_is_full_or_closed_does_not_count(
        self, router: Router, redis: Redis, settings: Settings
    ) -> None:
        keys = Keys(settings.registry.prefix)
        leases = router.member.leases
        full, _ = [await leases.open(name, node_lease()) for name in ("n1", "n2")]
        redis.rpush(keys.inbox(full), *["x"] * settings.inbox.max_length)
        assert await router.broadcast(1) == 1

    async def test_without_nodes_nobody_has_it(self, router: Router) -> None:
        assert await router.broadcast(1) == 0

    @pytest.mark.parametrize(
        ("call", "error"),
        [({"data": len}, InvalidRequest), ({"data": 1, "origin": "a b"}, InvalidUser)],
        ids=str,
    )
    async def test_a_call_that_cannot_be_made_is_refused(
        self, router: Router, call: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await router.broadcast(**call)

    async def test_a_store_that_is_away_is_unavailable(
        self, shaky_router: Router, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        with pytest.raises(Unavailable):
            await shaky_router.broadcast(1)


class TestKick:
    async def test_the_nodes_say_how_many_they_closed(
        self, router: Router, nodes: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for node in nodes:
            await node.attach("alice")
            monkeypatch.setattr(node, "kick", lambda _: 1)
        assert await router.kick("alice", reason="enough") == 2
        assert await router.kick("alice", session="not-hers") == 0

    async def test_what_cannot_be_a_user_is_refused(self, router: Router) -> None:
        with pytest.raises(InvalidUser):
            await router.kick("")


class TestAsking:
    async def test_the_same_questions_as_to_the_directory(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        [session] = await nodes[0].attach("alice")
        assert await router.sessions("alice") == [session]
        assert (await router.user("alice")).online
        assert [user.user async for user in router.users(node="n1")] == ["alice"]
        page, cursor = await router.page(prefix="al")
        assert ([user.user for user in page], cursor) == (["alice"], None)
        assert await router.locate(["alice", "bob"]) == {"alice": ["n1"]}
        assert await router.nodes() == []


class TestConnecting:
    async def test_leaving_gives_the_endpoint_back(
        self, store: EmbeddedServer, settings: Settings, redis: Redis
    ) -> None:
        async with Router.connect(store.address.url, settings) as router:
            await router.join()
            assert redis.keys(f"{settings.registry.prefix}:*")
        assert redis.keys(f"{settings.registry.prefix}:*") == []

    async def test_sends_under_way_end_as_unknown(
        self, store: EmbeddedServer, settings: Settings, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        nodes[0].silent = True
        router = Router.connect(store.address.url, settings)
        await router.__aenter__()
        await router.join()
        sending = asyncio.create_task(router.send("alice", 1, timeout=0.3))
        await eventually(lambda: nodes[0].messages)
        await router.close()
        assert (await sending).outcome is Outcome.UNKNOWN

    async def test_a_config_file_names_the_store(
        self, store: EmbeddedServer, prefix: str, tmp_path: Path
    ) -> None:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[redis]\nurl = "{store.address.url}"\n[registry]\nprefix = "{prefix}"\n'
        )
        async with Router.from_config(config) as router:
            assert router.member.keys.prefix == prefix
            assert await router.sessions("alice") == []

    async def test_an_embedded_store_that_does_not_run_is_an_error_with_advice(
        self, tmp_path: Path
    ) -> None:
        settings = Settings.model_validate({"redis": {"data_dir": str(tmp_path)}})
        with pytest.raises(ServerFailed, match="switchboard up"):
            Router.from_settings(settings)

    async def test_a_file_that_cannot_be_used_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettings):
            Router.from_config(tmp_path / "none.toml")

    async def test_its_endpoint_may_have_a_name(
        self, store: EmbeddedServer, settings: Settings
    ) -> None:
        member = Router.connect(store.address.url, settings).member
        async with Router(member, "biller") as router:
            await router.join()
            assert str(router.member.endpoint.id).startswith("biller.")

    async def test_settings_may_be_left_at_their_defaults(self, store: EmbeddedServer) -> None:
        async with Router.connect(store.address.url) as router:
            assert router.member.settings == Settings()
        await rounds()


class TestDurable:
    async def test_for_one_who_is_away_it_is_queued(self, router: Router) -> None:
        for number in range(3):
            result = await router.send("away", number, durable=True)
            assert (result.outcome, result.sessions) == (Outcome.QUEUED, 0)
        assert (await router.user("away")).mailbox == 3

    async def test_its_place_and_the_one_before_travel_with_it(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        for number in range(3):
            result = await router.send("alice", number, durable=True)
            assert result.outcome is Outcome.DELIVERED
        chain = [(Offset.parse(m.before[0]), Offset.parse(m.offsets[0])) for m in nodes[0].messages]
        assert chain[0][0] == START
        assert [before for before, _ in chain[1:]] == [offset for _, offset in chain[:-1]]
        assert all(before < offset for before, offset in chain)

    async def test_every_node_of_the_user_has_the_same_place(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        for node in nodes:
            await node.attach("alice")
        await router.send("alice", 1, durable=True)
        assert nodes[0].messages[0].offsets == nodes[1].messages[0].offsets

    async def test_durable_and_plain_ones_keep_the_order_of_the_calls(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        sends = [router.send("alice", n, durable=n % 3 == 1) for n in range(60)]
        await asyncio.gather(*sends)
        assert nodes[0].texts() == [str(n) for n in range(60)]
        found = [Offset.parse(m.offsets[0]) for m in nodes[0].messages if m.offsets]
        assert found == sorted(found)

    async def test_a_session_that_is_too_slow_leaves_it_queued(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        nodes[0].answer = Answer.DROPPED
        assert (await router.send("alice", 1)).outcome is Outcome.DROPPED
        assert (await router.send("alice", 1, durable=True)).outcome is Outcome.QUEUED

    async def test_the_application_may_be_waited_for(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        result = await router.send("alice", 1, durable=True, confirm="acked")
        assert result.outcome is Outcome.ACKED
        nodes[0].answer = Answer.DELIVERED
        result = await router.send("alice", 1, durable=True, confirm="acked")
        assert result.outcome is Outcome.UNKNOWN

    async def test_a_time_that_runs_out_says_that_it_is_stored(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        nodes[0].silent = True
        result = await router.send("alice", 1, durable=True, timeout=0.1)
        assert result.outcome is Outcome.UNKNOWN
        assert result.reason == "no proof came in 0.1 s; the message is stored"

    async def test_each_of_many_has_it_stored(self, router: Router, nodes: list[Endpoint]) -> None:
        await nodes[0].attach("alice")
        await nodes[1].attach("bob")
        results = await router.send_many(["alice", "bob", "away"], 1, durable=True)
        assert [result.outcome for result in results.values()] == [
            Outcome.ACCEPTED,
            Outcome.ACCEPTED,
            Outcome.QUEUED,
        ]
        for user in results:
            assert (await router.user(user)).mailbox == 1


class TestNotTwice:
    async def test_another_message_with_the_same_key_is_not_sent(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        for durable in (True, False):
            first = await router.send("alice", 1, durable=durable, key=f"k{durable}")
            again = await router.send("alice", 2, durable=durable, key=f"k{durable}")
            assert (first.outcome, again.outcome) == (Outcome.DELIVERED, Outcome.DUPLICATE)
            assert again.id == first.id
        assert nodes[0].texts() == ["1", "1"]

    async def test_many_at_once_with_one_key_are_one(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice")
        results = await asyncio.gather(
            *(router.send("alice", n, durable=True, key="k") for n in range(20))
        )
        assert [result.outcome for result in results].count(Outcome.DUPLICATE) == 19
        assert nodes[0].texts() == ["0"]

    async def test_a_key_counts_for_its_sender_and_its_user_only(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        await nodes[0].attach("alice", "eve")
        for user, origin in (("alice", "bob"), ("alice", "carol"), ("alice", ""), ("eve", "bob")):
            result = await router.send(user, 1, key="k", origin=origin)
            assert result.outcome is Outcome.DELIVERED

    async def test_a_key_whose_message_reached_nobody_may_be_used_again(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        for _ in range(2):
            assert (await router.send("alice", 1, key="k")).outcome is Outcome.OFFLINE
        await nodes[0].attach("alice")
        assert (await router.send("alice", 1, key="k")).outcome is Outcome.DELIVERED
        assert (await router.send("alice", 1, key="k")).outcome is Outcome.DUPLICATE

    async def test_a_key_whose_message_is_queued_may_not(self, router: Router) -> None:
        assert (await router.send("away", 1, durable=True, key="k")).outcome is Outcome.QUEUED
        assert (await router.send("away", 1, durable=True, key="k")).outcome is Outcome.DUPLICATE

    async def test_a_repeat_with_its_id_is_stored_once_and_brought_again(
        self, router: Router, nodes: list[Endpoint]
    ) -> None:
        first = await router.send("alice", 1, durable=True)
        await nodes[0].attach("alice")
        again = await router.send("alice", 1, durable=True, id=first.id)
        assert (again.outcome, again.id) == (Outcome.DELIVERED, first.id)
        assert (await router.user("alice")).mailbox == 1

    @pytest.mark.parametrize("key", ["", "k" * 129, "a\nb"])
    async def test_what_cannot_be_a_key_is_refused(self, router: Router, key: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await router.send("alice", 1, key=key)
        assert caught.value.field == "key"
