import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode

from node.disconnects import KICKED, SLOW, STOPPING, TRY_ANOTHER
from node.frames import MSGPACK, Pong
from node.proofs import Proof
from node.session import ClientSession
from node.sockets import frame
from router.codec import Answer
from router.model import START, Confirm, EndpointId, Offset
from tests.support.answers import SENDER, Answers
from tests.support.sessions import RecordingSocket, Sessions, welcome


def proof(answers: Answers, ref: int = 1) -> Proof:
    return Proof(answers.receipts, SENDER, ref)


def text(payload: bytes) -> bytes:
    return frame(payload, binary=False)


def payloads(socket: RecordingSocket) -> list[bytes]:
    return [bytes(found.data) for found in socket.frames() if found.opcode is not Opcode.PING]


def put(session: ClientSession, frames: bytes, proof: Proof) -> bool:
    """Have a message written and proved; return whether it was taken."""
    taken = session.put(frames)
    if taken:
        session.expect(proof, "m")
    return taken


# ---- writing ------------------------------------------------------------------------------------


def test_frames_of_one_batch_leave_in_one_write() -> None:
    session, socket = Sessions().make()
    for word in (b"one", b"two", b"three"):
        assert session.put(text(word))
    assert socket.writes == []
    session.flush()
    assert len(socket.writes) == 1
    assert payloads(socket) == [b"one", b"two", b"three"]


def test_a_flush_with_nothing_to_say_writes_nothing() -> None:
    session, socket = Sessions().make()
    session.flush()
    assert socket.writes == []


def test_what_arrives_before_the_welcome_waits_behind_it() -> None:
    session, socket = Sessions().make(welcomed=False)
    session.put(text(b'"early"'))
    session.flush()
    session.send(Pong())
    assert socket.writes == []
    session.welcome(welcome(session))
    first, second, third = socket.frames()
    assert b'"type":"welcome"' in bytes(first.data)
    assert bytes(second.data) == b'"early"'
    assert b'"type":"pong"' in bytes(third.data)


def test_a_msgpack_session_is_welcomed_with_a_binary_frame() -> None:
    session, socket = Sessions().make(codec=MSGPACK, welcomed=False)
    session.welcome(welcome(session))
    (said,) = socket.said()
    assert (said["type"], said["session"]) == ("welcome", session.id)


def test_what_was_registered_is_what_the_registry_is_told() -> None:
    session, _ = Sessions().make("alice")
    entry = session.entry(EndpointId("n1.1"))
    assert (entry.session, entry.endpoint, entry.device) == (session.id, "n1.1", "web")
    assert (entry.address, entry.since) == ("127.0.0.1", session.since)


# ---- slow consumers -----------------------------------------------------------------------------


def test_a_session_with_too_much_waiting_is_closed_as_slow() -> None:
    sessions = Sessions(max_waiting_bytes=1_000)
    session, socket = sessions.make()
    socket.waiting_bytes = 990
    assert not session.put(text(b"x" * 100))
    assert session.closed
    assert socket.closed_with == (4408, "slow consumer")
    assert sessions.ended == [session]


def test_a_slow_consumer_gets_no_goodbye_behind_what_it_does_not_read() -> None:
    session, socket = Sessions(max_waiting_bytes=1_000).make()
    socket.waiting_bytes = 1_000
    session.put(text(b"x"))
    assert socket.writes == []


def test_what_collects_before_a_flush_counts_as_waiting() -> None:
    session, socket = Sessions(max_waiting_bytes=1_000).make()
    assert session.put(text(b"x" * 600))
    assert not session.put(text(b"x" * 600))
    assert socket.closed_with is not None


def test_one_large_message_alone_is_no_reason_to_close() -> None:
    session, _ = Sessions(max_waiting_bytes=1_000).make()
    assert session.put(text(b"x" * 5_000))


def test_a_client_that_has_caught_up_may_have_more() -> None:
    session, socket = Sessions(max_waiting_bytes=1_000).make()
    for _ in range(10):
        assert session.put(text(b"x" * 900))
        session.flush()
        socket.waiting_bytes = 0
    assert not session.closed


