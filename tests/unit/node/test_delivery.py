import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode

from node.delivery import NodeDelivery
from node.frames import JSON, MSGPACK, Codec
from node.hub import Hub
from node.session import ClientSession
from router.codec import Answer, KickEnvelope, MessageEnvelope
from router.model import Confirm, Offset, UserId
from router.store.clock import StoreClock
from tests.support.answers import SENDER, Answers
from tests.support.logs import Logs
from tests.support.sessions import RecordingSocket, Sessions


class Node:
    """A delivery, and the sessions it writes to."""

    def __init__(self, max_waiting_bytes: int = 262_144) -> None:
        self.answers = Answers()
        self.clock = StoreClock()
        self.hub: Hub[ClientSession] = Hub()
        self.sessions = Sessions(max_waiting_bytes)
        self.catching_up: list[ClientSession] = []
        self.delivery = NodeDelivery(
            self.hub, self.answers.receipts, self.clock, self.catching_up.append
        )

    def connect(
        self, user: str, codec: Codec = JSON, *, welcomed: bool = True
    ) -> tuple[ClientSession, RecordingSocket]:
        session, socket = self.sessions.make(user, codec=codec, welcomed=welcomed)
        self.hub.add(session)
        return session, socket

    def leave(self, session: ClientSession) -> None:
        self.hub.remove(session)
        session.gone()

    def batch(self, *envelopes: MessageEnvelope) -> list[tuple[int, Answer]]:
        missed = [found for each in envelopes for found in self.delivery.message(each)]
        self.delivery.flush()
        return missed


def envelope(*users: str, **changes: Any) -> MessageEnvelope:
    plain = MessageEnvelope(
        id="m1",
        sender=SENDER,
        origin="bob",
        confirm=Confirm.DELIVERED,
        hop=0,
        sent_at=1.5,
        expires_ms=0,
        users=list(users),
        refs=list(range(1, len(users) + 1)),
        data=b'{"order":42}',
    )
    return msgspec.structs.replace(plain, **changes)


# ---- who gets what ------------------------------------------------------------------------------


async def test_a_message_reaches_its_user_as_the_contract_says() -> None:
    node = Node()
    _, alice = node.connect("alice")
    _, other = node.connect("eve")
    assert node.batch(envelope("alice")) == []
    assert alice.said() == [
        {"type": "message", "id": "m1", "from": "bob", "data": {"order": 42}, "sent_at": 1.5}
    ]
    assert other.writes == []
    assert node.delivery.counts.delivered == 1


