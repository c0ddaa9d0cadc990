"""What a sender waits for: that one of a user's sessions took its message, as far as it asked."""

from router.codec import Answer
from router.model import START, Confirm, Offset
from router.receipts import Receipts

_ANSWERS = {
    Confirm.WRITTEN: Answer.WRITTEN,
    Confirm.DELIVERED: Answer.DELIVERED,
    Confirm.ACKED: Answer.ACKED,
}
_END = Offset(2**64, 0)


class Proof:
    """One copy of a message, written to some sessions, whose sender waits for a proof.

    The first session that proves it decides; it is lost when all of them have closed.

    Args:
        receipts: takes the answer.
        sender: the endpoint that waits.
        ref: its number for the message.
        confirm: how far the sender waits.
    """

    __slots__ = ("_open", "_receipts", "_ref", "_sender", "_sessions", "confirm")

    def __init__(
        self, receipts: Receipts, sender: str, ref: int, confirm: Confirm = Confirm.DELIVERED
    ) -> None:
        self.confirm = confirm
        self._receipts = receipts
        self._sender = sender
        self._ref = ref
        self._sessions = 0
        self._open = True

    def written(self) -> None:
        """It was written to one more session, or waits for its turn there."""
        self._sessions += 1

    def proved(self) -> None:
        """A session has taken it, as far as the sender wants to know."""
        if self._open:
            self._open = False
            self._receipts.add(self._sender, self._ref, _ANSWERS[self.confirm], 1)

    def failed(self) -> None:
        """A session closed before it proved anything."""
        self._sessions -= 1
        if self._open and self._sessions == 0:
            self._open = False
            self._receipts.add(self._sender, self._ref, Answer.CLOSED, 0)


class PingProofs:
    """Which proofs the next pong of a session brings.

    Frames arrive in order, so the pong that carries a ping's number proves that the client's
    WebSocket stack has received all that was written before that ping (RFC 6455 section 5.5.3). One
    such ping is under way at most.
    """

    __slots__ = ("_asked", "_number", "_position", "_unasked", "_under_way", "proved")

    def __init__(self) -> None:
        self._unasked: list[Proof] = []
        self._asked: list[Proof] = []
        self._under_way = False
        self._number = 0
        self._position = START
        self.proved = START

    def start(self, position: Offset) -> None:
        """Nothing up to `position` needs a proof: the client has it already."""
        self._position = self.proved = position

    def expect(self, proof: Proof) -> None:
        """Have the next ping prove what was written so far."""
        self._unasked.append(proof)

    def open(self, position: Offset) -> bool:
        """Say whether anything written waits for its proof.

        Args:
            position: the last durable message that a pong shall prove.
        """
        return bool(self._asked or self._unasked) or self.proved < position

    def due(self, position: Offset, *, last: bool = False) -> bool:
        """Say whether a ping should go out now; the last one waits for no other's pong."""
        wanted = bool(self._unasked) or self._position < position
        return wanted and (last or not self._under_way)

    def ask(self, position: Offset) -> bytes:
        """Return the payload of the next ping, which asks for all that was written so far."""
        self._asked += self._unasked
        self._unasked = []
        self._under_way = True
        self._number += 1
        self._position = position
        return b"%d" % self._number

    def pong(self, payload: bytes) -> bool:
        """Take a pong; return whether it is the one that was asked for."""
        if not self._under_way or payload != b"%d" % self._number:
            return False
        self._under_way = False
        self.proved = self._position
        proved, self._asked = self._asked, []
        for proof in proved:
            proof.proved()
        return True

    def close(self) -> None:
        """No pong will come: whoever waits hears so."""
        self.start(_END)
        unproved = self._asked + self._unasked
        self._asked, self._unasked = [], []
        for proof in unproved:
            proof.failed()
