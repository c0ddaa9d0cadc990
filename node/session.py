"""One client: its socket, what waits to be written, and what it has proved to have received."""

from collections.abc import Callable

from node.acks import Unacknowledged
from node.disconnects import SLOW, Disconnect
from node.frames import Codec, Goodbye, OutFrame
from node.identity import Identity
from node.limits import STRIKE_WINDOW_S, Room, Strikes
from node.outgoing import Outgoing
from node.pace import Pace
from node.place import Place
from node.proofs import PingProofs, Proof
from node.sockets import Socket, frame, ping_frame
from router.model import START, Confirm, EndpointId, Offset, Session, SessionId


class ClientSession:
    """A live WebSocket of a user.

    Frames collect until `flush`, so what one batch brings leaves in one write. A finished write
    proves nothing; so after messages whose sender wants proof goes a ping (`PingProofs`).

    Args:
        identity: whose, and what it may do.
        id: unique in the cluster.
        device: the name the client gave itself.
        address: the client's address.
        since: when it connected, seconds since 1970.
        codec: its subprotocol.
        socket: where its frames go.
        pace: how fast its frames are read.
        max_waiting_bytes: bound on what waits to be taken by the client.
        on_close: called once, when no more can be written: with the session.
        on_ack: called with the session and the offset up to which its device has everything.
        resume_after: the offset the client asked to go on after; None for its device's cursor.
        manual_acks: whether only the application acknowledges; else the proof of receipt does.
    """

    __slots__ = (
        "_acks",
        "_answers",
        "_manual_acks",
        "_on_ack",
        "_on_close",
        "_outgoing",
        "_pings",
        "_socket",
        "address",
        "attached",
        "closed",
        "closed_with",
        "codec",
        "device",
        "heard",
        "id",
        "identity",
        "pace",
        "place",
        "refusals",
        "since",
        "strikes",
        "user",
        "welcomed",
    )

    def __init__(
        self,
        identity: Identity,
        id: SessionId,
        *,
        device: str,
        address: str,
        since: float,
        codec: Codec,
        socket: Socket,
        pace: Pace,
        max_waiting_bytes: int,
        on_close: Callable[["ClientSession"], None],
        on_ack: Callable[["ClientSession", Offset], None],
        resume_after: Offset | None = None,
        manual_acks: bool = False,
    ) -> None:
        self.user = identity.user
        self.identity = identity
        self.id = id
        self.device = device
        self.address = address
        self.since = since
        self.codec = codec
        self.attached: EndpointId | None = None
        self.welcomed = self.closed = False
        self.closed_with = 0  # the close code this side chose; 0 while it has chosen none
        self.heard = True
        self.place = Place(resume_after)
        self.pace = pace
        self.strikes = Strikes(STRIKE_WINDOW_S)
        self.refusals = Strikes(STRIKE_WINDOW_S)
        self._acks: Unacknowledged | None = None  # made when needed: most clients never do
        self._answers = 0
        self._socket = socket
        self._outgoing = Outgoing(socket, max_waiting_bytes)
        self._on_close = on_close
        self._pings = PingProofs()
        self._manual_acks = manual_acks
        self._on_ack = on_ack

    @property
    def _awaited(self) -> Unacknowledged:
        """Return what its application has still to acknowledge."""
        if self._acks is None:
            self._acks = Unacknowledged()
        return self._acks

    @property
    def unproved(self) -> bool:
        """Say whether somebody waits for a proof from this session: a sender, or its cursor."""
        return self._pings.open(self._to_prove)

    @property
    def _to_prove(self) -> Offset:
        """Return how far the next pong will move the device's cursor."""
        return START if self._manual_acks else self.place.position or START

    def fits(self, length_bytes: int) -> bool:
        """Say whether there is room for so much, and as much again for what cannot wait.

        What is in the mailbox can wait: it is read from there when there is room.
        """
        return self._outgoing.fits(length_bytes)

    def resume(self, after: Offset, *, whole: bool) -> None:
        """Say where the durable messages of this client begin.

        Args:
            after: it has, or cannot get any more, everything up to this.
            whole: whether everything behind what it asked for is there.
        """
        self.place.begin(after, whole=whole)
        self._pings.start(after)

    def entry(self, endpoint: EndpointId) -> Session:
        """Return what the registry keeps of this session under `endpoint`."""
        return Session(self.id, endpoint, self.device, self.address, self.since)

    def put(self, frames: bytes, sender: str = "") -> bool:
        """Collect a frame for the next `flush`.

        What arrives before the welcome waits behind it.

        Args:
            frames: whole WebSocket frames.
            sender: who they are from; "" for the node.

        Returns:
            False when nothing of `frames` is written: too much waits already, and either the sender
            has had its share of the room, or the session is closed as a slow consumer.
        """
        if self.closed:
            return False
        room = self._outgoing.put(frames, sender)
        if room is Room.CLOSE:
            self.close(SLOW)
        return room is Room.TAKE

    def put_durable(self, message: str, offset: Offset, frames: bytes) -> bool:
        """Collect a durable message, the next one of the mailbox; else as `put`.

        Args:
            message: its id.
            offset: its place, above all before.
            frames: whole WebSocket frames.
        """
        if not self.put(frames):
            return False
        if self._manual_acks:
            self._awaited.wrote(message, offset)
        for proof in self.place.written(offset):
            self._watch(proof, message, offset)
        return True

    def expect(self, proof: Proof, message: str, offset: Offset = START) -> None:
        """Tell `proof` when the client has proved that it has a message written by now.

        Args:
            proof: told when the client has it, as far as the sender wants to know, or never will.
            message: its id.
            offset: its place in the mailbox; START when it is not durable.
        """
        proof.written()
        self._watch(proof, message, offset)

    def _watch(self, proof: Proof, message: str, offset: Offset) -> None:
        if proof.confirm is Confirm.DELIVERED:
            self._pings.expect(proof)
        elif proof.confirm is Confirm.ACKED:
            self._awaited.expect(message, offset, proof)
        else:
            proof.proved()

    def flush(self, *, last: bool = False) -> None:
        """Write what has collected, with a ping behind it where proof is wanted.

        Args:
            last: no other flush follows, so the ping does not wait for the pong of the one before.
        """
        if not self.welcomed or self.closed:
            return
        behind = b""
        if self._pings.due(self._to_prove, last=last):
            behind = ping_frame(self._pings.ask(self._to_prove))
        self._outgoing.flush(behind)

    def welcome(self, welcome: OutFrame) -> None:
        """Write the first frame, and what has waited behind it."""
        self.welcomed = True
        self._outgoing.first(frame(self.codec.encode(welcome), binary=self.codec.binary))
        self.flush()

    def send(self, out: OutFrame) -> None:
        """Write one frame now."""
        if self.put(frame(self.codec.encode(out), binary=self.codec.binary)):
            self.flush()

    def pong(self, payload: bytes) -> None:
        """Take a pong: if it carries the number of the ping under way, all before it arrived."""
        self.heard = True
        before = self._pings.proved
        if not self._pings.pong(payload):
            return
        self.pace.answered()
        if before < self._pings.proved:
            self._on_ack(self, self._pings.proved)
        if self._pings.due(self._to_prove):
            self.flush()

    def answered(self) -> None:
        """An acknowledgement came; as many as messages were written are not counted as frames."""
        if self._answers < self._outgoing.taken:
            self._answers += 1
            self.pace.answered()

    def acknowledge(self, message: str) -> None:
        """The application acknowledges one message; of an unknown one nothing follows."""
        if self._awaited.acknowledge(message):
            self._on_ack(self, self._awaited.cursor)

    def acknowledge_up_to(self, offset: Offset) -> None:
        """The application acknowledges all up to `offset`, of what it was written."""
        if self._awaited.acknowledge_up_to(min(offset, self.place.position or START)):
            self._on_ack(self, self._awaited.cursor)

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
        self.closed_with = disconnect.code
        if disconnect is not SLOW:
            words = reason or disconnect.reason
            goodbye = Goodbye(words, after_ms) if disconnect.reconnect else Goodbye(words)
            self.flush(last=True)
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
        self.place.close()
        self._pings.close()
        if self._acks is not None:
            self._acks.close()

    def _leave(self) -> None:
        if not self.closed:
            self.closed = True
            self._outgoing.drop()
            self._on_close(self)
