import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from node.frames import JSON, MSGPACK, CallFrame, RefreshFrame
from node.inbound import Inbound
from node.pace import Limits
from node.session import ClientSession
from router.aio import Router
from router.model import START, Offset
from router.settings import LimitSettings
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings, unique_prefix
from tests.support.sessions import RecordingSocket, Sessions
from tests.support.waiting import eventually, rounds


class Conversation:
    """A session of alice whose frames go to `Inbound`, and what it is answered."""

    def __init__(
        self,
        router: Router,
        *,
        msgpack: bool = False,
        manual_acks: bool = False,
        user: str = "alice",
        limits: LimitSettings | None = None,
    ) -> None:
        self.passed_on: list[RefreshFrame | CallFrame] = []
        self._inbound = Inbound(
            router, Limits(limits or LimitSettings()), self._pass_on, self._pass_on
        )
        self.session: ClientSession
        self.socket: RecordingSocket
        self.sessions = Sessions()
        self.session, self.socket = self.sessions.make(
            user, codec=MSGPACK if msgpack else JSON, manual_acks=manual_acks
        )

    def _pass_on(self, session: ClientSession, frame: RefreshFrame | CallFrame) -> None:
        assert session is self.session
        self.passed_on.append(frame)

    def says(self, frame: Any) -> None:
        binary = self.session.codec.binary
        self.says_bytes(msgspec.msgpack.encode(frame) if binary else json.dumps(frame))

    def says_bytes(self, payload: bytes | str) -> None:
        self._inbound.frame(self.session, payload)

    def hears(self) -> dict[str, Any]:
        (answer,) = self.socket.said()
        return answer

    async def hears_later(self) -> dict[str, Any]:
        await eventually(lambda: self.socket.writes)
        return self.hears()


@pytest.fixture
async def router(store: EmbeddedServer) -> AsyncIterator[Router]:
    settings = fast_settings(unique_prefix())
    async with Router.connect(store.address.url, settings) as router:
        await router.join()
        yield router


@pytest.fixture
def alice(router: Router) -> Conversation:
    return Conversation(router)


@pytest.fixture
def without_store() -> Conversation:
    return Conversation(Router.connect("unix:///nowhere", fast_settings(unique_prefix())))


# ---- frames that make no sense ------------------------------------------------------------------

NONSENSE: list[tuple[str, str | bytes, str, str | None]] = [
    ("not JSON", "hello", "bad_frame", None),
    ("cut short", '{"type":"send","ref":"7","to":"bob","data":', "bad_frame", None),
    ("not UTF-8", b'{"type":"ping","ref":"\xff"}', "bad_frame", None),
    ("not an object", "[1,2]", "invalid_request", None),
    ("unknown type", '{"type":"shout","ref":"7"}', "invalid_request", "7"),
    ("no type", '{"ref":"7"}', "invalid_request", "7"),
    ("missing field", '{"type":"send","ref":"7","to":"bob"}', "invalid_request", "7"),
    ("wrong type", '{"type":"send","ref":"7","to":5,"data":1}', "invalid_request", "7"),
]


@pytest.mark.parametrize(
    ("payload", "code", "ref"), [row[1:] for row in NONSENSE], ids=[row[0] for row in NONSENSE]
)
async def test_a_frame_that_makes_no_sense_is_answered_and_the_session_lives_on(
    without_store: Conversation, payload: str | bytes, code: str, ref: str | None
) -> None:
    without_store.says_bytes(payload)
    answer = without_store.hears()
    assert (answer["type"], answer["code"], answer.get("ref")) == ("error", code, ref)
    assert answer["message"]
    without_store.says({"type": "ping"})
    assert without_store.hears() == {"type": "pong"}


@pytest.mark.parametrize("payload", [b"\xc1", b"\x81", "text"])
async def test_a_msgpack_client_is_answered_in_msgpack(payload: bytes | str) -> None:
    router = Router.connect("unix:///nowhere", fast_settings(unique_prefix()))
    client = Conversation(router, msgpack=True)
    client.says_bytes(payload)
    assert client.hears()["code"] == "bad_frame"


async def test_msgpack_data_that_json_cannot_say_is_answered_with_its_ref() -> None:
    router = Router.connect("unix:///nowhere", fast_settings(unique_prefix()))
    client = Conversation(router, msgpack=True)
    client.says({"type": "send", "ref": 7, "to": "bob", "data": msgspec.msgpack.Ext(5, b"x")})
    answer = client.hears()
    assert (answer["code"], answer["ref"]) == ("invalid_request", 7)


async def test_three_such_frames_within_ten_seconds_close_the_session(
    without_store: Conversation,
) -> None:
    for _ in range(2):
        without_store.says_bytes("hello")
    assert not without_store.session.closed
    without_store.says_bytes("hello")
    assert without_store.socket.closed_with == (1008, "too many frames that make no sense")
    *errors, goodbye = without_store.socket.said()
    assert [error["code"] for error in errors] == ["bad_frame"] * 3
    assert goodbye == {"type": "goodbye", "reason": "too many frames that make no sense"}