async def test_a_socket_that_breaks_costs_nobody_else_the_batch(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.expect("session could not be written to")
    node = Node()
    sockets = {name: node.connect(name)[1] for name in ("alice", "bob", "eve")}

    def broken(frames: bytes) -> None:
        raise RuntimeError("the handle is closed")

    monkeypatch.setattr(sockets["bob"], "write", broken)
    assert node.batch(envelope("alice", "bob", "eve")) == []
    assert sockets["bob"].aborted
    assert [len(sockets[name].said()) for name in ("alice", "eve")] == [1, 1]
    assert len(logs.events("session could not be written to")) == 1
    assert await node.answers.heard() == [(2, Answer.CLOSED, 0)]


async def test_every_session_of_a_user_gets_it() -> None:
    node = Node()
    sockets = [node.connect("alice")[1] for _ in range(3)]
    node.batch(envelope("alice"))
    assert [len(socket.said()) for socket in sockets] == [1, 1, 1]
    assert node.delivery.counts.delivered == 1


async def test_one_envelope_serves_many_users_and_names_those_who_are_not_here() -> None:
    node = Node()
    _, alice = node.connect("alice")
    _, eve = node.connect("eve")
    assert node.batch(envelope("alice", "gone", "eve", "away")) == [
        (1, Answer.NOT_HERE),
        (3, Answer.NOT_HERE),
    ]
    assert len(alice.said()) == len(eve.said()) == 1
    assert node.delivery.counts.delivered == 2


async def test_a_message_for_everybody_reaches_every_session_once() -> None:
    node = Node()
    sockets = [node.connect(user)[1] for user in ("alice", "alice", "eve")]
    message = envelope(users=None, sender="", refs=[], confirm=Confirm.ACCEPTED)
    assert node.batch(message, message) == []
    assert [len(socket.said()) for socket in sockets] == [1, 1, 1]


async def test_messages_of_one_batch_leave_in_one_write_and_in_order() -> None:
    node = Node()
    _, socket = node.connect("alice")
    batch = [envelope("alice", id=f"m{i}", data=b"%d" % i) for i in range(10)]
    node.batch(*batch)
    assert len(socket.writes) == 1
    assert [frame["data"] for frame in socket.said()] == list(range(10))


async def test_data_is_copied_byte_for_byte_to_json_clients() -> None:
    node = Node()
    _, socket = node.connect("alice")
    odd = b'{"b": 1.50,"a":"\\u00e9"}'
    node.batch(envelope("alice", data=odd))
    assert odd in socket.writes[0]


async def test_json_and_msgpack_clients_of_one_user_are_served_side_by_side() -> None:
    node = Node()
    _, plain = node.connect("alice")
    _, packed = node.connect("alice", MSGPACK)
    node.batch(envelope("alice", data=b'{"big":18446744073709551616,"x":[1,null]}'))
    (text,) = [found for found in plain.frames() if found.opcode is Opcode.TEXT]
    (binary,) = [found for found in packed.frames() if found.opcode is Opcode.BINARY]
    assert json.loads(bytes(text.data))["data"] == {"big": 2**64, "x": [1, None]}
    assert msgspec.msgpack.decode(binary.data)["data"] == {"big": float(2**64), "x": [1, None]}


async def test_what_comes_before_the_welcome_is_taken_and_kept() -> None:
    node = Node()
    session, socket = node.connect("alice", welcomed=False)
    assert node.batch(envelope("alice")) == []
    assert socket.writes == []
    assert not session.closed
    assert node.delivery.counts.delivered == 1


# ---- repeats ------------------------------------------------------------------------------------


async def test_a_repeat_is_not_written_again() -> None:
    node = Node()
    _, socket = node.connect("alice")
    node.batch(envelope("alice"), envelope("alice"))
    node.batch(envelope("alice"))
    assert len(socket.said()) == 1
    assert node.delivery.counts.repeats == 2


async def test_a_session_that_came_later_gets_what_is_a_repeat_to_the_others() -> None:
    node = Node()
    _, first = node.connect("alice")
    node.batch(envelope("alice"))
    _, second = node.connect("alice")
    node.batch(envelope("alice"))
    assert (len(first.said()), len(second.said())) == (1, 1)


async def test_two_senders_with_the_same_id_do_not_hide_each_other() -> None:
    node = Node()
    _, socket = node.connect("alice")
    node.batch(envelope("alice", origin="bob"), envelope("alice", origin="eve"))
    assert [frame["from"] for frame in socket.said()] == ["bob", "eve"]


async def test_two_users_with_the_same_id_do_not_hide_each_other() -> None:
    node = Node()
    _, alice = node.connect("alice")
    _, eve = node.connect("eve")
    node.batch(envelope("alice"), envelope("eve"))
    assert (len(alice.said()), len(eve.said())) == (1, 1)


async def test_a_bounce_leaves_no_trace_so_a_user_who_comes_back_gets_the_message() -> None:
    node = Node()
    assert node.batch(envelope("alice")) == [(0, Answer.NOT_HERE)]
    _, socket = node.connect("alice")
    assert node.batch(envelope("alice", hop=2)) == []
    assert len(socket.said()) == 1


async def test_a_repeat_is_proved_by_what_was_written_before() -> None:
    node = Node()
    session, socket = node.connect("alice")
    node.batch(envelope("alice", confirm=Confirm.ACCEPTED, sender="", refs=[]))
    assert socket.pings() == []
    node.batch(envelope("alice"))
    (ping,) = socket.pings()
    session.pong(ping)
    assert await node.answers.heard() == [(1, Answer.DELIVERED, 1)]


async def test_a_repeat_of_what_was_only_to_be_written_is_answered_again() -> None:
    node = Node()
    node.connect("alice")
    for _ in range(2):
        node.batch(envelope("alice", confirm=Confirm.WRITTEN))
        assert await node.answers.heard() == [(1, Answer.WRITTEN, 1)]


# ---- what the sender is told --------------------------------------------------------------------


async def test_delivered_needs_the_pong() -> None:
    node = Node()
    session, socket = node.connect("alice")
    node.batch(envelope("alice"))
    assert await node.answers.heard() == []
    (ping,) = socket.pings()
    session.pong(ping)
    assert await node.answers.heard() == [(1, Answer.DELIVERED, 1)]


async def test_written_is_told_at_once_with_how_many_sessions() -> None:
    node = Node()
    sockets = [node.connect("alice")[1] for _ in range(2)]
    node.batch(envelope("alice", confirm=Confirm.WRITTEN))
    assert await node.answers.heard() == [(1, Answer.WRITTEN, 2)]
    assert [socket.pings() for socket in sockets] == [[], []]


async def test_who_asks_for_no_more_than_accepted_hears_nothing() -> None:
    node = Node()
    _, socket = node.connect("alice")
    node.batch(envelope("alice", confirm=Confirm.ACCEPTED, sender="", refs=[]))
    assert socket.pings() == []
    assert await node.answers.heard() == []


async def test_each_of_many_users_is_proved_alone() -> None:
    node = Node()
    (alice, alice_socket), (eve, eve_socket) = node.connect("alice"), node.connect("eve")
    node.batch(envelope("alice", "gone", "eve"))
    eve.pong(eve_socket.pings()[0])
    assert await node.answers.heard() == [(3, Answer.DELIVERED, 1)]
    alice.pong(alice_socket.pings()[0])
    assert await node.answers.heard() == [(1, Answer.DELIVERED, 1)]


async def test_a_client_that_leaves_before_the_proof_is_not_called_delivered() -> None:
    node = Node()
    session, _ = node.connect("alice")
    node.batch(envelope("alice"))
    node.leave(session)
    assert await node.answers.heard() == [(1, Answer.CLOSED, 0)]


async def test_an_expired_message_is_written_to_nobody() -> None:
    node = Node()
    node.clock.set(2_000_000)
    _, socket = node.connect("alice")
    assert node.batch(envelope("alice", "gone", expires_ms=1_999_000)) == [
        (0, Answer.EXPIRED),
        (1, Answer.EXPIRED),
    ]
    assert socket.writes == []
    assert node.delivery.counts.delivered == 0


async def test_a_message_that_still_has_time_is_written() -> None:
    node = Node()
    node.clock.set(2_000_000)
    _, socket = node.connect("alice")
    assert node.batch(envelope("alice", expires_ms=3_000_000)) == []
    assert len(socket.said()) == 1


async def test_a_slow_session_is_closed_and_the_message_dropped() -> None:
    node = Node(max_waiting_bytes=1_000)
    session, socket = node.connect("alice")
    socket.waiting_bytes = 1_000
    assert node.batch(envelope("alice")) == [(0, Answer.DROPPED)]
    assert session.closed
    assert (node.delivery.counts.dropped, node.delivery.counts.delivered) == (1, 0)


async def test_one_slow_session_does_not_take_the_message_from_the_users_others() -> None:
    node = Node(max_waiting_bytes=1_000)
    _, slow = node.connect("alice")
    quick, quick_socket = node.connect("alice")
    slow.waiting_bytes = 1_000
    assert node.batch(envelope("alice")) == []
    quick.pong(quick_socket.pings()[0])
    assert await node.answers.heard() == [(1, Answer.DELIVERED, 1)]


async def test_a_slow_session_does_not_keep_the_others_of_a_batch_from_anything() -> None:
    node = Node(max_waiting_bytes=1_000)
    _, slow = node.connect("alice")
    _, eve = node.connect("eve")
    slow.waiting_bytes = 1_000
    missed = node.batch(envelope("alice"), envelope("eve"), envelope("alice", id="m2"))
    assert missed == [(0, Answer.DROPPED), (0, Answer.DROPPED)]
    assert len(eve.said()) == 1


# ---- orders -------------------------------------------------------------------------------------


async def test_a_kick_closes_all_sessions_of_the_user_and_counts_them() -> None:
    node = Node()
    sockets = [node.connect("alice")[1] for _ in range(2)]
    _, other = node.connect("eve")
    assert node.delivery.kick(KickEnvelope(SENDER, 1, "alice", "", "logged out")) == 2
    assert [socket.closed_with for socket in sockets] == [(4410, "logged out")] * 2
    assert other.closed_with is None


async def test_a_kick_may_name_one_session() -> None:
    node = Node()
    (first, first_socket), (_, second_socket) = node.connect("alice"), node.connect("alice")
    assert node.delivery.kick(KickEnvelope(SENDER, 1, "alice", first.id, "")) == 1
    assert first_socket.closed_with == (4410, "kicked")
    assert second_socket.closed_with is None


async def test_a_kick_of_nobody_closes_nothing() -> None:
    assert Node().delivery.kick(KickEnvelope(SENDER, 1, "alice", "", "")) == 0


async def test_sessions_of_a_user_are_named() -> None:
    node = Node()
    (first, _), (second, _) = node.connect("alice"), node.connect("alice")
    assert node.delivery.sessions_of(UserId("alice")) == [first.id, second.id]
    assert node.delivery.sessions_of(UserId("eve")) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "connect", "leave"]),
            st.sampled_from(["alice", "eve"]),
            st.integers(1, 3),
        ),
        max_size=40,
    )
)
async def test_each_session_gets_each_message_of_its_user_once_and_of_nobody_else(
    steps: list[tuple[str, str, int]],
) -> None:
    node = Node()
    expected: dict[str, list[str]] = {}
    sockets: dict[str, RecordingSocket] = {}
    for what, user, number in steps:
        if what == "connect":
            session, sockets[session.id] = node.connect(user)
            expected[session.id] = []
        elif what == "leave":
            for session in node.hub.get(UserId(user))[:1]:
                node.leave(session)
        else:
            message = f"{user}-{number}"
            for session in node.hub.get(UserId(user)):
                if message not in expected[session.id]:
                    expected[session.id].append(message)
            node.batch(envelope(user, id=message))
    for session_id, socket in sockets.items():
        assert [frame["id"] for frame in socket.said()] == expected[session_id]


