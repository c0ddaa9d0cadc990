"""What a subscriber asks the store for, and when it takes a subscription to stand.

The store is played by hand: what matters is what happens between an order and its confirmation.
"""

import asyncio
import re
from typing import Any, cast

import pytest

from router.errors import Unavailable
from router.settings import RedisSettings
from router.store.connect import Connector
from router.store.link import Link
from router.store.resp import pack
from router.transport.pubsub import Subscriber
from tests.support.waiting import rounds


class PlayedLink:
    """Notes what is sent; `up` is what the test says."""

    address = "the store"

    def __init__(self) -> None:
        self.up = True
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def taken(self) -> list[bytes]:
        sent, self.sent = self.sent, []
        return sent


def named(order: bytes) -> list[str]:
    """Return the channels that an order names."""
    return [name.decode() for name in re.findall(rb"c\d{4}", order)]


class Played:
    """A subscriber that is connected to a `PlayedLink`."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.flushes = 0
        connector = Connector("redis://nowhere.invalid", RedisSettings())  # never connects
        self.subscriber = Subscriber(connector, self.came.append, self._flush)
        self.link = PlayedLink()
        self.subscriber._link = cast(Link, self.link)
        self.subscriber._opened = True

    def _flush(self) -> None:
        self.flushes += 1

    def subscribe(self, *channels: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self.subscriber.subscribe(channels))

    def says(self, kind: str, channel: str, last: Any = 1) -> None:
        self.subscriber._pushed([kind.encode(), channel.encode(), last])

    def disconnect(self) -> None:
        self.link.up = False
        self.subscriber._lost()

    async def connect(self) -> None:
        self.link.up = True
        self.subscriber._subscribe_again()
        assert self.subscriber._task is not None
        await self.subscriber._task


@pytest.fixture
async def played() -> Played:
    return Played()


async def test_it_stands_when_the_store_has_confirmed_all(played: Played) -> None:
    waiting = played.subscribe("a", "b", "a")
    await rounds()
    assert played.link.taken() == [pack("SUBSCRIBE", "a", "b")]
    played.says("subscribe", "a")
    await rounds()
    assert not waiting.done()
    played.says("subscribe", "b")
    await waiting
    await played.subscriber.subscribe(["b", "a"])
    assert played.link.taken() == []


async def test_a_second_one_waits_for_the_confirmation_the_first_one_waits_for(
    played: Played,
) -> None:
    first, second = played.subscribe("a"), played.subscribe("a", "b")
    await rounds()
    assert played.link.taken() == [pack("SUBSCRIBE", "a"), pack("SUBSCRIBE", "b")]
    played.says("subscribe", "b")
    await rounds()
    assert not second.done()
    first.cancel()  # which is no business of the second
    await rounds()
    played.says("subscribe", "a")
    await second


async def test_who_comes_back_is_not_confirmed_by_what_was_asked_before_they_left(
    played: Played,
) -> None:
    before = played.subscribe("a")
    await rounds()
    played.subscriber.unsubscribe("a")
    after = played.subscribe("a")
    await rounds()
    orders = [pack("SUBSCRIBE", "a"), pack("UNSUBSCRIBE", "a"), pack("SUBSCRIBE", "a")]
    assert played.link.taken() == orders
    played.says("subscribe", "a")
    await before
    played.says("unsubscribe", "a", 0)
    await rounds()
    assert not after.done()
    played.says("subscribe", "a")
    await after
    await played.subscriber.subscribe(["a"])
    assert played.link.taken() == []


async def test_a_confirmation_that_comes_after_the_leaving_counts_for_nothing(
    played: Played,
) -> None:
    played.subscribe("a")
    await rounds()
    played.subscriber.unsubscribe("a")
    played.says("subscribe", "a")
    again = played.subscribe("a")
    await rounds()
    assert played.link.taken()[-1] == pack("SUBSCRIBE", "a")
    played.says("subscribe", "a")
    await again


async def test_who_waits_when_the_connection_is_lost_hears_so(played: Played) -> None:
    waiting = [played.subscribe("a"), played.subscribe("a")]
    await rounds()
    played.disconnect()
    for task in waiting:
        with pytest.raises(Unavailable):
            await task
    with pytest.raises(Unavailable):
        await played.subscriber.subscribe(["b"])


async def test_what_is_wanted_is_subscribed_again_in_slices_and_no_more(played: Played) -> None:
    channels = [f"c{number:04}" for number in range(1_200)]
    waiting = played.subscribe(*channels)
    await rounds()
    for channel in channels:
        played.says("subscribe", channel)
    await waiting
    played.disconnect()
    played.subscriber.unsubscribe(channels[0])
    played.link.taken()
    again = asyncio.create_task(played.connect())
    while not played.link.sent:
        await rounds(1)
    asked = {channel for order in played.link.sent for channel in named(order)}
    left = next(channel for channel in channels[1:] if channel not in asked)
    played.subscriber.unsubscribe(left)
    await again
    slices = [named(order) for order in played.link.taken() if b"UNSUBSCRIBE" not in order]
    assert len(slices) == 3
    assert max(len(part) for part in slices) == 500
    assert sorted(c for part in slices for c in part) == sorted({*channels[1:]} - {left})


async def test_messages_of_one_round_are_flushed_together(played: Played) -> None:
    played.says("message", "a", b"one")
    played.says("message", "a", b"two")
    assert (played.came, played.flushes) == ([b"one", b"two"], 0)
    await rounds()
    assert played.flushes == 1