# ---- requests that make sense and cannot be done ------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"to": ""}, "invalid_user", "to"),
    ({"to": "a b"}, "invalid_user", "to"),
    ({"to": "x" * 129}, "invalid_user", "to"),
    ({"to": "a{b}"}, "invalid_user", "to"),
    ({"to": ["bob", "\n"]}, "invalid_user", "to"),
    ({"confirm": "surely"}, "invalid_request", "confirm"),
    ({"ttl_s": 0}, "invalid_request", "ttl_s"),
    ({"ttl_s": -1}, "invalid_request", "ttl_s"),
    ({"key": ""}, "invalid_request", "key"),
]


@pytest.mark.parametrize(("changes", "code", "field"), REFUSED)
async def test_a_send_that_cannot_be_done_is_refused_naming_the_field(
    alice: Conversation, changes: dict[str, Any], code: str, field: str
) -> None:
    alice.says({"type": "send", "ref": "7", "to": "bob", "data": 1, **changes})
    answer = alice.hears()
    assert (answer["type"], answer["code"], answer["ref"]) == ("error", code, "7")
    assert answer["field"] == field


async def test_refused_sends_are_no_nonsense_and_close_nothing(alice: Conversation) -> None:
    for _ in range(20):
        alice.says({"type": "send", "to": "a b", "data": 1})
    assert not alice.session.closed


async def test_data_over_the_limit_is_refused_with_the_limit(router: Router) -> None:
    limit = router.member.settings.node.max_message_bytes
    client = Conversation(router, msgpack=True)  # base64 makes it longer than the frame was
    client.says({"type": "send", "ref": 7, "to": "bob", "data": b"x" * limit})
    answer = client.hears()
    assert (answer["code"], answer["ref"], answer["field"]) == ("too_large", 7, "data")
    assert str(limit) in answer["message"]


@pytest.mark.parametrize("ack", [{}, {"offset": "5-0", "id": "m"}, {"offset": "5"}], ids=str)
async def test_an_ack_that_names_no_place_is_refused(
    without_store: Conversation, ack: dict[str, str]
) -> None:
    without_store.says({"type": "ack", **ack})
    assert without_store.hears()["code"] == "invalid_request"


@pytest.mark.parametrize("to", ["bob", ["bob", "eve"]])
async def test_without_the_store_a_send_fails_at_once(
    without_store: Conversation, to: str | list[str]
) -> None:
    without_store.says({"type": "send", "ref": "7", "to": to, "data": 1})
    answer = without_store.hears()
    assert (answer["type"], answer["code"], answer["ref"]) == ("error", "unavailable", "7")


# ---- requests that are done ---------------------------------------------------------------------


async def test_a_ping_is_answered_by_a_pong(without_store: Conversation) -> None:
    without_store.says({"type": "ping"})
    assert without_store.hears() == {"type": "pong"}


async def test_any_frame_shows_that_the_client_is_there(without_store: Conversation) -> None:
    without_store.session.heard = False
    without_store.says_bytes("hello")
    assert without_store.session.heard


@pytest.mark.parametrize("ref", ["7", 7])
async def test_the_outcome_of_a_send_comes_with_its_ref(
    alice: Conversation, ref: str | int
) -> None:
    alice.says({"type": "send", "ref": ref, "to": "nobody", "data": 1})
    answer = await alice.hears_later()
    assert answer.pop("id")
    assert answer == {"type": "outcome", "ref": ref, "user": "nobody", "outcome": "offline"}


async def test_a_send_without_a_ref_has_an_outcome_without_one(alice: Conversation) -> None:
    alice.says({"type": "send", "to": "nobody", "data": 1})
    assert "ref" not in await alice.hears_later()


async def test_a_send_to_several_has_one_answer_naming_each_once(alice: Conversation) -> None:
    alice.says({"type": "send", "ref": "7", "to": ["bob", "eve", "bob"], "data": 1})
    answer = await alice.hears_later()
    assert answer["outcomes"] == {"bob": "offline", "eve": "offline"}
    assert answer["ref"] == "7"
    assert "user" not in answer


async def test_a_list_of_one_is_still_a_list(alice: Conversation) -> None:
    alice.says({"type": "send", "to": ["bob"], "data": 1})
    assert (await alice.hears_later())["outcomes"] == {"bob": "offline"}


