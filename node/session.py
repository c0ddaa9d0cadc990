"""One client: its socket, what waits to be written, and what it has proved to have received."""

from collections.abc import Callable
from typing import Final

from node.disconnects import SLOW, Disconnect
from node.frames import Codec, Goodbye, OutFrame
from node.limits import Strikes
from node.sockets import Socket, frame, ping_frame
from router.codec import Answer
from router.model import EndpointId, Session, SessionId, UserId
from router.receipts import Receipts

_STRIKES: Final = 10
_STRIKE_WINDOW_S: Final = 10.0


class Proof:
    """One copy of a message, written to some sessions, that waits for a proof of receipt.

    The first session that proves it decides; it is lost when all of them have closed.

    Args:
        receipts: takes the answer.
        sender: the endpoint that waits.
        ref: its number for the message.
    """

    __slots__ = ("_open", "_receipts", "_ref", "_sender", "_sessions")

    def __init__(self, receipts: Receipts, sender: str, ref: int) -> None:
        self._receipts = receipts
        self._sender = sender
        self._ref = ref
        self._sessions = 0
        self._open = True

    def written(self) -> None:
        """It was written to one more session."""
        self._sessions += 1

    def proved(self) -> None:
        """A session has received it for certain."""
        if self._open:
            self._open = False
            self._receipts.add(self._sender, self._ref, Answer.DELIVERED, 1)

    def failed(self) -> None:
        """A session closed before it proved anything."""
        self._sessions -= 1
        if self._open and self._sessions == 0:
            self._open = False
            self._receipts.add(self._sender, self._ref, Answer.CLOSED, 0)


class ClientSession:
    """A live WebSocket of a user.

    Frames collect until `flush`, so what one batch brings leaves in one write. A finished write
    proves nothing; so after messages whose sender wants proof goes a ping with a number, and the
    pong with that number proves that the client's WebSocket stack received all before it (RFC 6455
    section 5.5.3). One such ping is under way at most.

    Args:
        user: whose.
        id: unique in the cluster.
        device: the name the client gave itself.
        address: the client's address.
        since: when it connected, seconds since 1970.
        codec: its subprotocol.
        socket: where its frames go.
        max_waiting_bytes: bound on what waits to be taken by the client.
        on_close: called once, when no more can be written: with the session.
    """

    __slots__ = (
        "_asked",
        "_asked_number",
        "_max_waiting_bytes",
        "_on_close",
        "_out",
        "_out_bytes",
        "_socket",
        "_unasked",
        "address",
        "attached",
        "closed",
        "codec",
        "device",
        "heard",
        "id",
        "since",
        "strikes",
        "user",
        "welcomed",
    )

    def __init__(
        self,
        user: UserId,
        id: SessionId,
        *,
        device: str,
        address: str,
        since: float,
        codec: Codec,
        socket: Socket,
        max_waiting_bytes: int,
        on_close: Callable[["ClientSession"], None],
    ) -> None:
        self.user = user
        self.id = id
        self.device = device
        self.address = address
        self.since = since
        self.codec = codec
        self.attached: EndpointId | None = None
        self.welcomed = False
        self.closed = False
        self.heard = True
        self.strikes = Strikes(_STRIKES, _STRIKE_WINDOW_S)
        self._socket = socket
        self._max_waiting_bytes = max_waiting_bytes
        self._on_close = on_close
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._unasked: list[Proof] = []
        self._asked: list[Proof] = []
        self._asked_number = 0

    @property
    def unproved(self) -> bool:
        """Say whether senders wait for a proof from this session."""
        return bool(self._asked or self._unasked)

    def entry(self, endpoint: EndpointId) -> Session:
        """Return what the registry keeps of this session under `endpoint`."""
        return Session(self.id, endpoint, self.device, self.address, self.since)

    def put(self, frames: bytes, proof: Proof | None = None) -> bool:
        """Collect a frame for the next `flush`.

        What arrives before the welcome waits behind it.

        Args:
            frames: whole WebSocket frames.
            proof: told when the client has received them for certain, or never will.

        Returns:
            False when too much waits already: the session is closed as a slow consumer, and
            nothing of `frames` is written.
        """
        if self.closed:
            return False
        waiting = self._socket.waiting_bytes + self._out_bytes
        if waiting and waiting + len(frames) > self._max_waiting_bytes:
            self.close(SLOW)
            return False
        self._out.append(frames)
        self._out_bytes += len(frames)
        if proof is not None:
            self.expect(proof)
        return True

    def expect(self, proof: Proof) -> None:
        """Have the next ping prove what was written so far."""
        proof.written()
        self._unasked.append(proof)

    def flush(self) -> None:
        """Write what has collected, with a ping behind it where proof is wanted."""
        if not self.welcomed or self.closed:
            return
        if self._unasked and not self._asked:
            self._ask()
        if self._out:
            out = self._out
            data = out[0] if len(out) == 1 else b"".join(out)
            self._out = []
            self._out_bytes = 0
            self._socket.write(data)

    def _ask(self) -> None:
        self._asked, self._unasked = self._unasked, self._asked
        self._asked_number += 1
        self._out.append(ping_frame(b"%d" % self._asked_number))

    def welcome(self, welcome: OutFrame) -> None:
        """Write the first frame, and what has waited behind it."""
        self.welcomed = True
        self._out.insert(0, frame(self.codec.encode(welcome), binary=self.codec.binary))
        self.flush()

    def send(self, out: OutFrame) -> None:
        """Write one frame now."""
        if self.put(frame(self.codec.encode(out), binary=self.codec.binary)):
            self.flush()

    def pong(self, payload: bytes) -> None:
        """Take a pong: if it carries the number of the ping under way, all before it arrived."""
        self.heard = True
        if not self._asked or payload != b"%d" % self._asked_number:
            return
        proved, self._asked = self._asked, []
        for proof in proved:
            proof.proved()
        if self._unasked:
            self.flush()

    def check(self) -> None:
        """Ping a quiet client; end one that has not answered since the last time."""
        if not self.heard:
            self.abort()
            return
        self.heard = False
        if self.welcomed and not self.closed:
            self._socket.write(ping_frame(b""))

    def close(self, disconnect: Disconnect, reason: str = "", after_ms: int = 0) -> None:
        """Close from this side: goodbye, then the close frame.

        What was written before can still be proved, by a last ping, until the connection ends.

        Args:
            disconnect: why.
            reason: more words than the table has; "" for those.
            after_ms: when the client should come back, if it should.
        """
        if self.closed:
            return
        if disconnect is not SLOW:
            words = reason or disconnect.reason
            goodbye = Goodbye(words, after_ms) if disconnect.reconnect else Goodbye(words)
            if self._unasked:
                self._unasked, self._asked = self._asked + self._unasked, []
            self.flush()
            self._socket.write(frame(self.codec.encode(goodbye), binary=self.codec.binary))
        self._socket.close(disconnect.code, reason or disconnect.reason)
        self._leave()

    def abort(self) -> None:
        """Cut the connection: a closing handshake with nobody takes five seconds more."""
        self._socket.abort()
        self.gone()

    def gone(self) -> None:
        """The connection has ended: nothing more is written, and no proof will come."""
        self._leave()
        unproved = self._asked + self._unasked
        self._asked, self._unasked = [], []
        for proof in unproved:
            proof.failed()

    def _leave(self) -> None:
        if not self.closed:
            self.closed = True
            self._out = []
            self._out_bytes = 0
            self._on_close(self)
