"""Where a client is in its mailbox: it only goes forward, and nobody waits for ever."""

from node.place import Place
from node.proofs import Proof
from router.codec import Answer
from router.model import START, Confirm, Offset
from tests.support.answers import SENDER, Answers

FIRST, SECOND, THIRD = Offset(5, 0), Offset(5, 1), Offset(6, 0)


def proof(answers: Answers, ref: int) -> Proof:
    return Proof(answers.receipts, SENDER, ref, Confirm.DELIVERED)


def test_before_it_begins_it_is_nowhere_and_behind_whatever_there_is() -> None:
    place = Place(SECOND)
    assert (place.asked, place.position, place.whole) == (SECOND, None, False)
    assert not place.behind()
    place.note(FIRST, None)
    assert place.behind()


def test_it_begins_where_it_is_told_to() -> None:
    place = Place(None)
    place.begin(SECOND, whole=True)
    assert (place.position, place.whole) == (SECOND, True)
    for offset, behind in ((SECOND, False), (THIRD, True), (FIRST, True)):
        place.note(offset, None)
        assert place.behind() is behind


def test_a_noted_message_leaves_it_behind_until_it_is_written() -> None:
    place = Place(None)
    place.begin(START, whole=False)
    place.note(SECOND, None)
    assert place.behind()
    assert list(place.written(FIRST)) == []
    assert place.behind()
    place.written(SECOND)
    assert not place.behind()


async def test_who_waits_is_handed_over_with_the_write() -> None:
    answers, place = Answers(), Place(None)
    waiting = proof(answers, 1)
    place.note(FIRST, waiting)
    assert list(place.written(FIRST)) == [waiting]
    assert list(place.written(FIRST)) == []
    assert await answers.heard() == []


async def test_what_is_passed_over_is_never_proved() -> None:
    answers, place = Answers(), Place(None)
    place.note(FIRST, proof(answers, 1))
    place.note(SECOND, proof(answers, 2))
    place.pass_over(FIRST)
    assert place.position == FIRST
    assert await answers.heard() == [(1, Answer.CLOSED, 0)]


async def test_what_is_gone_is_given_up_and_what_is_not_is_kept() -> None:
    answers, place = Answers(), Place(None)
    for ref, offset in enumerate((FIRST, SECOND, THIRD)):
        place.note(offset, proof(answers, ref))
    place.give_up(SECOND)
    assert place.position == SECOND
    assert await answers.heard() == [(0, Answer.CLOSED, 0), (1, Answer.CLOSED, 0)]
    place.close()
    assert await answers.heard() == [(2, Answer.CLOSED, 0)]


def test_giving_up_never_goes_back() -> None:
    place = Place(None)
    place.begin(THIRD, whole=True)
    place.give_up(FIRST)
    assert place.position == THIRD