def test_a_session_that_floods_before_its_welcome_is_bounded_too() -> None:
    session, socket = Sessions(max_waiting_bytes=1_000).make(welcomed=False)
    taken = sum(session.put(text(b"x" * 100)) for _ in range(50))
    assert taken == 9
    assert socket.closed_with is not None


# ---- proof of receipt ---------------------------------------------------------------------------


async def test_the_pong_to_the_ping_behind_a_message_proves_it() -> None:
    told, (session, socket) = Answers(), Sessions().make()
    put(session, text(b"m"), proof(told, 7))
    session.flush()
    message, ping = socket.frames()
    assert (bytes(message.data), ping.opcode) == (b"m", Opcode.PING)
    assert await told.heard() == []
    session.pong(bytes(ping.data))
    assert await told.heard() == [(7, Answer.DELIVERED, 1)]


async def test_a_finished_write_proves_nothing() -> None:
    told, (session, _) = Answers(), Sessions().make()
    put(session, text(b"m"), proof(told))
    session.flush()
    session.gone()
    assert await told.heard() == [(1, Answer.CLOSED, 0)]


async def test_a_pong_nobody_asked_for_proves_nothing() -> None:
    told, (session, socket) = Answers(), Sessions().make()
    put(session, text(b"m"), proof(told))
    session.flush()
    (ping,) = socket.pings()
    for wrong in (b"", b"0", ping + b"0", b"x" * 125):
        session.pong(wrong)
    assert await told.heard() == []
    session.pong(ping)
    assert await told.heard() == [(1, Answer.DELIVERED, 1)]
    session.pong(ping)
    assert await told.heard() == []


async def test_one_ping_is_under_way_at_most_and_the_next_proves_what_came_meanwhile() -> None:
    told, (session, socket) = Answers(), Sessions().make()
    put(session, text(b"first"), proof(told, 1))
    session.flush()
    (first,) = socket.pings()
    for ref in (2, 3):
        put(session, text(b"later"), proof(told, ref))
        session.flush()
    assert socket.pings() == []
    session.pong(first)
    assert await told.heard() == [(1, Answer.DELIVERED, 1)]
    (second,) = socket.pings()
    assert second != first
    session.pong(first)
    assert await told.heard() == []
    session.pong(second)
    assert await told.heard() == [(2, Answer.DELIVERED, 1), (3, Answer.DELIVERED, 1)]


async def test_messages_whose_sender_wants_no_proof_bring_no_ping() -> None:
    session, socket = Sessions().make()
    session.put(text(b"m"))
    session.flush()
    assert socket.pings() == []


async def test_what_waits_before_the_welcome_is_proved_after_it() -> None:
    told, (session, socket) = Answers(), Sessions().make(welcomed=False)
    put(session, text(b"m"), proof(told))
    session.flush()
    session.welcome(welcome(session))
    (ping,) = socket.pings()
    session.pong(ping)
    assert await told.heard() == [(1, Answer.DELIVERED, 1)]


async def test_of_several_sessions_the_first_to_prove_it_decides() -> None:
    told, sessions = Answers(), Sessions()
    (slow, _), (quick, quick_socket) = sessions.make(), sessions.make()
    shared = proof(told)
    for session in (slow, quick):
        put(session, text(b"m"), shared)
        session.flush()
    session_ping = quick_socket.pings()[0]
    quick.pong(session_ping)
    slow.gone()
    assert await told.heard() == [(1, Answer.DELIVERED, 1)]


async def test_it_is_lost_only_when_all_of_them_have_closed() -> None:
    told, sessions = Answers(), Sessions()
    made = [sessions.make()[0] for _ in range(3)]
    shared = proof(told)
    for session in made:
        put(session, text(b"m"), shared)
        session.flush()
    for session in made[:2]:
        session.gone()
        assert await told.heard() == []
    made[2].gone()
    assert await told.heard() == [(1, Answer.CLOSED, 0)]


