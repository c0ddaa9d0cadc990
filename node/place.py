"""Where a client is in its user's mailbox, and who waits for what it has not been written yet."""

from collections.abc import Iterable, Sequence

from node.proofs import Proof
from router.model import START, Offset


class Place:
    """The place of one session in a mailbox.

    Durable messages are written in the order of their offsets. While `replaying`, they come from
    the mailbox, and live ones are only noted.

    Args:
        asked: the offset the client asked to go on after; None for its device's cursor.

    Attributes:
        position: the last message written; None until it is known where this client goes on.
        newest: the last message that was noted.
        replaying: whether the mailbox is being read to it.
        whole: whether everything behind what it asked for was there.
    """

    __slots__ = ("_awaited", "asked", "newest", "position", "replaying", "whole")

    def __init__(self, asked: Offset | None) -> None:
        self.asked = asked
        self.position: Offset | None = None
        self.newest = START
        self.replaying = False
        self.whole = False
        self._awaited: dict[Offset, list[Proof]] | None = None  # None until somebody waits

    def begin(self, after: Offset, *, whole: bool) -> None:
        """Say where the messages of this client begin; see `Resumed` for the arguments."""
        self.give_up(after)
        self.whole = whole

    def behind(self) -> bool:
        """Say whether it has not been written all that was noted."""
        return self.newest > (self.position or START)

    def note(self, offset: Offset, proof: Proof | None) -> None:
        """Note a message that is to be read from the mailbox, or has been.

        Args:
            offset: its place.
            proof: told when it is written, or never will be; None when nobody asks.
        """
        self.newest = max(self.newest, offset)
        if proof is not None:
            proof.written()
            if self._awaited is None:
                self._awaited = {}
            self._awaited.setdefault(offset, []).append(proof)

    def written(self, offset: Offset) -> Sequence[Proof]:
        """Go on behind a message that was written; return who has waited for it."""
        self.position = offset
        return self._awaited.pop(offset, ()) if self._awaited else ()

    def pass_over(self, offset: Offset) -> None:
        """Go on behind a message of the mailbox that is not written, expired or unreadable."""
        _fail(self.written(offset))

    def give_up(self, offset: Offset) -> None:
        """Wait no longer for messages up to `offset`: they are not in the mailbox any more."""
        self.position = max(self.position or START, offset)
        awaited = self._awaited or {}
        for gone in [at for at in awaited if at <= offset]:
            _fail(awaited.pop(gone))

    def close(self) -> None:
        """Nothing more will be written: whoever waits hears so."""
        awaited, self._awaited = self._awaited, None
        for proofs in (awaited or {}).values():
            _fail(proofs)


def _fail(proofs: Iterable[Proof]) -> None:
    for proof in proofs:
        proof.failed()
