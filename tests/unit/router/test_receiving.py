"""The loop of one inbox: every envelope is dealt with, and only true answers leave."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from router.codec import (
    Answer,
    Envelope,
    KickEnvelope,
    MessageEnvelope,
    ReceiptEnvelope,
    decode_envelope,
    encode,
)
from router.counts import Counts
from router.deadletters import DeadLetters
from router.forwarding import Forwarder
from router.keys import Keys
from router.model import EndpointId, Session, SessionId, UserId
from router.receipts import Receipts
from router.receiving import Receiver
from router.settings import InboxSettings, RegistrySettings
from router.store import scripts
from router.store.connect import Connector
from router.store.registry import Registry
from router.store.store import Store
from router.transport.outbox import Outbox
from tests.support.proxy import Fault, Proxy
from tests.support.rooms import room
from tests.support.waiting import eventually, rounds
from tests.unit.router.conftest import StrictLogs

ME, N2, SENDER = EndpointId("n1.aa"), EndpointId("n2.bb"), EndpointId("send.01")
ALICE = UserId("alice")
BURIED = "inbox entry cannot be used; kept as a dead letter"
GIVEN_UP, LOST = "store connection given up", "store connection lost"
TRIM_SHA, FORGET_SHA = scripts.TRIM.sha.encode(), scripts.FORGET.sha.encode()


class Sockets:
    """Stands in for the node: who is here, and what is answered for them."""

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts
        self.here: dict[str, Answer] = {}
        self.messages: list[MessageEnvelope] = []
        self.kicks: list[KickEnvelope] = []
        self.flushed: list[int] = []
        self.poison: Exception | None = None

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        self.messages.append(envelope)
        if self.poison is not None and envelope.data == b'"poison"':
            raise self.poison
        missed = []
        for index, user in enumerate(envelope.users or ()):
            answer = self.here.get(user, Answer.NOT_HERE)
            if answer in (Answer.WRITTEN, Answer.DELIVERED):
                if envelope.sender:
                    self._receipts.add(envelope.sender, envelope.refs[index], answer, 1)
            else:
                missed.append((index, answer))
        return missed

    def kick(self, envelope: KickEnvelope) -> int:
        self.kicks.append(envelope)
        return 2

    def flush(self) -> None:
        self.flushed.append(len(self.messages))

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        return [SessionId("s1")] if user in self.here else []

    @property
    def data(self) -> list[bytes]:
        return [message.data for message in self.messages]


class World:
    """A receiver with everything around it.

    Args:
        inbox: opens the inbox's own connection.
        store: for everything else the receiver does.
        keys: key names.
        redis: for arranging and looking.
    """

    def __init__(self, inbox: Connector, store: Store, keys: Keys, redis: "Redis") -> None:
        self.keys = keys
        self.redis = redis
        self.registry = Registry(store, keys, RegistrySettings())
        outbox = Outbox(store, keys, room(100), 1_000)
        self.taken: list[int] = []
        self.receipts = Receipts(outbox, self.taken.extend)
        self.fenced = 0
        counts = Counts()
        self.receiver = Receiver(
            inbox,
            keys,
            InboxSettings(block_s=0.2),
            Forwarder(self.registry, outbox, counts),
            DeadLetters(store, keys, counts),
            self.receipts,
            self.taken.extend,
            self._fenced,
            counts,
        )
        self.sockets = Sockets(self.receipts)
        self.receiver.recipient = self.sockets

    def _fenced(self) -> None:
        self.fenced += 1

    def push(self, *envelopes: Envelope | bytes) -> None:
        entries = [e if isinstance(e, bytes) else encode(e) for e in envelopes]
        self.redis.rpush(self.keys.inbox(ME), *entries)

    async def come(self, user: UserId, endpoint: EndpointId) -> None:
        written = Session(SessionId("s1"), endpoint, "web", "", 1.0)
        await self.registry.register([(user, written)])

    def inbox(self, endpoint: EndpointId) -> list[Envelope]:
        entries: Any = self.redis.lrange(self.keys.inbox(endpoint), 0, -1)
        return [decode_envelope(entry) for entry in entries]

    def answers(self) -> list[tuple[int, int]]:
        """Return what SENDER was told so far: (ref, answer)."""
        items: list[int] = []
        for entry in self.inbox(SENDER):
            assert isinstance(entry, ReceiptEnvelope)
            items += entry.items
        return list(zip(items[::3], items[1::3], strict=True))

    async def emptied(self) -> None:
        """Wait until the inbox is empty: everything is dealt with."""
        await eventually(lambda: not self.redis.exists(self.keys.inbox(ME)), what="an empty inbox")

    async def answered(self, *answers: tuple[int, Answer]) -> None:
        await eventually(lambda: self.answers() == list(answers), what=f"{answers}")


@asynccontextmanager
async def received(
    inbox: Connector, store: Store, keys: Keys, redis: "Redis"
) -> AsyncIterator[World]:
    redis.mset({keys.open(endpoint): b"1" for endpoint in (ME, N2, SENDER)})
    world = World(inbox, store, keys, redis)
    await world.receiver.open(ME)
    try:
        yield world
    finally:
        await world.receiver.close()


@pytest.fixture
async def world(
    connector: Connector, plain_store: Store, keys: Keys, redis: Redis
) -> AsyncIterator[World]:
    async with received(connector, plain_store, keys, redis) as found:
        yield found


@pytest.fixture
async def shaky_inbox(
    shaky: Connector, plain_store: Store, keys: Keys, redis: Redis, logs: StrictLogs
) -> AsyncIterator[World]:
    """The inbox's connection goes through the proxy, the other does not."""
    logs.expect(LOST, GIVEN_UP)
    async with received(shaky, plain_store, keys, redis) as found:
        yield found


