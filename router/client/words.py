"""What a program hears from the client, and what it may set."""

from dataclasses import dataclass
from typing import Any, ClassVar

from router.errors import Consequence, InvalidRequest, SwitchboardError
from router.model import MessageId, UserId


@dataclass(frozen=True, slots=True)
class Message:
    """A message for this user.

    Args:
        id: unique for its sender.
        origin: who sent it; "" for nobody's name.
        data: the application's JSON value.
        sent_at: when, seconds since 1970 by the sender's clock.
        offset: its place in the user's mailbox; "" when it is not durable.
        replay: whether it was read from the mailbox, because nobody was there when it came.
    """

    id: MessageId
    origin: UserId
    data: Any
    sent_at: float
    offset: str = ""
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Connecting:
    """A connection is being made to `url`."""

    name: ClassVar[str] = "connecting"
    url: str


@dataclass(frozen=True, slots=True)
class Open:
    """The node has welcomed us.

    Args:
        session: its id for this connection.
        node: its name.
        resumed: whether everything since the last connection, or since `since`, comes now.
        offset: the place in the mailbox after which messages come.
    """

    name: ClassVar[str] = "open"
    session: str
    node: str
    resumed: bool
    offset: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """There is no connection; the next try is made `after_s` seconds from now, for `reason`."""

    name: ClassVar[str] = "waiting"
    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """It is over.

    Args:
        code: the WebSocket close code, or the HTTP status with which a node refused us; 1000 when
            the program closed the client.
        reason: in words.
    """

    name: ClassVar[str] = "closed"
    code: int
    reason: str


State = Connecting | Open | Waiting | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times and bounds of a client.

    Args:
        dial_timeout_s: for a connection to be made and welcomed.
        ping_interval_s: a connection that is quiet for so long is asked whether it is there, and
            given up after two and a half times as long.
        retry_base_s: the n-th try in a row waits at most base * 2 ** n, a random part of it, so
            that clients which lost the same node do not come back together.
        retry_cap_s: and never longer than this.
        stable_after_s: a connection that held for so long ends the row.
        max_sends: sends that may wait for their outcome; `QueueFull` beyond.
        max_messages: messages that may wait for the application; then nothing more is read, and
            the node keeps the rest, or closes the session as a slow consumer.
        remembered_ids: how many messages are remembered, to drop repeats.
        ack_interval_s: between two acknowledgements.
        max_frame_bytes: of what a node may say at once.

    Raises:
        InvalidRequest: one of them is not above zero.
    """

    dial_timeout_s: float = 10.0
    ping_interval_s: float = 20.0
    retry_base_s: float = 0.5
    retry_cap_s: float = 30.0
    stable_after_s: float = 10.0
    max_sends: int = 1_000
    max_messages: int = 1_000
    remembered_ids: int = 10_000
    ack_interval_s: float = 0.2
    max_frame_bytes: int = 4_194_304

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise InvalidRequest(name, "must be above 0")


# One row per code of the client's own: what it means, and whether the same call may succeed later.
CLIENT_ERRORS = {"queue_full": True, "not_connected": True, "closed": False}


class ClientError(SwitchboardError):
    """Base of what only the client raises."""

    @property
    def consequence(self) -> Consequence:
        """Return what follows from this error."""
        return Consequence(503, 1, retry=CLIENT_ERRORS.get(self.code, False))


class QueueFull(ClientError):
    """Too many sends wait for their outcome; nothing was sent."""

    code = "queue_full"

    def __init__(self, limit: int) -> None:
        """Args: limit: how many may wait."""
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} sends wait for their outcome already; nothing was sent, try later"


class NotConnected(ClientError):
    """A send's time ran out before there was a connection; nothing was sent."""

    code = "not_connected"

    def __init__(self, timeout_s: float) -> None:
        """Args: timeout_s: how long it has waited."""
        super().__init__(timeout_s)
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"no connection within {self.timeout_s:g} s; nothing was sent"


class ClientClosed(ClientError):
    """The client is closed, by the program or by a node that wants no reconnect."""

    code = "closed"

    def __init__(self, closed: Closed) -> None:
        """Args: closed: how it ended."""
        super().__init__(closed)
        self.closed = closed

    def __str__(self) -> str:
        return f"the client is closed: {self.closed.reason} ({self.closed.code})"


class Refused(ClientError):
    """The node answered a send with an error; nothing was sent.

    `code` is the node's.
    """

    def __init__(self, code: str, message: str, field: str = "") -> None:
        """Args: code, message: the node's; field: the value that is wrong, "" for none."""
        super().__init__(code, message, field)
        self.code = code  # type: ignore[misc]  # a class of its own for each is no help to anybody
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return self.message
