"""Nodes that are cut off from the store or from their clients, while the others are not."""

from node.disconnects import TRY_ANOTHER
from scripts.faults.steps import CLIENTS, KILLED, STORE, Step
from tests.hosts.conftest import Play, packets


async def test_the_ledger_balances_when_nodes_were_cut_off(play: Play) -> None:
    """From the store for longer than a lease, and from clients for longer than these wait.

    Clients come to the nodes without store. What they made those send is sent again by the kernel
    6.2 s and 12.6 s later, unless it is dropped: the nodes, one of which was killed, have been back
    for long by then, and no message follows that would find out what is wrong with a route.
    """
    plan = [
        Step(1.5, "part", "n1", "both", 7.2, side=STORE),
        Step(1.5, "part", "n2", KILLED, 7.2, side=STORE),
        Step(1.8, "move", CLIENTS, "vanish", 0, 0.5),
        Step(9, "part", "n3", "both", 5, side=CLIENTS),
    ]
    book = await play(15, plan)
    assert min(packets(book)) > 0
    assert len(packets(book)) == 3
    assert book.final is not None
    assert {endpoint.partition(".")[0] for endpoint in book.final.living} > {"n1", "n2", "n3"}
    words = {message.word for message in book.messages.values()}
    assert {"delivered", "queued", "offline", "unavailable"} <= words
    # A node has asked the others, found that they have the store, and sent its sessions to them.
    cut = next(hurt for hurt in book.hurts if hurt.where == "n1")
    closed = [session.closed for s in book.users.values() for session in s if session.closed]
    sent_away = [c for c in closed if c.code == TRY_ANOTHER.code and cut.at < c.at < cut.until]
    assert sent_away
