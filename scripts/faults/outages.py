"""When a node could not keep its promises, because something was broken. Pure."""

from collections.abc import Iterable
from functools import cache

from scripts.faults.book import SECOND, Book, Message
from scripts.faults.entries import Hurt, Ns
from scripts.faults.options import MASTER_FAULTS

Span = tuple[Ns, Ns]
_STORE = ("redis-restart", "redis-hang", "power")
_SILENCING = ("pause", "cut", "slow")
_LOSING = ("part", "one-way")
_STORE_SIDES, _CLIENT_SIDES = ("store", "all"), ("clients", "all")
_RESCUE_S = 8.0
_MARGIN_NS = SECOND


class Outages:
    """What was broken in a run, and what follows from it.

    Args:
        book: of the run.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._lease_ns = round(book.run.lease_s * SECOND)
        self._beat_ns = round(book.run.heartbeat_s * SECOND)
        self._aftermath_ns = 2 * self._lease_ns + round(_RESCUE_S * SECOND)
        self._spans = cache(self._spans_without_lease)

    def cut_off(self, node: str, start: Ns, end: Ns) -> bool:
        """Say whether a node may rightly have been taken for dead between `start` and `end`.

        Only where it could not renew its lease for so long that the lease ended; and then until it
        has had the time to find that out and to register its sessions again.
        """
        return any(begin <= end and start <= until for begin, until in self._spans(node))

    def unheard(self, node: str, start: Ns, end: Ns) -> bool:
        """Say whether a node may rightly have given up its sessions between `start` and `end`.

        Only where packets between it and the clients were lost; and then until the clients have
        found that out: at once, if the way is whole again, or after they have heard nothing for
        too long.
        """
        silence_ns = round(self._book.run.silence_s * SECOND)
        for hurt in self._book.hurts:
            if hurt.fault in _LOSING and hurt.where == node and hurt.side in _CLIENT_SIDES:
                until = max(hurt.until, hurt.at + silence_ns) + _MARGIN_NS
                if hurt.at <= end and start <= until:
                    return True
        return False

    def unsafe(self, start: Ns, end: Ns) -> bool:
        """Say whether the store may have lost what it had acknowledged between `start` and `end`.

        Only where a master was replaced: what its replica did not have yet is gone.
        """
        return any(
            hurt.unsafe and hurt.at - _MARGIN_NS <= end and start <= hurt.until
            for hurt in self._book.hurts
        )

    def explain(self, message: Message) -> bool:
        """Say whether anything was broken or moved while a message was under way."""
        start, end = message.sent.at, message.told_at
        if message.sent.confirm == "acked" and not self._acknowledges(message.sent.user):
            return True
        for hurt in self._book.hurts:
            if hurt.at <= end and start <= hurt.until + self._aftermath_ns:
                return True
        for session in self._book.users.get(message.sent.user, ()):
            turns = [session.opened.at, session.ended_at, *(deaf.at for deaf in session.deaf)]
            if any(start - _MARGIN_NS <= at <= end + _MARGIN_NS for at in turns):
                return True
            if not session.heard(start, end) and session.opened.at <= start < session.ended_at:
                return True  # it was not reading
        return False

    def _acknowledges(self, user: str) -> bool:
        """Say whether all clients of a user acknowledge by themselves; the others never do."""
        return all(session.opened.ack == "manual" for session in self._book.users.get(user, ()))

    def _spans_without_lease(self, node: str) -> tuple[Span, ...]:
        silent = [hurt for hurt in self._book.hurts if _silences(hurt, node)]
        spans = _merged(
            ((hurt.at, hurt.served or hurt.until) for hurt in silent), self._beat_ns + _MARGIN_NS
        )
        # The last heartbeat may have been as long ago as one is late at most.
        patience_ns = self._lease_ns - self._beat_ns
        return_ns = round(self._book.run.return_s * SECOND)
        return tuple(
            (begin + patience_ns, until + self._lease_ns + return_ns)
            for begin, until in spans
            if until - begin >= patience_ns
        )


def _silences(hurt: Hurt, node: str) -> bool:
    """Say whether a fault keeps a node from renewing its lease."""
    if hurt.fault in _LOSING:
        return hurt.where == node and hurt.side in _STORE_SIDES
    if hurt.fault in MASTER_FAULTS:
        return node in hurt.nodes
    return hurt.fault in _STORE or (hurt.fault in _SILENCING and hurt.where == node)


def _merged(spans: Iterable[Span], gap_ns: Ns) -> list[Span]:
    """Return spans with those joined that follow each other within `gap_ns`."""
    merged: list[Span] = []
    for begin, until in sorted(spans):
        if merged and begin - merged[-1][1] <= gap_ns:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((begin, until))
    return merged
