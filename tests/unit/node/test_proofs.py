import pytest

from node.proofs import PingProofs, Proof
from router.codec import Answer
from router.model import START, Confirm, Offset
from tests.support.answers import SENDER, Answers


def at(number: int) -> Offset:
    return Offset(1_000 + number, 0)


def proof(told: Answers, ref: int = 1, confirm: Confirm = Confirm.DELIVERED) -> Proof:
    return Proof(told.receipts, SENDER, ref, confirm)


# ---- one copy -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confirm", "answer"),
    [
        (Confirm.WRITTEN, Answer.WRITTEN),
        (Confirm.DELIVERED, Answer.DELIVERED),
        (Confirm.ACKED, Answer.ACKED),
    ],
)
async def test_a_proof_says_what_the_sender_asked_for(confirm: Confirm, answer: Answer) -> None:
    told = Answers()
    copy = proof(told, 7, confirm)
    copy.written()
    copy.proved()
    assert await told.heard() == [(7, answer, 1)]


async def test_it_says_so_once() -> None:
    told = Answers()
    copy = proof(told)
    for _ in range(3):
        copy.written()
    copy.proved()
    copy.proved()
    for _ in range(2):
        copy.failed()
    assert await told.heard() == [(1, Answer.DELIVERED, 1)]


async def test_it_fails_with_the_last_of_its_sessions() -> None:
    told = Answers()
    copy = proof(told)
    copy.written()
    copy.written()
    copy.failed()
    assert await told.heard() == []
    copy.failed()
    assert await told.heard() == [(1, Answer.CLOSED, 0)]
    copy.proved()
    assert await told.heard() == []


# ---- pings --------------------------------------------------------------------------------------


def expected(told: Answers, ref: int) -> Proof:
    """Return a proof of a copy that was written to one session."""
    copy = proof(told, ref)
    copy.written()
    return copy


def prove(pings: PingProofs, position: Offset = START) -> bool:
    """Let a ping go out and its pong come back."""
    return pings.pong(pings.ask(position))


def test_nothing_written_needs_no_ping() -> None:
    pings = PingProofs()
    assert not pings.due(START)
    assert not pings.due(START, last=True)
    assert not pings.open(START)


async def test_a_pong_proves_what_was_written_before_its_ping_and_nothing_after() -> None:
    told, pings = Answers(), PingProofs()
    pings.expect(expected(told, 1))
    payload = pings.ask(at(1))
    pings.expect(expected(told, 2))
    assert pings.pong(payload)
    assert await told.heard() == [(1, Answer.DELIVERED, 1)]
    assert pings.proved == at(1)
    assert pings.due(at(1))


def test_a_durable_message_asks_for_a_ping_though_nobody_waits() -> None:
    pings = PingProofs()
    assert pings.due(at(1))
    assert pings.open(at(1))
    assert prove(pings, at(1))
    assert pings.proved == at(1)
    assert not pings.due(at(1))
    assert not pings.open(at(1))


def test_what_a_client_has_already_needs_no_proof() -> None:
    pings = PingProofs()
    pings.start(at(5))
    assert not pings.due(at(5))
    assert not pings.open(at(5))
    assert pings.due(at(6))


def test_one_ping_is_under_way_at_most_but_for_the_last() -> None:
    pings = PingProofs()
    first = pings.ask(at(1))
    assert not pings.due(at(2))
    assert pings.due(at(2), last=True)
    second = pings.ask(at(2))
    assert not pings.pong(first)
    assert pings.proved == START
    assert pings.pong(second)
    assert pings.proved == at(2)


@pytest.mark.parametrize("payload", [b"", b"0", b"01", b"2", b"x" * 125])
def test_a_pong_that_was_not_asked_for_proves_nothing(payload: bytes) -> None:
    pings = PingProofs()
    assert not pings.pong(payload)
    pings.ask(at(1))
    assert not pings.pong(payload)
    assert pings.proved == START
    assert pings.pong(b"1")
    assert not pings.pong(b"1")


async def test_at_the_end_all_who_wait_hear_so_and_a_late_pong_changes_nothing() -> None:
    told, pings = Answers(), PingProofs()
    pings.expect(expected(told, 1))
    payload = pings.ask(at(1))
    pings.expect(expected(told, 2))
    pings.close()
    assert await told.heard() == [(1, Answer.CLOSED, 0), (2, Answer.CLOSED, 0)]
    before = pings.proved
    pings.pong(payload)
    assert pings.proved == before
    assert await told.heard() == []
    assert not pings.open(at(9))
    assert not pings.due(at(9), last=True)