# ---- durable messages ---------------------------------------------------------------------------


def durable(number: int, *users: str, before: int | None = None, **changes: Any) -> MessageEnvelope:
    """Return the live copy of a message that lies at one place in the mailbox of each user."""
    count = len(users)
    earlier = number - 1 if before is None else before
    return envelope(
        *users,
        id=f"m{number}",
        data=b"%d" % number,
        offsets=[f"{number}-0"] * count,
        before=[f"{earlier}-0"] * count,
        **changes,
    )


def ready(node: Node, user: str = "alice", after: int = 0) -> tuple[ClientSession, RecordingSocket]:
    session, socket = node.connect(user)
    session.resume(Offset(after, 0), whole=True)
    return session, socket


async def test_a_durable_message_carries_its_place_in_each_users_mailbox() -> None:
    node = Node()
    (_, alice), (_, eve) = ready(node), ready(node, "eve", after=40)
    places = {"offsets": ["1-0", "41-7"], "before": ["0-0", "40-0"]}
    assert node.batch(msgspec.structs.replace(durable(1, "alice", "eve"), **places)) == []
    assert [frame["offset"] for frame in alice.said()] == ["1-0"]
    assert [frame["offset"] for frame in eve.said()] == ["41-7"]
    assert node.delivery.counts.delivered == 2