async def test_what_was_asked_and_what_was_not_yet_are_both_lost_with_the_session() -> None:
    told, (session, _) = Answers(), Sessions().make()
    for ref in (1, 2):
        put(session, text(b"m"), proof(told, ref))
        session.flush()
    session.gone()
    assert await told.heard() == [(1, Answer.CLOSED, 0), (2, Answer.CLOSED, 0)]


async def test_a_message_a_closed_session_did_not_take_asks_for_no_proof() -> None:
    told, (session, _) = Answers(), Sessions().make()
    session.gone()
    assert not put(session, text(b"m"), proof(told))
    assert await told.heard() == []


@given(
    st.lists(
        st.sampled_from(["put", "put with proof", "flush", "pong", "stale pong", "gone"]),
        max_size=40,
    )
)
async def test_whatever_happens_every_proof_ends_in_one_word_and_a_true_one(
    steps: list[str],
) -> None:
    told, (session, socket) = Answers(), Sessions().make()
    refs, proved, pings = 0, 0, [b"none"]
    for step in steps:
        if step == "put":
            session.put(text(b"m"))
        elif step == "put with proof":
            refs += put(session, text(b"m"), proof(told, refs + 1))
        elif step == "flush":
            session.flush()
        elif step == "stale pong":
            session.pong(pings[0])
        elif step == "gone":
            session.gone()
        pings += socket.pings()
        if step == "pong" and not session.closed:
            session.pong(pings[-1])
            pings += socket.pings()
    session.gone()
    heard = await told.heard()
    assert [ref for ref, _, _ in heard] == list(range(1, refs + 1))
    proved = sum(answer is Answer.DELIVERED for _, answer, _ in heard)
    assert [answer for _, answer, _ in heard] == [Answer.DELIVERED] * proved + [Answer.CLOSED] * (
        refs - proved
    )


# ---- quiet clients ------------------------------------------------------------------------------


def test_a_quiet_client_is_pinged_and_ended_when_it_does_not_answer() -> None:
    sessions = Sessions()
    session, socket = sessions.make()
    session.check()
    assert socket.pings() == [b""]
    session.check()
    assert socket.aborted
    assert socket.closed_with is None
    assert sessions.ended == [session]


def test_a_client_that_answers_stays() -> None:
    session, socket = Sessions().make()
    for _ in range(5):
        session.check()
        assert socket.pings() == [b""]
        session.pong(b"")
    assert not session.closed


def test_the_pong_to_a_check_is_no_proof_of_a_message() -> None:
    session, socket = Sessions().make()
    session.check()
    assert socket.pings() == [b""]
    session.pong(b"")
    assert session.heard


# ---- the end ------------------------------------------------------------------------------------


def test_a_close_says_goodbye_and_when_to_come_back() -> None:
    sessions = Sessions()
    session, socket = sessions.make()
    session.put(text(b'{"type":"last"}'))
    session.close(STOPPING, after_ms=1_830)
    last, goodbye = socket.said()
    assert last == {"type": "last"}
    assert goodbye == {
        "type": "goodbye",
        "reason": "node stopping",
        "reconnect_after_ms": 1_830,
    }
    assert socket.closed_with == (1001, "node stopping")
    assert sessions.ended == [session]


def test_who_is_kicked_is_told_why_and_not_to_come_back() -> None:
    session, socket = Sessions().make()
    session.close(KICKED, "logged out")
    assert socket.said() == [{"type": "goodbye", "reason": "logged out"}]
    assert socket.closed_with == (4410, "logged out")


def test_before_the_welcome_a_close_says_goodbye_and_nothing_that_waited() -> None:
    session, socket = Sessions().make(welcomed=False)
    session.put(text(b"early"))
    session.close(TRY_ANOTHER, after_ms=700)
    (goodbye,) = socket.said()
    assert (goodbye["type"], goodbye["reconnect_after_ms"]) == ("goodbye", 700)
    assert socket.closed_with == (1013, "try another node")


def test_a_session_ends_once_whoever_ends_it() -> None:
    sessions = Sessions()
    session, socket = sessions.make()
    session.close(SLOW)
    session.close(KICKED)
    session.gone()
    assert sessions.ended == [session]
    assert socket.closed_with == (4408, "slow consumer")


