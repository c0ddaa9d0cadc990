"""Messages on their way to the application: repeats dropped, acknowledgements collected. Pure."""

from collections import deque
from collections.abc import Iterator

from router.client.frames import MessageFrame, acknowledge, acknowledge_one
from router.client.words import Message
from router.model import MessageId, UserId

Place = tuple[int, int]


def place_of(offset: str) -> Place:
    """Return an offset as what it compares by; "" lies before all others."""
    if not offset:
        return (0, 0)
    milliseconds, _, number = offset.partition("-")
    return int(milliseconds), int(number)


class Arrivals:
    """What has arrived so far, over all connections of a client.

    An application sees each durable message once and in order: a repeat is known by (from, id), or
    by an offset that does not rise. What it has handled is acknowledged by the offset up to which
    everything was.

    Args:
        remembered: how many messages are known by (from, id).
        since: the offset after which to begin; "" to leave that to the node.
    """

    def __init__(self, remembered: int, since: str = "") -> None:
        self.since = since
        self.repeats = 0
        self._ring: deque[tuple[str, str]] = deque(maxlen=remembered)
        self._known: set[tuple[str, str]] = set()
        # Offsets in the order of their arrival; those handled out of turn wait for their turn.
        self._unhandled: deque[str] = deque()
        self._out_of_turn: set[str] = set()
        self._handled = ""
        self._told = ""
        self._ids: deque[str] = deque(maxlen=remembered)

    @property
    def unhandled(self) -> int:
        """Return how many durable messages were not acknowledged yet, whoever holds them."""
        return len(self._unhandled)

    @property
    def handled(self) -> str:
        """Return the offset up to which the application has handled everything; "" for none."""
        return self._handled

    def welcomed(self, *, resumed: bool, offset: str) -> bool:
        """Begin a connection.

        Args:
            resumed: whether the node can give everything after `since`.
            offset: after which it will give.

        Returns:
            Whether messages may be missing: we asked to resume, and the node cannot.
        """
        gap = bool(self.since) and not resumed
        if offset and (not resumed or place_of(offset) > place_of(self.since)):
            self.since = offset
        self._told = ""  # the node may have ended before it could note it down
        self._ids.clear()  # it knows nothing of what another one has written
        return gap

    def take(self, frame: MessageFrame) -> Message | None:
        """Return the message in a frame; None for a repeat."""
        name = (frame.origin, frame.id)
        stale = frame.offset and place_of(frame.offset) <= place_of(self.since)
        if stale or name in self._known:
            self.repeats += 1
            self._told = ""
            return None
        if len(self._ring) == self._ring.maxlen:
            self._known.discard(self._ring[0])
        self._ring.append(name)
        self._known.add(name)
        if frame.offset:
            self.since = frame.offset
            self._unhandled.append(frame.offset)
        return Message(
            MessageId(frame.id),
            UserId(frame.origin),
            frame.data,
            frame.sent_at,
            frame.offset,
            frame.replay,
        )

    def acknowledge(self, message: Message) -> None:
        """The application itself says that it is done with a message. Idempotent.

        One that is not durable is acknowledged by its id: its sender may wait for that.
        """
        if not message.offset:
            self._ids.append(message.id)
        self.handle(message)

    def handle(self, message: Message) -> None:
        """The application is done with a message. Idempotent."""
        if not message.offset or place_of(message.offset) <= place_of(self._handled):
            return
        self._out_of_turn.add(message.offset)
        while self._unhandled and self._unhandled[0] in self._out_of_turn:
            self._handled = self._unhandled.popleft()
            self._out_of_turn.discard(self._handled)

    @property
    def untold(self) -> bool:
        """Say whether there is something to acknowledge."""
        return self._handled != self._told or bool(self._ids)

    def tell(self) -> Iterator[str]:
        """Yield what to say to the node about it; it is taken to know it from then on."""
        while self._ids:
            yield acknowledge_one(self._ids.popleft())
        if self._handled != self._told:
            self._told = self._handled
            yield acknowledge(self._told)
