"""Nodes whose way to clients and senders is broken, and ways that are slow."""

from scripts.faults.book import SECOND
from scripts.faults.steps import ALL, CLIENTS, INWARDS, OUTWARDS, STORE, Step
from tests.hosts.conftest import Play, packets

LATE_MS = 200


async def test_the_ledger_balances_when_nodes_were_cut_from_clients_or_far_away(
    play: Play,
) -> None:
    plan = [
        Step(1.5, "part", "n1", "both", 7, side=CLIENTS),
        Step(1.5, "late", "n2", "both", 5, LATE_MS, STORE),
        Step(7.5, "late", "n3", "both", 4, LATE_MS, CLIENTS),
        Step(12.5, "one-way", "n2", OUTWARDS, 5, side=CLIENTS),
        Step(12.5, "one-way", "n3", INWARDS, 5, side=CLIENTS),
        Step(13, "late", "n1", "both", 4, LATE_MS, ALL),
    ]
    book = await play(19, plan)
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