async def test_what_was_written_before_a_close_can_still_be_proved() -> None:
    told, (session, socket) = Answers(), Sessions().make()
    for ref in (1, 2):  # the second waits for the ping behind the first to be answered
        put(session, text(b"m"), proof(told, ref))
        session.flush()
    session.close(STOPPING)
    assert session.unproved
    pings = socket.pings()
    assert len(pings) == 2
    session.pong(pings[0])
    assert await told.heard() == []
    session.pong(pings[1])
    assert await told.heard() == [(1, Answer.DELIVERED, 1), (2, Answer.DELIVERED, 1)]
    assert not session.unproved


async def test_what_is_not_proved_when_the_connection_has_ended_is_lost() -> None:
    told, (session, socket) = Answers(), Sessions().make()
    put(session, text(b"m"), proof(told))
    session.flush()
    (ping,) = socket.pings()
    session.close(SLOW)
    assert await told.heard() == []
    session.gone()
    assert await told.heard() == [(1, Answer.CLOSED, 0)]
    session.pong(ping)
    session.gone()
    assert await told.heard() == []


def test_nothing_is_written_to_a_session_that_has_ended() -> None:
    session, socket = Sessions().make()
    session.put(text(b"collected"))
    session.gone()
    session.flush()
    session.send(Pong())
    session.pong(b"1")
    assert not session.put(text(b"late"))
    assert socket.writes == []


def test_a_reply_is_written_behind_what_has_collected() -> None:
    session, socket = Sessions().make()
    session.put(text(b'{"type":"message"}'))
    session.send(Pong())
    assert [said["type"] for said in socket.said()] == ["message", "pong"]


def test_a_new_session_has_heard_of_its_client() -> None:
    session, _ = Sessions().make()
    assert isinstance(session, ClientSession)
    assert session.heard


# ---- durable messages ---------------------------------------------------------------------------


def at(number: int) -> Offset:
    return Offset(1_000 + number, 0)


def resumed(
    after: Offset = START, sessions: Sessions | None = None, *, manual_acks: bool = False
) -> tuple[ClientSession, RecordingSocket]:
    """Return a session that knows where its durable messages go on."""
    session, socket = (sessions or Sessions()).make(manual_acks=manual_acks)
    session.resume(after, whole=True)
    return session, socket


def durable(session: ClientSession, number: int) -> bool:
    return session.put_durable(f"m{number}", at(number), text(b"m%d" % number))


def test_where_a_client_goes_on_is_not_acknowledged_again() -> None:
    sessions = Sessions()
    session, socket = resumed(at(5), sessions)
    session.flush()
    assert (socket.writes, session.unproved, session.place.position) == ([], False, at(5))
    assert sessions.acknowledged == []


def test_a_durable_message_asks_for_a_ping_and_its_pong_acknowledges_it() -> None:
    sessions = Sessions()
    session, socket = resumed(START, sessions)
    for number in (1, 2):
        assert durable(session, number)
    session.flush()
    before = session.unproved
    (ping,) = socket.pings()
    session.pong(ping)
    assert sessions.acknowledged == [(session, at(2))]
    assert (before, session.unproved) == (True, False)
    session.pong(ping)
    assert len(sessions.acknowledged) == 1


def test_a_pong_acknowledges_nothing_that_was_written_after_its_ping() -> None:
    sessions = Sessions()
    session, socket = resumed(START, sessions)
    durable(session, 1)
    session.flush()
    (first,) = socket.pings()
    durable(session, 2)
    session.flush()
    session.pong(first)
    assert sessions.acknowledged == [(session, at(1))]
    (second,) = socket.pings()
    session.pong(second)
    assert sessions.acknowledged[-1] == (session, at(2))


def test_a_pong_after_the_end_acknowledges_nothing() -> None:
    sessions = Sessions()
    session, socket = resumed(START, sessions)
    durable(session, 1)
    session.flush()
    (ping,) = socket.pings()
    session.gone()
    session.pong(ping)
    assert sessions.acknowledged == []


