"""Nodes whose way to the store is broken, while others and all clients see each other."""

from node.disconnects import TRY_ANOTHER
from scripts.faults.steps import CLIENTS, INWARDS, OUTWARDS, STORE, Step
from tests.hosts.conftest import Play, packets


async def test_the_ledger_balances_when_nodes_were_cut_from_the_store(play: Play) -> None:
    """For longer than a lease both ways, and one way each; clients come to one that is cut off.

    What those made it send is sent again by the kernel 6.2 s and 12.6 s later, unless it is
    discarded: after 7.2 s the node is back before that.
    """
    plan = [
        Step(1.5, "part", "n1", "both", 7.2, side=STORE),
        Step(1.8, "move", CLIENTS, "vanish", 0, 0.5),
        Step(9.5, "one-way", "n2", OUTWARDS, 5, side=STORE),
        Step(9.5, "one-way", "n3", INWARDS, 5, side=STORE),
    ]
    book = await play(16, plan)
    assert min(packets(book)) > 0
    assert len(packets(book)) == 3
    assert book.final is not None
    assert {endpoint.partition(".")[0] for endpoint in book.final.living} > {"n1", "n2", "n3"}
    words = {message.word for message in book.messages.values()}
    assert {"delivered", "queued", "offline", "unavailable"} <= words
    # The node has asked the others, found that they have the store, and sent its sessions to them.
    cut = next(hurt for hurt in book.hurts if hurt.where == "n1")
    closed = [session.closed for s in book.users.values() for session in s if session.closed]
    sent_away = [c for c in closed if c.code == TRY_ANOTHER.code and cut.at < c.at < cut.until]
    assert sent_away
