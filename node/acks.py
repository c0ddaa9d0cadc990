"""What a client's application has still to acknowledge, and how far it has come; pure."""

from typing import Final, Protocol

from router.model import START, Offset

MAX_WAITING: Final = 1_024
_REMEMBERED: Final = 64
_LONGEST_ID: Final = 128


class Told(Protocol):
    """Who waits for an acknowledgement."""

    def proved(self) -> None:
        """The application has acknowledged it."""

    def failed(self) -> None:
        """It never will."""


class Unacknowledged:
    """The messages of one session that its application has not acknowledged.

    A device's cursor is cumulative: it moves past a message only when all before it have been
    acknowledged, too.
    """

    __slots__ = ("_acknowledged", "_ahead", "_offsets", "_up_to", "_waiting", "cursor")

    def __init__(self) -> None:
        # Both in the order in which they were written, that of the offsets.
        self._offsets: dict[str, Offset] = {}
        self._waiting: dict[str, tuple[Offset, Told]] = {}
        self._ahead: set[str] = set()
        # What was acknowledged lately: a replay may write a message, and the application
        # acknowledge it, before its live copy comes with the one who waits for that.
        self._acknowledged: dict[str, None] = {}
        self._up_to = START
        self.cursor = START

    def wrote(self, message: str, offset: Offset) -> None:
        """Note a durable message that was written.

        Args:
            message: its id.
            offset: its place in the mailbox, above all before.
        """
        self._offsets.pop(message, None)  # of another sender; its place must not be taken for this
        self._offsets[message] = offset

    def expect(self, message: str, offset: Offset, told: Told) -> None:
        """Tell `told` when the message is acknowledged, or is already.

        Of too many that wait, the oldest fails.

        Args:
            message: its id.
            offset: its place in the mailbox; START when it is not durable.
            told: who waits.
        """
        if message in self._acknowledged or START < offset <= self._up_to:
            told.proved()
            return
        earlier = self._waiting.pop(message, None)
        if earlier is None and len(self._waiting) >= MAX_WAITING:
            earlier = self._waiting.pop(next(iter(self._waiting)))
        self._waiting[message] = (offset, told)
        if earlier is not None:
            earlier[1].failed()

    def acknowledge(self, message: str) -> bool:
        """Take the acknowledgement of one message; return whether the cursor has moved."""
        self._tell(message)
        self._remember(message)
        if message not in self._offsets:
            return False
        self._ahead.add(message)
        before = self.cursor
        while self._offsets and (first := next(iter(self._offsets))) in self._ahead:
            self.cursor = self._offsets.pop(first)
            self._ahead.discard(first)
        return self.cursor > before

    def acknowledge_up_to(self, offset: Offset) -> bool:
        """Take the acknowledgement of all up to `offset`; return whether the cursor has moved."""
        self._up_to = max(self._up_to, offset)
        for message in [m for m, (at, _) in self._waiting.items() if START < at <= offset]:
            self._tell(message)
        while self._offsets and self._offsets[first := next(iter(self._offsets))] <= offset:
            del self._offsets[first]
            self._ahead.discard(first)
        if offset <= self.cursor:
            return False
        self.cursor = offset
        return True

    def close(self) -> None:
        """Nothing more will be acknowledged: tell all who wait."""
        waiting, self._waiting = self._waiting, {}
        for _, told in waiting.values():
            told.failed()

    def _remember(self, message: str) -> None:
        if len(message) <= _LONGEST_ID:
            if len(self._acknowledged) >= _REMEMBERED:
                del self._acknowledged[next(iter(self._acknowledged))]
            self._acknowledged[message] = None

    def _tell(self, message: str) -> None:
        waiting = self._waiting.pop(message, None)
        if waiting is not None:
            waiting[1].proved()
