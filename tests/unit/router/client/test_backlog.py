"""Messages that wait for the application, and when no more are read."""

import asyncio

from router.client.arrivals import Arrivals
from router.client.backlog import Backlog
from router.client.frames import MessageFrame
from router.client.sends import Send, Sends
from router.client.words import Message
from router.model import MessageId, UserId
from tests.support.waiting import rounds


def message(number: int) -> Message:
    return Message(MessageId(f"m{number}"), UserId("bob"), number, 1.0)


def durable(arrivals: Arrivals, number: int) -> Message:
    found = arrivals.take(MessageFrame(f"d{number}", "bob", number, 1.0, f"{number}-0"))
    assert found is not None
    return found


async def test_reading_stops_while_as_many_wait_as_may() -> None:
    backlog = Backlog(2, Arrivals(10), Sends(10))
    for number in (1, 2):
        assert not backlog.is_full
        backlog.put(message(number))
    assert backlog.is_full
    room = asyncio.create_task(backlog.room())
    await rounds()
    assert not room.done()
    assert await backlog.get() == message(1)
    await room


async def test_what_was_taken_but_not_acknowledged_counts_too() -> None:
    arrivals = Arrivals(10)
    backlog = Backlog(2, arrivals, Sends(10))
    taken = [durable(arrivals, number) for number in (1, 2)]
    assert backlog.is_full
    room = asyncio.create_task(backlog.room())
    await rounds()
    arrivals.handle(taken[0])
    backlog.changed()
    await room


async def test_while_an_outcome_is_expected_twice_as_many_may_wait() -> None:
    sends = Sends(10)
    backlog = Backlog(1, Arrivals(10), sends)
    backlog.put(message(1))
    assert backlog.is_full
    sends.add(Send([UserId("bob")], False, b"1", lambda _: None, 5.0))
    assert backlog.is_full  # it was not written yet, so nobody will answer it
    list(sends.unwritten(0.0, 1_000))
    await backlog.room()
    backlog.put(message(2))
    assert backlog.is_full


class TestEnd:
    async def test_everybody_who_waits_hears_of_it(self) -> None:
        backlog = Backlog(2, Arrivals(10), Sends(10))
        waiting = [asyncio.create_task(backlog.get()) for _ in range(3)]
        await rounds()
        backlog.end(discard=False)
        assert await asyncio.gather(*waiting) == [None] * 3

    async def test_what_waits_is_given_or_dropped(self) -> None:
        for discard, given in ((False, message(1)), (True, None)):
            backlog = Backlog(2, Arrivals(10), Sends(10))
            backlog.put(message(1))
            backlog.end(discard=discard)
            backlog.put(message(2))
            backlog.end(discard=discard)
            assert await backlog.get() == given
            assert await backlog.get() is None
