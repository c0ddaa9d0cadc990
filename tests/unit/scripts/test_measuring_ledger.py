import msgspec

from scripts.measuring.ledger import Arrival, Receipts, check
from scripts.measuring.plan import Plan, message_frame

PLAN = Plan(run=7, seed=1, users=10, messages=20, size_bytes=100)
USERS = PLAN.recipients()


def arrivals() -> list[Arrival]:
    return [Arrival(user, 100 + n, message_frame(PLAN, n, user, 0)) for n, user in enumerate(USERS)]


def counts(receipts: Receipts) -> tuple[int, int, int, int]:
    return receipts.missing, receipts.doubled, receipts.misdelivered, receipts.stray


def test_all_is_well_when_each_came_once() -> None:
    receipts = check(PLAN, list(reversed(arrivals())))
    assert counts(receipts) == (0, 0, 0, 0)
    assert receipts.at_ns == [100 + n for n in range(20)]


def test_a_missing_message_is_counted() -> None:
    assert counts(check(PLAN, arrivals()[1:])) == (1, 0, 0, 0)


def test_a_second_copy_is_counted_and_the_first_time_kept() -> None:
    copy = arrivals()[4]._replace(at_ns=999)
    receipts = check(PLAN, [*arrivals(), copy])
    assert counts(receipts) == (0, 1, 0, 0)
    assert receipts.at_ns[4] == 104


def test_another_users_socket_is_misdelivered_and_missing() -> None:
    wrong = arrivals()
    wrong[0] = wrong[0]._replace(user=(USERS[0] + 1) % 10)
    assert counts(check(PLAN, wrong)) == (1, 0, 1, 0)


def test_other_content_than_was_sent_is_misdelivered() -> None:
    frame = msgspec.json.decode(arrivals()[0].payload)
    frame["data"]["pad"] = frame["data"]["pad"][:-1] + "x"
    wrong = arrivals()
    wrong[0] = wrong[0]._replace(payload=msgspec.json.encode(frame))
    assert counts(check(PLAN, wrong)) == (1, 0, 1, 0)


def test_a_number_that_was_never_sent_is_misdelivered() -> None:
    more = Plan(7, 1, 10, 30, 100)
    extra = Arrival(0, 1, message_frame(more, 25, 0, 0))
    assert counts(check(PLAN, [*arrivals(), extra])) == (0, 0, 1, 0)


def test_a_late_copy_from_an_earlier_cell_is_doubled() -> None:
    earlier = Plan(6, 1, 10, 20, 100)
    late = Arrival(USERS[0], 1, message_frame(earlier, 0, USERS[0], 0))
    assert counts(check(PLAN, [late, *arrivals()])) == (0, 1, 0, 0)


def test_what_is_no_message_is_stray() -> None:
    junk = [b"not json", b"[]", b'{"type":"pong"}', b'{"type":"message","data":1}']
    found = check(PLAN, [*arrivals(), *(Arrival(0, 1, payload) for payload in junk)])
    assert counts(found) == (0, 0, 0, 4)
