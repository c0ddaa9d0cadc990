"""Answers on their way back: one envelope per sender and round, and no reply asked for."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis

from router import receipts as receipts_module
from router.codec import MAX_RECEIPT_ITEMS, Answer, ReceiptEnvelope, decode_envelope
from router.keys import Keys
from router.model import EndpointId
from router.receipts import Receipts
from router.store.resp import keyless
from router.store.store import Store
from router.transport.outbox import Outbox
from tests.support.proxy import Proxy
from tests.support.rooms import room
from tests.support.waiting import eventually, rounds

ME, BOB, EVE = EndpointId("n1.aa"), EndpointId("send.bb"), EndpointId("send.cc")


class Local:
    """Takes the answers to sends of this process."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> None:
        self.calls.append(list(items))


@pytest.fixture
def local() -> Local:
    return Local()


@pytest.fixture(autouse=True)
def opened(redis: Redis, keys: Keys) -> None:
    redis.mset({keys.open(endpoint): b"1" for endpoint in (BOB, EVE)})


@pytest.fixture
def receipts(plain_store: Store, keys: Keys, local: Local) -> Receipts:
    found = Receipts(Outbox(plain_store, keys, room(10), 10), local)
    found.own = ME
    return found


def answers_to(redis: Redis, keys: Keys, endpoint: EndpointId) -> list[list[int]]:
    """Return what lies in a sender's inbox, envelope by envelope."""
    found: Any = redis.lrange(keys.inbox(endpoint), 0, -1)
    entries = [decode_envelope(entry) for entry in found]
    return [entry.items for entry in entries if isinstance(entry, ReceiptEnvelope)]


async def test_the_answers_of_one_round_leave_in_one_envelope_per_sender(
    receipts: Receipts, redis: Redis, keys: Keys
) -> None:
    receipts.add(BOB, 1, Answer.WRITTEN, 2)
    receipts.add(EVE, 1, Answer.NOT_HERE, 0)
    receipts.add(BOB, 2, Answer.DELIVERED, 1)
    await eventually(lambda: answers_to(redis, keys, BOB) and answers_to(redis, keys, EVE))
    assert answers_to(redis, keys, BOB) == [[1, Answer.WRITTEN, 2, 2, Answer.DELIVERED, 1]]
    assert answers_to(redis, keys, EVE) == [[1, Answer.NOT_HERE, 0]]


async def test_answers_of_later_rounds_follow_in_order(
    receipts: Receipts, redis: Redis, keys: Keys
) -> None:
    for ref in range(5):
        receipts.add(BOB, ref, Answer.WRITTEN, 1)
        await rounds(1)
    await eventually(lambda: len(answers_to(redis, keys, BOB)) == 5)
    assert [items[0] for items in answers_to(redis, keys, BOB)] == [0, 1, 2, 3, 4]


async def test_answers_to_this_process_never_leave_it(
    receipts: Receipts, local: Local, redis: Redis, keys: Keys
) -> None:
    receipts.add(ME, 7, Answer.WRITTEN, 1)
    receipts.add(ME, 8, Answer.DROPPED, 0)
    await rounds()
    assert local.calls == [[7, Answer.WRITTEN, 1, 8, Answer.DROPPED, 0]]
    assert redis.exists(keys.inbox(ME)) == 0


async def test_who_wants_no_answer_gets_none(receipts: Receipts, local: Local) -> None:
    receipts.add("", 1, Answer.WRITTEN, 1)
    await rounds()
    assert local.calls == []


async def test_very_many_answers_are_parted(receipts: Receipts, redis: Redis, keys: Keys) -> None:
    count = MAX_RECEIPT_ITEMS // 3 + 1
    for ref in range(count):
        receipts.add(BOB, ref, Answer.WRITTEN, 1)
    await eventually(lambda: len(answers_to(redis, keys, BOB)) == 2)
    first, second = answers_to(redis, keys, BOB)
    assert (len(first), second) == (MAX_RECEIPT_ITEMS, [count - 1, Answer.WRITTEN, 1])


async def test_a_sender_that_is_gone_or_full_is_no_trouble(
    receipts: Receipts, plain_store: Store, redis: Redis, keys: Keys
) -> None:
    redis.delete(keys.open(BOB))
    redis.rpush(keys.inbox(EVE), *"0123456789")
    receipts.add(BOB, 1, Answer.WRITTEN, 1)
    receipts.add(EVE, 1, Answer.WRITTEN, 1)
    await rounds()
    # Nothing was answered, and the next command's reply is its own.
    assert await plain_store.call(keyless("PING")) == b"PONG"
    assert redis.exists(keys.inbox(BOB)) == 0
    assert redis.llen(keys.inbox(EVE)) == 10


class TestWhileTheStoreIsAway:
    @pytest.fixture
    async def away(self, shaky_store: Store, keys: Keys, local: Local, proxy: Proxy) -> Receipts:
        await proxy.refuse()
        await eventually(lambda: not shaky_store.up)
        return Receipts(Outbox(shaky_store, keys, room(10), 10), local)

    async def test_they_are_held_and_sent_when_it_is_back(
        self, away: Receipts, shaky_store: Store, proxy: Proxy, redis: Redis, keys: Keys
    ) -> None:
        away.add(BOB, 1, Answer.WRITTEN, 1)
        await rounds()
        away.add(BOB, 2, Answer.DROPPED, 0)
        away.add(EVE, 1, Answer.WRITTEN, 1)
        await rounds()
        away.store_is_back()  # for less than a moment
        await proxy.accept()
        await eventually(lambda: shaky_store.up)
        away.store_is_back()
        away.store_is_back()
        await eventually(lambda: answers_to(redis, keys, EVE) == [[1, Answer.WRITTEN, 1]])
        assert answers_to(redis, keys, BOB) == [[1, Answer.WRITTEN, 1], [2, Answer.DROPPED, 0]]
        assert away.counts.receipts_lost == 0

    async def test_what_nobody_waits_for_by_then_is_given_up(
        self,
        away: Receipts,
        shaky_store: Store,
        proxy: Proxy,
        redis: Redis,
        keys: Keys,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(receipts_module, "_HELD_S", -1.0)
        away.add(BOB, 1, Answer.WRITTEN, 1)
        await rounds()
        await proxy.accept()
        await eventually(lambda: shaky_store.up)
        away.store_is_back()
        await shaky_store.call(keyless("PING"))
        assert answers_to(redis, keys, BOB) == []
        assert away.counts.receipts_lost == 1

    async def test_too_many_push_the_oldest_out(
        self,
        away: Receipts,
        shaky_store: Store,
        proxy: Proxy,
        redis: Redis,
        keys: Keys,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(receipts_module, "_MAX_HELD", 2)
        for ref in range(5):
            away.add(BOB, ref, Answer.WRITTEN, 1)
            await rounds()
        assert away.counts.receipts_lost == 3
        await proxy.accept()
        await eventually(lambda: shaky_store.up)
        away.store_is_back()
        await eventually(lambda: len(answers_to(redis, keys, BOB)) == 2)
        assert [items[0] for items in answers_to(redis, keys, BOB)] == [3, 4]