@pytest.fixture
async def shaky_rest(
    connector: Connector, shaky_store: Store, keys: Keys, redis: Redis, logs: StrictLogs
) -> AsyncIterator[World]:
    """All but the inbox's connection goes through the proxy."""
    logs.expect(LOST, GIVEN_UP)
    async with received(connector, shaky_store, keys, redis) as found:
        yield found


def message(ref: int = 1, user: str = "alice", data: bytes = b'"x"', hop: int = 0) -> Any:
    return MessageEnvelope(f"m{ref}", SENDER, "bob", 2, hop, 1.0, 0, [user], [ref], data)


class TestHandingOut:
    async def test_messages_are_handed_out_in_order_and_flushed_once_a_batch(
        self, world: World
    ) -> None:
        world.sockets.here["alice"] = Answer.WRITTEN
        world.push(*(message(n, data=str(n).encode()) for n in range(5)))
        await world.emptied()
        assert world.sockets.data == [b"0", b"1", b"2", b"3", b"4"]
        assert world.sockets.flushed[-1] == 5
        assert len(world.sockets.flushed) <= 2
        assert world.receiver.counts.received == 5

    async def test_good_news_does_not_wait_until_the_batch_is_removed(
        self, shaky_inbox: World, proxy: Proxy
    ) -> None:
        shaky_inbox.sockets.here["alice"] = Answer.DELIVERED
        proxy.when(TRIM_SHA, Fault.HANG)  # its reply never comes
        shaky_inbox.push(message(7))
        await shaky_inbox.answered((7, Answer.DELIVERED))

    async def test_answers_to_our_own_sends_are_taken(self, world: World) -> None:
        world.push(ReceiptEnvelope([1, 2, 3]), ReceiptEnvelope([4, 5, 6]))
        await world.emptied()
        assert world.taken == [1, 2, 3, 4, 5, 6]

    async def test_an_order_to_close_is_answered_with_how_many(self, world: World) -> None:
        order = KickEnvelope(SENDER, 9, "alice", "s1", "go")
        world.push(order)
        await world.answered((9, Answer.KICKED))
        assert world.sockets.kicks == [order]
        assert world.inbox(SENDER) == [ReceiptEnvelope([9, Answer.KICKED, 2])]

    async def test_a_message_to_everybody_misses_nobody(self, world: World) -> None:
        world.push(MessageEnvelope("m", "", "", 0, 0, 1.0, 0, None, [], b"1"))
        await world.emptied()
        assert world.sockets.data == [b"1"]

    async def test_what_comes_by_another_way_is_handed_out_and_leaves_nothing(
        self, world: World, logs: StrictLogs
    ) -> None:
        logs.expect(BURIED)
        world.receiver.deliver(encode(message(1)))
        world.receiver.deliver(encode(ReceiptEnvelope([])))
        world.receiver.deliver(b"garbage")
        world.receiver.flush()
        assert world.sockets.messages == [message(1)]
        assert (world.receiver.counts.received, world.receiver.counts.dead) == (1, 1)
        assert world.sockets.flushed == [1]

    async def test_what_cannot_be_stood_of_it_is_put_aside(
        self, world: World, logs: StrictLogs
    ) -> None:
        logs.expect(BURIED)
        world.sockets.poison = RuntimeError("a fault of ours")
        world.receiver.deliver(encode(message(1, data=b'"poison"')))
        world.receiver.deliver(encode(message(2)))
        assert world.sockets.data == [b'"poison"', b'"x"']
        assert world.receiver.counts.dead == 1


