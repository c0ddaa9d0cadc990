"""Nodes whose packets, or those to them, are lost; and ways on which packets are late."""

from scripts.faults.book import SECOND
from scripts.faults.steps import ALL, CLIENTS, INWARDS, OUTWARDS, STORE, Step
from tests.hosts.conftest import Play, packets

LATE_MS = 200


async def test_the_ledger_balances_when_packets_were_lost_one_way_or_late(play: Play) -> None:
    plan = [  # each node has seconds between two faults, in which the first one is surely mended
        Step(1.5, "one-way", "n2", OUTWARDS, 4.5, side=STORE),
        Step(1.5, "late", "n3", "both", 4, LATE_MS, CLIENTS),
        Step(3, "late", "n1", "both", 4, LATE_MS, ALL),
        Step(11.5, "one-way", "n3", INWARDS, 4.5, side=STORE),
        Step(13, "one-way", "n2", INWARDS, 4.5, side=CLIENTS),
        Step(13, "one-way", "n1", OUTWARDS, 4.5, side=CLIENTS),
    ]
    book = await play(18, plan)
    assert min(packets(book)) > 0
    assert len(packets(book)) == len(plan)
    hurt = next(h for h in book.hurts if h.where == "n3" and h.fault == "late")
    late = [
        got.at - message.sent.at
        for message in book.messages.values()
        for session, got in message.got
        if session.opened.node == "n3"
        and hurt.at + SECOND < message.sent.at  # it takes a moment to break a link, or to mend it
        and got.at < hurt.until - SECOND
        and message.word == "delivered"
    ]
    assert late
    assert min(late) >= LATE_MS / 1000 * SECOND
