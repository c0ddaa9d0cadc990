"""The canary: what it counts, and what it does not."""

from collections.abc import AsyncIterator

import pytest

from node import canary as canary_module
from node.canary import Canary
from router.keys import Keys
from router.member import Member
from router.model import EndpointId, UserId
from router.store.embedded import EmbeddedServer
from router.store.inbox import Room
from router.transport.outbox import Push
from tests.support.cluster import fast_settings, plain_redis
from tests.support.logs import Logs
from tests.support.waiting import eventually

SILENT = "nothing comes through the inbox, reading it anew"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary_module, "PERIOD_S", 0.02)


@pytest.fixture
async def member(store: EmbeddedServer, prefix: str, logs: Logs) -> AsyncIterator[Member]:
    found = Member(fast_settings(prefix), store.address.url)
    await found.open()
    await found.join("n1")
    yield found
    await found.leave(1.0)
    await found.close()


@pytest.fixture
async def canary(member: Member) -> AsyncIterator[Canary]:
    found = Canary(member)
    found.start()
    yield found
    await found.stop()


async def test_one_that_comes_back_again_and_again_is_not_silent(
    canary: Canary, member: Member
) -> None:
    for _ in range(3):
        await eventually(lambda: canary._missing > 0)
        await eventually(lambda: canary._missing == 0)
    assert not canary.silent
    assert member.counts.received == 0


async def test_those_that_stay_in_the_inbox_are_missed_and_the_inbox_is_read_anew(
    canary: Canary, member: Member, logs: Logs
) -> None:
    await member.receiver._reader._link._keeper.stop()  # nobody connects again
    member.receiver.restart("cut by the test")
    await eventually(lambda: canary.silent)
    await eventually(lambda: canary.counts.canary_misses > 0)
    assert logs.events(SILENT)
    member.receiver._reader._link._keeper.start()
    await eventually(lambda: not canary.silent)


async def test_an_inbox_that_stays_full_is_silent(canary: Canary, member: Member) -> None:
    await member.receiver._reader._link._keeper.stop()
    member.receiver.restart("cut by the test")
    room, member.outbox._room = member.outbox._room, Room(0, 0, 0)
    await eventually(lambda: canary.silent)
    member.outbox._room = room
    member.receiver._reader._link._keeper.start()
    await eventually(lambda: not canary.silent)


async def test_a_store_that_is_full_is_no_silence(canary: Canary, member: Member) -> None:
    await eventually(lambda: canary._missing > 0)
    for _ in range(5):
        delivery = member.sending.track(UserId("canary"), 5.0, lambda _: None)
        delivery.planned((member.endpoint.id or EndpointId(""),))
        member.outbox.store_full = True
        canary._missing = 2
        canary._pushed(delivery, Push.FULL)
        assert canary._missing == 0


async def test_without_a_store_none_is_missed(canary: Canary, member: Member) -> None:
    await eventually(lambda: canary._missing > 0)
    await member.store.close()
    await eventually(lambda: canary._missing == 0)


async def test_one_sent_to_a_closed_inbox_is_not_missed(
    canary: Canary, member: Member, store: EmbeddedServer
) -> None:
    endpoint = member.endpoint.id
    assert endpoint is not None
    await member.receiver._reader._link._keeper.stop()
    member.receiver.restart("cut by the test")
    await eventually(lambda: canary._missing >= 2)
    await member.endpoint.stop()
    redis = plain_redis(store.address.url)
    await redis.delete(Keys(member.keys.prefix).open(endpoint))
    await eventually(lambda: canary._missing == 0)
    await redis.aclose()