class TestGarbage:
    @pytest.mark.parametrize(
        "garbage",
        [b"", b"garbage", b"\x91\x11", b"\xff" * 100, b"\x96\x13\xa1\xff\x01\xa1u\xa0\xa0"],
    )
    async def test_it_becomes_a_dead_letter_and_the_next_is_handed_out(
        self, world: World, logs: StrictLogs, garbage: bytes
    ) -> None:
        logs.expect(BURIED)
        world.sockets.here["alice"] = Answer.WRITTEN
        world.push(message(1), garbage, message(2))
        await world.answered((1, Answer.WRITTEN), (2, Answer.WRITTEN))
        await world.emptied()
        assert world.redis.lrange(world.keys.dead, 0, -1) == [garbage]
        assert world.receiver.counts.dead == 1

    async def test_a_whole_batch_of_it_does_not_stop_the_loop(
        self, world: World, logs: StrictLogs
    ) -> None:
        logs.expect(BURIED)
        world.push(*(b"garbage %d" % number for number in range(700)))
        await world.emptied()
        assert world.receiver.counts.dead == 700
        assert len(logs.events(BURIED)) == 1
        world.push(message(1))
        await world.emptied()
        assert world.sockets.messages == [message(1)]

    async def test_an_envelope_its_reader_cannot_stand_is_put_aside_and_answered(
        self, world: World, logs: StrictLogs
    ) -> None:
        logs.expect(BURIED)
        world.sockets.here["alice"] = Answer.WRITTEN
        world.sockets.poison = RuntimeError("a fault of ours")
        world.push(message(1, data=b'"poison"'), message(2))
        await world.answered((2, Answer.WRITTEN), (1, Answer.FAILED))
        await world.emptied()
        assert world.redis.llen(world.keys.dead) == 1
        assert world.sockets.data == [b'"poison"', b'"x"']

    async def test_a_poisoned_message_nobody_waits_for_is_put_aside_in_silence(
        self, world: World, logs: StrictLogs
    ) -> None:
        logs.expect(BURIED)
        world.sockets.poison = RuntimeError("a fault of ours")
        world.push(MessageEnvelope("m", "", "", 0, 0, 1.0, 0, None, [], b'"poison"'))
        await world.emptied()
        assert world.receiver.counts.dead == 1