def test_with_manual_acks_a_pong_acknowledges_nothing_and_the_application_does() -> None:
    sessions = Sessions()
    session, socket = resumed(START, sessions, manual_acks=True)
    for number in (1, 2, 3):
        durable(session, number)
    session.flush()
    assert socket.pings() == []
    session.acknowledge("m2")
    assert sessions.acknowledged == []
    session.acknowledge("m1")
    assert sessions.acknowledged == [(session, at(2))]
    session.acknowledge_up_to(at(3))
    assert sessions.acknowledged[-1] == (session, at(3))


@pytest.mark.parametrize("manual_acks", [False, True])
def test_nobody_acknowledges_what_was_not_written(manual_acks: bool) -> None:
    sessions = Sessions()
    session, _ = resumed(START, sessions, manual_acks=manual_acks)
    durable(session, 1)
    session.acknowledge("m2")
    session.acknowledge_up_to(Offset(10**19, 10**19))
    assert sessions.acknowledged == [(session, at(1))]


def test_before_it_is_known_where_a_client_goes_on_it_acknowledges_nothing() -> None:
    sessions = Sessions()
    session, _ = sessions.make()
    session.acknowledge_up_to(at(5))
    session.acknowledge("m1")
    assert sessions.acknowledged == []


async def test_a_proof_for_what_the_replay_will_write_is_asked_for_then() -> None:
    told, (session, socket) = Answers(), resumed()
    session.place.note(at(2), proof(told, 2))
    assert session.place.newest == at(2)
    durable(session, 1)
    session.flush()
    session.pong(socket.pings()[0])
    assert await told.heard() == []
    durable(session, 2)
    session.flush()
    session.pong(socket.pings()[0])
    assert await told.heard() == [(2, Answer.DELIVERED, 1)]


async def test_who_asks_for_no_more_than_written_hears_so_when_the_replay_writes_it() -> None:
    told, (session, _) = Answers(), resumed()
    session.place.note(at(1), Proof(told.receipts, SENDER, 1, Confirm.WRITTEN))
    assert await told.heard() == []
    durable(session, 1)
    assert await told.heard() == [(1, Answer.WRITTEN, 1)]


async def test_who_waits_for_the_application_hears_of_its_ack_only() -> None:
    told, (session, socket) = Answers(), resumed()
    durable(session, 1)
    session.expect(Proof(told.receipts, SENDER, 1, Confirm.ACKED), "m1", at(1))
    session.flush()
    session.pong(socket.pings()[0])
    assert await told.heard() == []
    session.acknowledge_up_to(at(1))
    assert await told.heard() == [(1, Answer.ACKED, 1)]


async def test_what_is_passed_over_or_gone_is_lost_to_who_waits_for_it() -> None:
    told, (session, _) = Answers(), resumed()
    for ref in (1, 2, 3, 4):
        session.place.note(at(ref), proof(told, ref))
    session.place.pass_over(at(1))
    assert await told.heard() == [(1, Answer.CLOSED, 0)]
    session.place.give_up(at(3))
    assert await told.heard() == [(2, Answer.CLOSED, 0), (3, Answer.CLOSED, 0)]
    assert session.place.position == at(3)
    session.gone()
    assert await told.heard() == [(4, Answer.CLOSED, 0)]


def test_giving_up_never_goes_back() -> None:
    session, _ = resumed(at(5))
    session.place.give_up(at(3))
    assert session.place.position == at(5)


def test_a_slow_session_is_not_further_than_what_it_took() -> None:
    session, socket = resumed(START, Sessions(max_waiting_bytes=1_000))
    durable(session, 1)
    socket.waiting_bytes = 1_000
    assert not durable(session, 2)
    assert session.place.position == at(1)
    assert socket.closed_with == (4408, "slow consumer")


def test_a_replay_leaves_room_for_what_cannot_wait() -> None:
    session, socket = Sessions(max_waiting_bytes=1_000).make()
    assert session.fits(5_000)  # alone it may be as large as it likes
    session.put(text(b"x" * 300))
    assert session.fits(150)
    assert not session.fits(300)
    session.flush()
    assert session.fits(5_000)
    socket.waiting_bytes = 600
    assert not session.fits(1)
    assert session.put(text(b"x" * 300))