async def test_one_behind_a_gap_is_left_to_the_mailbox() -> None:
    node = Node()
    session, socket = ready(node)
    assert node.batch(durable(1, "alice"), durable(3, "alice")) == []
    assert [frame["data"] for frame in socket.said()] == [1]
    assert node.catching_up == [session]
    assert session.place.newest == Offset(3, 0)


async def test_what_was_removed_in_between_is_no_gap() -> None:
    node = Node()
    _, socket = ready(node, after=5)
    node.batch(durable(9, "alice", before=5))
    assert [frame["data"] for frame in socket.said()] == [9]
    assert node.catching_up == []


async def test_while_a_session_is_replayed_to_nothing_durable_overtakes() -> None:
    node = Node()
    session, socket = ready(node)
    session.place.replaying = True
    assert node.batch(durable(1, "alice"), envelope("alice")) == []
    assert [frame["data"] for frame in socket.said()] == [{"order": 42}]
    assert node.catching_up == [session]


async def test_a_session_that_does_not_know_its_place_yet_has_it_noted() -> None:
    node = Node()
    session, socket = node.connect("alice")
    assert node.batch(durable(1, "alice")) == []
    assert socket.writes == []
    assert (session.place.newest, node.catching_up) == (Offset(1, 0), [session])


async def test_a_place_that_was_written_is_not_written_again_and_can_be_proved() -> None:
    node = Node()
    session, socket = ready(node, after=5)
    assert node.batch(durable(4, "alice")) == []
    assert node.delivery.counts.repeats == 1
    (ping,) = socket.pings()
    session.pong(ping)
    assert await node.answers.heard() == [(1, Answer.DELIVERED, 1)]


