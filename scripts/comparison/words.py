"""What the figures say, in sentences: where routed wins, where it loses, what it gives. Pure."""

from collections.abc import Callable

from scripts.comparison.document import Document
from scripts.comparison.options import ROUTED, ROUTED_DELIVERED
from scripts.comparison.summary import Row, rows
from scripts.measuring.stats import Spread

LOADS = {"full": "at full load", "rate": "at the fixed rate"}
GIVES = (
    "What routed gives for it: the sender learns what became of the message (the other modes can "
    "only say that it was handed over), a message waits in the node's own list while the node is "
    "busy or away, and a full list says so instead of growing without end."
)
_SAME = 0.03  # closer than this nobody should call it a difference


def load_of(document: Document, regime: str) -> str:
    """Return in words how the load of a regime was made."""
    settings = document.settings
    if regime == "rate":
        return f"{settings.get('rate', 0):g} messages/s"
    return f"full load, {settings.get('outstanding')} under way"


def verdicts(document: Document) -> list[str]:
    """Return sentences on CPU of nodes and store, losses of routed first."""
    compared = [row for row in rows(document.cells) if row.ratio is not None]
    others = [row for row in compared if row.mode != ROUTED_DELIVERED]
    if not others:
        return _sticky(document)
    losses = [row for row in others if row.ratio and row.ratio.median < 1 - _SAME]
    found = [_loses(group) for group in _groups(losses)] or [
        "In this run routed used no more CPU of nodes and store than any other mode."
    ]
    found += [_loses_with_sender(group) for group in _groups(_with_sender(others))]
    wins = [row for row in others if row.ratio and row.ratio.median > 1 + _SAME]
    found += [_wins(group) for group in _groups(wins)]
    return [*found, *_delivered(compared), *_multicast(document), *_sticky(document), GIVES]


def _groups(some: list[Row]) -> list[list[Row]]:
    """Return the rows of each mode and load, smaller clusters first."""
    keys = dict.fromkeys((row.regime, row.mode) for row in some)
    return [[row for row in some if (row.regime, row.mode) == key] for key in keys]


def _loses(group: list[Row]) -> str:
    told = _list(group, lambda row: _over(row.ratio), lambda row: _doubt(row.ratio))
    return (
        f"Routed loses to {group[0].mode} {LOADS[group[0].regime]}. Its CPU of nodes and store, "
        f"times that of {group[0].mode}: {told}."
    )


def _loses_with_sender(group: list[Row]) -> str:
    told = _list(group, lambda row: _over(row.ratio_all), lambda row: _doubt(row.ratio_all))
    return (
        f"With the sender's CPU counted too, routed loses to {group[0].mode} "
        f"{LOADS[group[0].regime]} where it does not without. Its CPU, times that of "
        f"{group[0].mode}: {told}."
    )


def _wins(group: list[Row]) -> str:
    told = _list(group, lambda row: _ratio(row).median, lambda row: _doubt(row.ratio))
    return (
        f"Routed wins against {group[0].mode} {LOADS[group[0].regime]}. CPU of nodes and store of "
        f"{group[0].mode}, times that of routed: {told}."
    )


def _list(group: list[Row], times: Callable[[Row], float], doubt: Callable[[Row], str]) -> str:
    return ", ".join(f"{times(row):.2f} with {_nodes(row.nodes)}{doubt(row)}" for row in group)


def _ratio(row: Row) -> Spread:
    assert row.ratio is not None
    return row.ratio


def _over(ratio: Spread | None) -> float:
    """Return how many times as much routed uses."""
    return 1 / ratio.median if ratio is not None and ratio.median else 1.0


def _doubt(ratio: Spread | None) -> str:
    uncertain = ratio is not None and ratio.low < 1 < ratio.high
    return " (the repeats disagree on who is ahead)" if uncertain else ""


def _with_sender(others: list[Row]) -> list[Row]:
    """Return the rows where the sender's own work turns the picture: routed looks its users up."""
    return [
        row
        for row in others
        if row.ratio_all is not None
        and _ratio(row).median >= 1 - _SAME
        and row.ratio_all.median < 1 - _SAME
    ]


def _delivered(compared: list[Row]) -> list[str]:
    ratios = [row.ratio.median for row in compared if row.mode == ROUTED_DELIVERED and row.ratio]
    if not ratios:
        return []
    return [
        "Proof of receipt has its price: routed with confirm=delivered uses "
        f"{min(ratios):.2f} to {max(ratios):.2f} times the CPU of nodes and store that "
        "confirm=accepted uses. No other mode can give it."
    ]


def _multicast(document: Document) -> list[str]:
    envelopes = {cell.mode: cell.envelopes for cell in document.multicast}
    if len(envelopes) < 2 or ROUTED not in envelopes:
        return []
    users = document.multicast[0].users
    told = ", ".join(f"{mode} {count:.0f}" for mode, count in envelopes.items())
    return [f"One message to {users} users is handed to the nodes in so many envelopes: {told}."]


def _sticky(document: Document) -> list[str]:
    if not document.sticky:
        return []
    told = ", ".join(
        f"{row.undelivered_share:.0%} with {_nodes(row.nodes)}" for row in document.sticky
    )
    return [
        "Placing users by a hash of their IP address, without a way between the nodes, leaves "
        f"messages between users that cannot be delivered: {told}."
    ]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