async def test_outcomes_come_for_every_send_though_many_are_under_way(
    alice: Conversation,
) -> None:
    for ref in range(100):
        alice.says({"type": "send", "ref": ref, "to": f"user{ref}", "data": 1})
    answers: list[dict[str, Any]] = []

    def all_there() -> bool:
        answers.extend(alice.socket.said())
        return len(answers) == 100

    await eventually(all_there)
    assert sorted(answer["ref"] for answer in answers) == list(range(100))
    assert all(answer["user"] == f"user{answer['ref']}" for answer in answers)


async def test_a_client_that_left_is_not_answered_any_more(
    router: Router, alice: Conversation
) -> None:
    alice.says({"type": "send", "to": "nobody", "data": 1})
    alice.session.gone()
    await eventually(lambda: router.member.sending.waiting == 0)
    await rounds()
    assert alice.socket.writes == []


# ---- durable messages ---------------------------------------------------------------------------


def at(number: int) -> Offset:
    return Offset(1_000 + number, 0)


@pytest.fixture
def reader() -> Conversation:
    """Somebody who was written three durable messages and acknowledges them by hand."""
    router = Router.connect("unix:///nowhere", fast_settings(unique_prefix()))
    client = Conversation(router, manual_acks=True)
    client.session.resume(START, whole=True)
    for number in (1, 2, 3):
        client.session.put_durable(f"m{number}", at(number), b"")
    return client


def acknowledged(client: Conversation) -> list[Offset]:
    return [offset for _, offset in client.sessions.acknowledged]


async def test_an_ack_by_offset_acknowledges_all_up_to_it(reader: Conversation) -> None:
    reader.says({"type": "ack", "offset": str(at(2))})
    assert acknowledged(reader) == [at(2)]


async def test_an_ack_by_id_acknowledges_one(reader: Conversation) -> None:
    reader.says({"type": "ack", "id": "m2"})
    assert acknowledged(reader) == []
    reader.says({"type": "ack", "id": "m1"})
    assert acknowledged(reader) == [at(2)]


async def test_an_ack_is_not_answered_and_may_be_repeated(reader: Conversation) -> None:
    for _ in range(30):
        reader.says({"type": "ack", "offset": str(at(2))})
        reader.says({"type": "ack", "id": "m1"})
        reader.says({"type": "ack", "id": "of nothing at all"})
    assert acknowledged(reader) == [at(2)]
    assert reader.socket.said() == []


BAD_ACKS: list[dict[str, Any]] = [
    {"offset": ""},
    {"offset": "5"},
    {"offset": "5-"},
    {"offset": "-5-0"},
    {"offset": "5-0-0"},
    {"offset": " 5-0"},
    {"offset": "9" * 21 + "-0"},
    {"offset": "\u0665-\u0660"},
    {"offset": 5},
    {"id": 5},
    {"id": ["m1"]},
]


@pytest.mark.parametrize("ack", BAD_ACKS, ids=str)
async def test_an_ack_that_makes_no_sense_is_answered_and_acknowledges_nothing(
    reader: Conversation, ack: dict[str, Any]
) -> None:
    reader.says({"type": "ack", **ack})
    assert reader.hears()["code"] == "invalid_request"
    assert acknowledged(reader) == []
    assert not reader.session.closed


async def test_ten_such_acks_close_the_session(reader: Conversation) -> None:
    for _ in range(10):
        reader.says({"type": "ack", "offset": "soon"})
    assert reader.socket.closed_with is not None


async def test_a_durable_send_to_one_who_is_away_is_queued(alice: Conversation) -> None:
    alice.says({"type": "send", "ref": 1, "to": "away", "data": 1, "durable": True})
    assert (await alice.hears_later())["outcome"] == "queued"
    alice.says({"type": "send", "ref": 2, "to": ["away", "b"], "data": 1, "durable": True})
    assert (await alice.hears_later())["outcomes"] == {"away": "queued", "b": "queued"}


async def test_a_repeated_key_is_a_duplicate_and_names_the_first_message(
    alice: Conversation,
) -> None:
    order = {"type": "send", "to": "away", "data": 1, "durable": True, "key": "order-1"}
    alice.says(order)
    first = await alice.hears_later()
    alice.says(order)
    again = await alice.hears_later()
    assert (first["outcome"], again["outcome"]) == ("queued", "duplicate")
    assert again["id"] == first["id"]


async def test_a_key_is_the_senders_own(router: Router) -> None:
    order = {"type": "send", "to": "away", "data": 1, "durable": True, "key": "order-1"}
    for user in ("alice", "eve"):
        client = Conversation(router, user=user)
        client.says(order)
        assert (await client.hears_later())["outcome"] == "queued"


async def test_new_tokens_and_calls_are_passed_on(router: Router) -> None:
    alice = Conversation(router)
    alice.says({"type": "refresh", "token": "a.b.c", "ref": 7})
    alice.says({"type": "call", "data": 1})
    assert [type(frame) for frame in alice.passed_on] == [RefreshFrame, CallFrame]
    assert alice.socket.said() == []
