import asyncio
from typing import Any

import msgspec
import pytest

from node.calls import Caller, Calls
from node.frames import MSGPACK, BadFrame, CallFrame
from router.counts import Counts
from router.errors import Forbidden
from tests.support.logs import Logs
from tests.support.sessions import Sessions
from tests.support.waiting import eventually

FAILED = "on_message has failed"


def calls(on_message: Any, **bounds: Any) -> Calls:
    return Calls(on_message, Counts(), **bounds)


def call(data: Any, ref: str | int | None = None) -> CallFrame:
    return CallFrame(msgspec.Raw(msgspec.json.encode(data)), ref)


async def test_the_application_hears_who_says_what_and_answers() -> None:
    heard: list[tuple[Caller, Any]] = []

    def at_once(caller: Caller, data: Any) -> Any:
        heard.append((caller, data))
        return {"got": data}

    async def later(caller: Caller, data: Any) -> Any:
        await asyncio.sleep(0)
        return at_once(caller, data)

    for on_message in (at_once, later):
        session, socket = Sessions().make()
        calls(on_message).take(session, call([1, "x"], "r"))
        (reply,) = await eventually(socket.said)
        assert reply == {"type": "reply", "ref": "r", "data": {"got": [1, "x"]}}
        caller, data = heard.pop()
        assert (caller.user, caller.session, caller.device) == ("alice", session.id, "web")
        assert caller.identity is session.identity
        assert data == [1, "x"]


async def test_without_an_application_nobody_answers() -> None:
    session, socket = Sessions().make()
    calls(None).take(session, call(1, 7))
    (told,) = socket.said()
    assert (told["code"], told["ref"]) == ("unsupported", 7)


async def test_both_subprotocols_can_call() -> None:
    session, socket = Sessions().make(codec=MSGPACK)
    data = msgspec.Raw(msgspec.msgpack.encode({"n": 1}))
    calls(lambda caller, data: [data, None]).take(session, CallFrame(data, 1))
    (reply,) = await eventually(socket.said)
    assert reply == {"type": "reply", "ref": 1, "data": [{"n": 1}, None]}


async def test_who_gives_no_ref_and_is_told_nothing_hears_nothing() -> None:
    session, socket = Sessions().make()
    made = calls(lambda caller, data: None if data == 1 else data)
    for data, ref in ((1, None), (2, None), (1, 7)):
        made.take(session, call(data, ref))
    await eventually(lambda: not made._tasks)
    assert socket.said() == [
        {"type": "reply", "data": 2},
        {"type": "reply", "data": None, "ref": 7},
    ]


async def test_what_it_refuses_is_told_in_its_words() -> None:
    def on_message(caller: Caller, data: Any) -> Any:
        raise Forbidden("not on Mondays")

    session, socket = Sessions().make()
    calls(on_message).take(session, call(1, 7))
    (told,) = await eventually(socket.said)
    assert told == {"type": "error", "code": "forbidden", "message": "not on Mondays", "ref": 7}


@pytest.mark.parametrize("fault", ["raises", "hangs", "answers what is no JSON"])
async def test_its_mistakes_are_logged_and_counted_and_not_told(fault: str, logs: Logs) -> None:
    logs.expect(FAILED)

    async def on_message(caller: Caller, data: Any) -> Any:
        if fault == "raises":
            raise KeyError("the password is 1234")
        if fault == "hangs":
            await asyncio.Event().wait()
        return object()

    made = calls(on_message, deadline_s=0.05)
    session, socket = Sessions().make()
    made.take(session, call(1, 7))
    (told,) = await eventually(socket.said)
    assert (told["code"], told["ref"]) == ("application_failed", 7)
    assert "1234" not in told["message"]
    assert made._counts.failures["on_message"] == 1
    assert not session.closed


async def test_too_many_at_once_are_refused_and_later_ones_taken() -> None:
    go = asyncio.Event()

    async def on_message(caller: Caller, data: Any) -> Any:
        await go.wait()
        return data

    made = calls(on_message, per_session=2, in_all=3)
    alice, first = Sessions().make("alice")
    bob, second = Sessions().make("bob")
    for session in (alice, bob):
        for number in range(3):
            made.take(session, call(number, number))
    assert [(frame["code"], frame["ref"]) for frame in first.said()] == [("too_many", 2)]
    assert [(frame["code"], frame["ref"]) for frame in second.said()] == [
        ("too_many", 1),
        ("too_many", 2),
    ]
    go.set()
    await eventually(lambda: not made._tasks)
    assert made._under_way == {}
    made.take(alice, call(5, 5))
    await eventually(lambda: not made._tasks)
    assert [frame["data"] for frame in first.said()] == [0, 1, 5]


async def test_the_answer_to_a_session_that_has_gone_is_dropped() -> None:
    session, socket = Sessions().make()
    made = calls(lambda caller, data: data)
    made.take(session, call(1, 1))
    session.gone()
    await eventually(lambda: not made._tasks)
    assert socket.said() == []


async def test_what_is_under_way_ends_with_the_node() -> None:
    ended = asyncio.Event()

    async def on_message(caller: Caller, data: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    made = calls(on_message)
    session, _ = Sessions().make()
    made.take(session, call(1))
    await asyncio.sleep(0)
    await made.stop()
    assert ended.is_set()
    await made.stop()


async def test_data_that_json_cannot_say_is_the_clients_mistake() -> None:
    session, _ = Sessions().make(codec=MSGPACK)
    raw = msgspec.Raw(msgspec.msgpack.encode({1: 2, "x": msgspec.msgpack.Ext(1, b"")}))
    with pytest.raises(BadFrame):
        calls(lambda caller, data: data).take(session, CallFrame(raw, 1))