class TestFollowing:
    async def test_a_message_follows_its_user(self, world: World) -> None:
        await world.come(ALICE, ME)
        await world.come(ALICE, N2)
        world.push(message(5))
        await world.emptied()
        assert world.inbox(N2) == [message(5, hop=1)]
        assert world.answers() == []
        assert world.receiver.counts.sent_on == 1

    async def test_only_those_who_are_gone_are_followed(self, world: World) -> None:
        world.sockets.here["bob"] = Answer.DELIVERED
        await world.come(ALICE, N2)
        both = MessageEnvelope("m", SENDER, "", 2, 0, 1.0, 0, ["bob", "alice"], [1, 2], b"1")
        world.push(both)
        await world.emptied()
        [onward] = world.inbox(N2)
        assert isinstance(onward, MessageEnvelope)
        assert (onward.users, onward.refs) == (["alice"], [2])
        await world.answered((1, Answer.DELIVERED))

    async def test_what_is_sent_on_is_sent_before_the_batch_is_removed(
        self, shaky_inbox: World, proxy: Proxy
    ) -> None:
        await shaky_inbox.come(ALICE, N2)
        proxy.when(TRIM_SHA, Fault.LOSE_COMMAND)
        shaky_inbox.push(message(5))
        await eventually(lambda: shaky_inbox.inbox(N2))
        await shaky_inbox.emptied()

    async def test_a_route_that_is_no_longer_true_is_removed(self, world: World) -> None:
        await world.come(ALICE, ME)
        world.push(message(5))
        await world.answered((5, Answer.NOT_HERE))
        assert await world.registry.sessions(ALICE) == []

    async def test_a_user_who_came_back_here_meanwhile_keeps_the_session(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.come(ALICE, ME)
        monkeypatch.setattr(world.sockets, "sessions_of", lambda _: [SessionId("s1")])
        world.push(message(5))
        await eventually(lambda: len(world.sockets.messages) >= 2)
        assert [session.session for session in await world.registry.sessions(ALICE)] == ["s1"]
        world.sockets.here["alice"] = Answer.WRITTEN


class TestAnswers:
    @pytest.mark.parametrize("kind", [Answer.DROPPED, Answer.EXPIRED])
    async def test_a_first_copy_that_reached_nobody_is_answered_as_it_is(
        self, world: World, kind: Answer
    ) -> None:
        world.sockets.here["alice"] = kind
        world.push(message(3))
        await world.answered((3, kind))

    async def test_a_first_copy_for_nobody_is_answered_as_it_is(self, world: World) -> None:
        world.push(message(3))
        await world.answered((3, Answer.NOT_HERE))

    @pytest.mark.parametrize("kind", [Answer.DROPPED, Answer.EXPIRED, Answer.NOT_HERE])
    async def test_of_a_copy_that_was_sent_on_nobody_can_be_sure(
        self, world: World, kind: Answer
    ) -> None:
        world.sockets.here["alice"] = kind
        world.push(message(3, hop=1))
        await world.answered((3, Answer.UNSURE))

    @pytest.mark.parametrize("kind", [Answer.DROPPED, Answer.EXPIRED, Answer.NOT_HERE])
    async def test_of_a_copy_that_was_read_twice_nobody_can_be_sure(
        self, shaky_inbox: World, proxy: Proxy, kind: Answer
    ) -> None:
        shaky_inbox.sockets.here["alice"] = kind
        proxy.when(TRIM_SHA, Fault.LOSE_COMMAND)
        shaky_inbox.push(message(3))
        await shaky_inbox.answered((3, Answer.UNSURE))
        assert len(shaky_inbox.sockets.messages) == 2

    @pytest.mark.parametrize("kind", [Answer.DROPPED, Answer.EXPIRED, Answer.NOT_HERE])
    async def test_a_negative_answer_waits_until_the_batch_is_removed(
        self, shaky_inbox: World, proxy: Proxy, kind: Answer
    ) -> None:
        shaky_inbox.sockets.here["alice"] = kind
        trimmed = proxy.when(TRIM_SHA, Fault.HANG)
        shaky_inbox.push(message(3))
        await trimmed.wait()
        await rounds(50)
        assert shaky_inbox.answers() == []

    async def test_a_negative_answer_that_is_in_doubt_is_never_given(
        self, shaky_inbox: World, proxy: Proxy
    ) -> None:
        proxy.when(TRIM_SHA, Fault.LOSE_REPLY)
        shaky_inbox.push(message(3))
        await shaky_inbox.emptied()
        shaky_inbox.push(message(4))
        await shaky_inbox.answered((4, Answer.NOT_HERE))

    async def test_who_wants_no_answer_gets_none(self, world: World) -> None:
        world.push(MessageEnvelope("m", "", "", 0, 0, 1.0, 0, ["alice"], [], b"1"))
        world.sockets.here["eve"] = Answer.DROPPED
        world.push(MessageEnvelope("m", "", "", 0, 0, 1.0, 0, ["eve"], [], b"1"))
        await world.emptied()
        await rounds(10)
        assert world.inbox(SENDER) == []


class TestAStoreThatGoesAway:
    @pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
    async def test_a_batch_that_could_not_be_sent_on_is_read_again_and_never_called_offline(
        self, shaky_rest: World, proxy: Proxy, fault: Fault
    ) -> None:
        proxy.when(FORGET_SHA, fault)
        shaky_rest.push(message(3))
        await shaky_rest.answered((3, Answer.UNSURE))
        assert len(shaky_rest.sockets.messages) >= 2

    async def test_while_it_is_away_nothing_is_removed(
        self, shaky_rest: World, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        shaky_rest.push(message(3))
        await eventually(lambda: len(shaky_rest.sockets.messages) >= 3)
        assert shaky_rest.inbox(ME) == [message(3)]
        await proxy.accept()
        await shaky_rest.emptied()
        await shaky_rest.answered((3, Answer.UNSURE))

    async def test_a_fault_of_ours_while_sending_on_is_logged_and_tried_again(
        self, world: World, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logs.expect("could not send on", GIVEN_UP, LOST)
        calls: list[UserId] = []

        def broken(user: UserId) -> Sequence[SessionId]:
            calls.append(user)
            if len(calls) == 1:
                raise RuntimeError("a fault of ours")
            return []

        monkeypatch.setattr(world.sockets, "sessions_of", broken)
        world.push(message(3))
        await world.answered((3, Answer.UNSURE))
        assert len(logs.events("could not send on")) == 1

    async def test_a_sending_on_overtaken_by_a_second_reading_says_nothing_of_its_own(
        self, shaky_rest: World, proxy: Proxy
    ) -> None:
        proxy.hold()
        shaky_rest.push(message(3))
        await eventually(lambda: len(shaky_rest.sockets.messages) == 1)
        shaky_rest.receiver._reader.again("a doubt")
        await eventually(lambda: len(shaky_rest.sockets.messages) == 2)
        proxy.heal()
        await shaky_rest.emptied()
        await shaky_rest.answered((3, Answer.UNSURE))

    async def test_closing_leaves_no_sending_on_behind(
        self, shaky_rest: World, proxy: Proxy
    ) -> None:
        proxy.hold()
        shaky_rest.push(message(3))
        await eventually(lambda: len(shaky_rest.sockets.messages) == 1)
        shaky_rest.receiver._reader.again("a doubt")
        await eventually(lambda: len(shaky_rest.receiver._sending_on) == 2)
        await shaky_rest.receiver.close()
        assert not shaky_rest.receiver._sending_on
        assert shaky_rest.inbox(ME) == [message(3)]


class TestEpochs:
    async def test_a_fenced_inbox_is_reported(self, shaky_inbox: World) -> None:
        shaky_inbox.redis.delete(shaky_inbox.keys.open(ME))
        shaky_inbox.push(message(3))
        await eventually(lambda: shaky_inbox.fenced)
        assert shaky_inbox.answers() == []

    async def test_the_next_epoch_forwards_under_its_own_name(self, shaky_inbox: World) -> None:
        later = EndpointId("n1.zz")
        shaky_inbox.redis.set(shaky_inbox.keys.open(later), b"1")
        await shaky_inbox.receiver.open(later)
        await shaky_inbox.come(ALICE, later)
        shaky_inbox.redis.rpush(shaky_inbox.keys.inbox(later), encode(message(3)))
        await shaky_inbox.answered((3, Answer.NOT_HERE))
        assert await shaky_inbox.registry.sessions(ALICE) == []
