import msgspec

from scripts.comparison.document import Cell, Document, Sticky
from scripts.comparison.words import GIVES, verdicts
from tests.support.comparison import RECORDED

LIKE = RECORDED.cells[0]


def document(*cells: tuple[str, int, float, float]) -> Document:
    """Return a document with cells of (mode, nodes, CPU of nodes, CPU of the sender)."""
    made: list[Cell] = [
        msgspec.structs.replace(
            LIKE, mode=m, nodes=n, regime="rate", cpu_nodes=cpu, cpu_store=0.0, cpu_sender=sender
        )
        for m, n, cpu, sender in cells
    ]
    return msgspec.structs.replace(RECORDED, cells=made, multicast=[], sticky=[])


def test_a_loss_is_told_first_with_its_size() -> None:
    told = verdicts(document(("routed", 1, 2.0, 0), ("channel", 1, 1.0, 0)))
    assert told[0] == (
        "Routed loses to channel at the fixed rate. Its CPU of nodes and store, "
        "times that of channel: 2.00 with 1 node."
    )
    assert told[-1] == GIVES


def test_a_win_is_told_with_its_size() -> None:
    cells = (("routed", 16, 1.0, 0), ("broadcast", 16, 3.0, 0))
    told = verdicts(document(*cells))
    assert told[0].startswith("In this run routed used no more CPU")
    assert told[1].startswith("Routed wins against broadcast at the fixed rate. CPU of nodes")
    assert "3.00 with 16 nodes" in told[1]


def test_what_the_sender_turns_around_is_told() -> None:
    told = verdicts(document(("routed", 4, 1.0, 4.0), ("channel", 4, 1.1, 1.0)))
    assert any(sentence.startswith("With the sender's CPU counted too") for sentence in told)


def test_the_price_of_proof_is_told() -> None:
    cells = [("routed", 4, 1.0, 0.0), ("channel", 4, 1.0, 0.0), ("routed-delivered", 4, 1.8, 0.0)]
    assert any("1.80 to 1.80 times" in sentence for sentence in verdicts(document(*cells)))


def test_nothing_is_said_of_what_was_not_compared() -> None:
    assert verdicts(document(("routed", 1, 1.0, 0))) == []
    lone = msgspec.structs.replace(document(), sticky=[Sticky(4, 400, 1000, 260, 0.74, 0.75, 0)])
    (sentence,) = verdicts(lone)
    assert "74% with 4 nodes" in sentence
