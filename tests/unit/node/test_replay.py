"""What a session missed comes before what is live, in order and without a hole."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

import pytest

from node import replay as replay_module
from node.delivery import NodeDelivery
from node.frames import JSON, MSGPACK, Codec
from node.hub import Hub
from node.proofs import Proof
from node.replay import Replays
from node.session import ClientSession
from router.codec import Answer, MessageEnvelope, StoredMessage
from router.keys import Keys
from router.model import START, Confirm, Offset, UserId
from router.settings import MailboxSettings, RedisSettings
from router.store.clock import StoreClock
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.mailbox import Deposit, Mailbox, parse_deposit
from router.store.modes import make_store
from router.store.store import Store
from tests.support.answers import SENDER, Answers
from tests.support.logs import Logs
from tests.support.proxy import Fault, Proxy
from tests.support.sessions import RecordingSocket, Sessions
from tests.support.valkey import plain_client
from tests.support.waiting import eventually, rounds

ALICE = UserId("alice")
BATCH = replay_module._BATCH
FULL = 10**9


class World:
    """Replays and live delivery over one real mailbox; sessions without a network.

    Args:
        writes: the connection by which the test stores.
        reads: the connection by which mailboxes are read.
        keys: key names.
    """

    def __init__(self, writes: Store, reads: Store, keys: Keys) -> None:
        self.way = writes
        self.keys = keys
        self.clock = StoreClock()
        self.mailbox = Mailbox(reads, keys, MailboxSettings())
        self.replays = Replays(self.mailbox, self.clock)
        self.answers = Answers()
        self.hub: Hub[ClientSession] = Hub()
        self.sessions = Sessions()
        self.delivery = NodeDelivery(
            self.hub, self.answers.receipts, self.clock, self.replays.catch_up
        )
        self._stored = 0

    async def store(self, *, expires_ms: int = 0) -> tuple[int, Deposit]:
        """Store the next message: its number is its data, and `m<number>` its id."""
        self._stored += 1
        number = self._stored
        message = StoredMessage(f"m{number}", "bob", 1.5, expires_ms, b"%d" % number)
        command = self.mailbox.pack_lookup(ALICE, message, durable=True, key=None, again=False)
        return number, parse_deposit((await self.way.call(command))[:-1])

    async def store_many(self, count: int) -> list[Offset]:
        made = [await self.store() for _ in range(count)]
        return [deposit.offset for _, deposit in made if deposit.offset]

    def live(
        self, number: int, deposit: Deposit, confirm: Confirm = Confirm.DELIVERED
    ) -> Sequence[tuple[int, Answer]]:
        """Have the live copy of a stored message arrive; the sender calls it `number`."""
        envelope = MessageEnvelope(
            id=f"m{number}",
            sender=SENDER,
            origin="bob",
            confirm=confirm,
            hop=0,
            sent_at=1.5,
            expires_ms=0,
            users=[ALICE],
            refs=[number],
            data=b"%d" % number,
            offsets=[str(deposit.offset)],
            before=[str(deposit.before)],
        )
        missed = self.delivery.message(envelope)
        self.delivery.flush()
        return missed

    async def connect(
        self, after: Offset | None = START, *, codec: Codec = JSON, manual_acks: bool = False
    ) -> tuple[ClientSession, RecordingSocket]:
        """Return a welcomed session that goes on after an offset; None: it does not know yet."""
        session, socket = self.sessions.make(ALICE, codec=codec, manual_acks=manual_acks)
        self.hub.add(session)
        if after is not None:
            session.resume(after, whole=True)
        return session, socket

    async def replayed(self, session: ClientSession) -> None:
        await eventually(lambda: not session.place.replaying)

    def close(self, session: ClientSession) -> None:
        self.hub.remove(session)
        session.gone()


@contextlib.asynccontextmanager
async def opened_way(url: str) -> AsyncIterator[Store]:
    way = make_store(Connector(url, RedisSettings()), "test")
    await way.open()
    try:
        yield way
    finally:
        await way.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "_RETRY_S", 0.05)
    monkeypatch.setattr("router.store.link._FIRST_PAUSE_S", 0.05)


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str, logs: Logs) -> AsyncIterator[World]:
    async with opened_way(store.address.url) as way:
        found = World(way, way, Keys(prefix))
        yield found
        await found.replays.stop()


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(store.address.socket, store.address.login) as found:
        yield found


@pytest.fixture
async def shaky_world(store: EmbeddedServer, prefix: str, proxy: Proxy) -> AsyncIterator[World]:
    """Mailboxes are read through the proxy."""
    async with opened_way(store.address.url) as writes, opened_way(proxy.url) as reads:
        found = World(writes, reads, Keys(prefix))
        yield found
        await found.replays.stop()


def numbers(socket: RecordingSocket) -> list[int]:
    """Return the messages written so far, which must rise in their offsets; forget them."""
    said = [frame for frame in socket.said() if frame["type"] == "message"]
    offsets = [Offset.parse(frame["offset"]) for frame in said]
    assert offsets == sorted(set(offsets))
    return [frame["data"] for frame in said]


# ---- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
async def test_everything_is_written_in_order(world: World, count: int) -> None:
    await world.store_many(count)
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == list(range(1, count + 1))
    assert world.replays.counts.replayed == count


async def test_a_replayed_message_says_so_and_is_otherwise_as_it_was(world: World) -> None:
    (offset,) = await world.store_many(1)
    for codec in (JSON, MSGPACK):
        session, socket = await world.connect(codec=codec)
        world.replays.catch_up(session)
        await world.replayed(session)
        (said,) = socket.said()
        assert said == {
            "type": "message",
            "id": "m1",
            "from": "bob",
            "data": 1,
            "sent_at": 1.5,
            "offset": str(offset),
            "replay": True,
        }


async def test_it_goes_on_after_what_the_client_has(world: World) -> None:
    offsets = await world.store_many(10)
    session, socket = await world.connect(offsets[6])
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == [8, 9, 10]
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == []


async def test_reading_can_be_repeated_for_every_session(world: World) -> None:
    await world.store_many(5)
    made = [await world.connect() for _ in range(3)]
    for session, _ in made:
        world.replays.catch_up(session)
    for session, socket in made:
        await world.replayed(session)
        assert numbers(socket) == [1, 2, 3, 4, 5]


async def test_the_pong_behind_it_acknowledges_what_was_replayed(world: World) -> None:
    offsets = await world.store_many(3)
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await world.replayed(session)
    assert world.sessions.acknowledged == []
    (ping,) = socket.pings()
    session.pong(ping)
    assert world.sessions.acknowledged == [(session, offsets[-1])]


async def test_a_session_that_does_not_know_where_it_goes_on_waits_for_that(world: World) -> None:
    await world.store_many(2)
    session, socket = await world.connect(None)
    world.replays.catch_up(session)
    assert not session.place.replaying
    session.resume(START, whole=False)
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == [1, 2]


async def test_an_entry_that_nobody_can_read_is_passed_over(world: World) -> None:
    await world.store()
    await world.way.command("XADD", world.keys.mail(ALICE), "*", "message", b"\xc1")
    await world.store()
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == [1, 2]


# ---- live ones meanwhile ------------------------------------------------------------------------


async def test_a_live_one_waits_until_the_replay_has_come_to_it(world: World) -> None:
    await world.store_many(5)
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    await rounds()
    for _ in range(3):
        assert world.live(*await world.store()) == []
    assert numbers(socket) == []
    socket.waiting_bytes = 0
    await world.replayed(session)
    assert numbers(socket) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_its_sender_hears_delivered_when_the_replayed_copy_is_proved(world: World) -> None:
    await world.store_many(2)
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    world.live(*await world.store())
    assert await world.answers.heard() == []
    socket.waiting_bytes = 0
    await world.replayed(session)
    assert await world.answers.heard() == []
    session.pong(socket.pings()[-1])
    assert await world.answers.heard() == [(3, Answer.DELIVERED, 1)]


async def test_after_the_replay_live_ones_are_written_at_once(world: World) -> None:
    await world.store_many(2)
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await world.replayed(session)
    world.live(*await world.store())
    assert not session.place.replaying
    assert numbers(socket) == [1, 2, 3]


async def test_a_gap_is_read_from_the_mailbox_before_what_is_behind_it(world: World) -> None:
    session, socket = await world.connect()
    world.live(*await world.store())
    await world.store_many(2)  # their copies were lost
    assert world.live(*await world.store()) == []
    assert numbers(socket) == [1]
    await world.replayed(session)
    assert numbers(socket) == [2, 3, 4]


async def test_copies_in_the_wrong_order_are_written_in_the_right_one(world: World) -> None:
    session, socket = await world.connect()
    made = [await world.store() for _ in range(6)]
    for index in (3, 1, 0, 5, 2, 4):
        assert world.live(*made[index]) == []
    await world.replayed(session)
    assert numbers(socket) == [1, 2, 3, 4, 5, 6]
    session.pong(socket.pings()[-1] if socket.writes else b"1")


async def test_a_copy_of_what_was_written_is_a_repeat_and_proved_by_the_next_pong(
    world: World,
) -> None:
    session, socket = await world.connect()
    told = await world.store()
    world.replays.catch_up(session)
    await world.replayed(session)
    assert world.live(*told) == []
    assert world.delivery.counts.repeats == 1
    first, *others = [frame for frame in socket.frames() if frame.opcode == 9]
    session.pong(bytes(first.data))
    session.pong(bytes(others[0].data) if others else socket.pings()[0])
    assert await world.answers.heard() == [(1, Answer.DELIVERED, 1)]


async def test_what_is_not_durable_is_not_held_back(world: World) -> None:
    await world.store_many(2)
    session, socket = await world.connect()
    socket.waiting_bytes = 200_000  # so much that a replay waits, and another message still fits
    world.replays.catch_up(session)
    await rounds()
    plain = MessageEnvelope("p", "", "bob", 0, 0, 1.5, 0, [ALICE], [], b'"plain"')
    assert world.delivery.message(plain) == []
    world.delivery.flush()
    assert [frame["data"] for frame in socket.said()] == ["plain"]
    socket.waiting_bytes = 0
    await world.replayed(session)
    assert numbers(socket) == [1, 2]


async def test_of_many_senders_and_a_replay_everything_comes_once_and_in_order(
    world: World,
) -> None:
    await world.store_many(3 * BATCH)
    session, socket = await world.connect()
    world.replays.catch_up(session)
    for _ in range(100):
        told = await world.store()
        assert world.live(*told) == []
    await world.replayed(session)
    assert numbers(socket) == list(range(1, 3 * BATCH + 101))


# ---- slow readers -------------------------------------------------------------------------------


async def test_a_slow_reader_is_waited_for_and_not_closed(world: World) -> None:
    await world.store_many(BATCH)
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    await asyncio.sleep(5 * replay_module._ROOM_POLL_S)
    assert (session.closed, session.place.replaying) == (False, True)
    assert numbers(socket) == []
    socket.waiting_bytes = 0
    await world.replayed(session)
    assert numbers(socket) == list(range(1, BATCH + 1))


async def test_a_reader_that_leaves_meanwhile_ends_it(world: World) -> None:
    await world.store_many(2)
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    world.live(*await world.store())
    world.close(session)
    await world.replayed(session)
    assert socket.writes == []
    assert await world.answers.heard() == [(3, Answer.CLOSED, 0)]


async def test_a_session_that_has_closed_is_not_read_to(world: World) -> None:
    session, _ = await world.connect()
    world.close(session)
    world.replays.catch_up(session)
    assert not session.place.replaying


# ---- messages that are not there any more -------------------------------------------------------


async def test_an_expired_message_is_passed_over(world: World) -> None:
    world.clock.set(2_000_000)
    await world.store()
    await world.store(expires_ms=1_999_000)
    await world.store(expires_ms=9_999_999_999_999)
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == [1, 3]


async def test_one_that_expires_while_it_waits_is_lost_to_its_sender(world: World) -> None:
    world.clock.set(2_000_000)
    await world.store()
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    world.live(*await world.store(expires_ms=1_999_000))
    socket.waiting_bytes = 0
    await world.replayed(session)
    assert numbers(socket) == [1]
    assert await world.answers.heard() == [(2, Answer.CLOSED, 0)]


async def test_what_was_removed_meanwhile_hangs_nobody(world: World, store: EmbeddedServer) -> None:
    await world.store()
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    await rounds()
    number, gone = await world.store()
    world.live(number, gone)
    with plain_client(store.address.url) as redis:
        redis.xdel(world.keys.mail(ALICE), str(gone.offset))
    socket.waiting_bytes = 0
    await world.replayed(session)
    assert numbers(socket) == [1]
    assert await world.answers.heard() == [(number, Answer.CLOSED, 0)]
    assert world.live(*await world.store()) == []
    await world.replayed(session)
    assert numbers(socket) == [3]


async def test_a_mailbox_that_is_gone_hangs_nobody(world: World) -> None:
    session, socket = await world.connect()
    first, second = await world.store(), await world.store()
    await world.way.command("DEL", world.keys.mail(ALICE))
    world.live(*second)
    await world.replayed(session)
    assert numbers(socket) == []
    assert await world.answers.heard() == [(2, Answer.CLOSED, 0)]
    assert session.place.position == second[1].offset
    world.live(*first)
    assert numbers(socket) == []


# ---- when the store is away ---------------------------------------------------------------------


async def test_an_interruption_is_waited_out_and_nothing_is_written_twice(
    shaky_world: World, proxy: Proxy, logs: Logs
) -> None:
    world = shaky_world
    await world.store_many(3 * BATCH)
    proxy.when(b"XRANGE", Fault.LOSE_REPLY, nth=2)
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == list(range(1, 3 * BATCH + 1))
    assert logs.events("replay interrupted")


async def test_a_session_that_leaves_during_an_interruption_is_let_go(
    shaky_world: World, proxy: Proxy
) -> None:
    world = shaky_world
    await world.store_many(2)
    await proxy.refuse()
    session, socket = await world.connect()
    world.replays.catch_up(session)
    await rounds()
    world.close(session)
    await world.replayed(session)
    assert socket.writes == []
    await proxy.accept()


async def test_stopping_reads_on_for_nobody(world: World) -> None:
    await world.store_many(2)
    session, socket = await world.connect()
    socket.waiting_bytes = FULL
    world.replays.catch_up(session)
    await rounds()
    await world.replays.stop()
    await rounds()
    assert not session.place.replaying
    assert numbers(socket) == []
    await world.replays.stop()


async def test_a_replay_that_breaks_ends_the_session_and_says_so(
    world: World, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("replay failed")
    await world.store_many(2)
    session, socket = await world.connect()

    def broken(frames: bytes) -> None:
        raise RuntimeError("the handle is closed")

    monkeypatch.setattr(socket, "write", broken)
    world.replays.catch_up(session)
    await eventually(lambda: socket.aborted)
    assert session.closed
    assert world.replays.counts.failures["replay"] == 1


# ---- where a session goes on --------------------------------------------------------------------


async def test_sessions_learn_where_they_go_on(world: World) -> None:
    offsets = await world.store_many(3)
    (known, _), (asks, _) = await world.connect(None), await world.connect(None)
    asks.place.asked = offsets[1]
    await world.replays.resume([known, asks])
    assert (known.place.position, known.place.whole) == (START, False)
    assert (asks.place.position, asks.place.whole) == (offsets[1], True)


async def test_a_session_that_knows_already_is_not_sent_back(world: World) -> None:
    session, socket = await world.connect(None)
    asking = asyncio.create_task(world.replays.resume([session]))
    await world.replays.resume([session])
    await world.store_many(2)
    world.replays.catch_up(session)
    await world.replayed(session)
    await asyncio.gather(asking, world.replays.resume([session]))
    world.replays.catch_up(session)
    await world.replayed(session)
    assert numbers(socket) == [1, 2]


async def test_a_message_that_came_before_the_place_was_known_and_is_behind_it_hangs_nobody(
    world: World,
) -> None:
    session, socket = await world.connect(None)
    told = await world.store()
    world.live(*told)
    assert told[1].offset is not None
    session.resume(told[1].offset, whole=True)
    assert await world.answers.heard() == [(1, Answer.CLOSED, 0)]
    assert numbers(socket) == []


def test_a_proof_may_wait_for_several_sessions_of_which_one_has_it() -> None:
    answers, sessions = Answers(), Sessions()
    (first, _), (second, _) = sessions.make(), sessions.make()
    for session in (first, second):
        session.resume(START, whole=True)
    proof = Proof(answers.receipts, SENDER, 1)
    for session in (first, second):
        session.place.note(Offset(5, 0), proof)
    first.place.give_up(Offset(5, 0))
    assert first.place.position == Offset(5, 0)
    assert second.place.position == START


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_becomes_of_the_live_copies_each_message_is_written_once_and_in_order(
    world: World, seed: int
) -> None:
    dice = random.Random(seed)
    made = [await world.connect() for _ in range(3)]
    heard: list[list[int]] = [[] for _ in made]
    under_way: list[tuple[int, Deposit]] = []
    for _ in range(150):
        step = dice.choice(("store", "store", "arrive", "arrive", "twice", "lose", "slow", "read"))
        if step == "store":
            under_way.append(await world.store())
        elif step == "slow":
            made[dice.randrange(3)][1].waiting_bytes = FULL
        elif step == "read":
            index = dice.randrange(3)
            made[index][1].waiting_bytes = 0
            heard[index] += numbers(made[index][1])
        elif under_way:
            told = under_way.pop(dice.randrange(len(under_way)))
            if step != "lose":
                assert world.live(*told) == []
            if step == "twice":
                assert world.live(*told) == []
        await asyncio.sleep(0)
    last, deposit = await world.store()
    assert deposit.offset is not None
    for session, socket in made:
        socket.waiting_bytes = 0
        session.place.note(deposit.offset, None)  # as the sweep does
        world.replays.catch_up(session)
    for index, (session, socket) in enumerate(made):
        await world.replayed(session)
        heard[index] += numbers(socket)
        assert heard[index] == list(range(1, last + 1))
        assert (session.place.position, session.closed) == (deposit.offset, False)