async def test_two_durable_messages_with_one_id_have_two_places() -> None:
    node = Node()
    _, socket = ready(node)
    one, other = (msgspec.structs.replace(durable(n, "alice"), id="same") for n in (1, 2))
    node.batch(one, other)
    assert [frame["data"] for frame in socket.said()] == [1, 2]


async def test_written_is_told_of_a_durable_message_at_once() -> None:
    node = Node()
    ready(node)
    node.batch(durable(1, "alice", confirm=Confirm.WRITTEN))
    assert await node.answers.heard() == [(1, Answer.WRITTEN, 1)]


async def test_who_asks_for_no_more_than_accepted_hears_nothing_of_a_durable_message() -> None:
    node = Node()
    ready(node)
    node.batch(durable(1, "alice", confirm=Confirm.ACCEPTED, sender="", refs=[]))
    node.batch(durable(3, "alice", confirm=Confirm.ACCEPTED, sender="", refs=[]))
    assert await node.answers.heard() == []


async def test_one_that_finds_no_room_waits_in_the_mailbox_and_closes_nobody() -> None:
    node = Node(max_waiting_bytes=1_000)
    session, socket = ready(node)
    socket.waiting_bytes = 1_000
    assert node.batch(durable(1, "alice", "gone")) == [(1, Answer.NOT_HERE)]
    assert (session.closed, session.place.position) == (False, Offset(0, 0))
    assert node.catching_up == [session]


async def test_of_one_whose_sessions_have_closed_the_sender_hears() -> None:
    node = Node()
    session, _ = ready(node)
    session.gone()
    assert node.batch(durable(1, "alice")) == [(0, Answer.DROPPED)]


async def test_acked_needs_the_applications_ack() -> None:
    node = Node()
    session, socket = ready(node)
    plain = envelope("alice", id="plain", confirm=Confirm.ACKED)
    node.batch(durable(1, "alice", confirm=Confirm.ACKED), plain)
    session.pong(socket.pings()[0])
    assert await node.answers.heard() == []
    session.acknowledge_up_to(Offset(1, 0))
    assert await node.answers.heard() == [(1, Answer.ACKED, 1)]
    session.acknowledge("plain")
    assert await node.answers.heard() == [(1, Answer.ACKED, 1)]


async def test_an_expired_durable_message_is_written_to_nobody_and_leaves_a_gap() -> None:
    node = Node()
    node.clock.set(2_000_000)
    session, socket = ready(node)
    assert node.batch(durable(1, "alice", expires_ms=1_999_000)) == [(0, Answer.EXPIRED)]
    node.batch(durable(2, "alice"))
    assert socket.said() == []
    assert node.catching_up == [session]
