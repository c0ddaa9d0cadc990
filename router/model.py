"""The words of this project as types; pure: nothing here waits, asks the time or rolls dice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, NewType, Self

from router.errors import InvalidRequest, InvalidUser
from router.vitals import UNKNOWN, Vitals

UserId = NewType("UserId", str)
SessionId = NewType("SessionId", str)
EndpointId = NewType("EndpointId", str)
MessageId = NewType("MessageId", str)

DEFAULT_DEVICE: Final = "default"
MAX_USER_CHARACTERS = 128
MAX_NAME_CHARACTERS = 64
MAX_KEY_CHARACTERS = 128
_OFFSET: Final = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)


class Offset(NamedTuple):
    """The place of a durable message in its user's mailbox; later messages have greater ones.

    It is the id of the message's stream entry.
    Source: https://redis.io/docs/latest/develop/data-types/streams/ (entry ids)

    Args:
        ms: milliseconds since 1970 by the store's clock.
        seq: number among the messages of that millisecond.
    """

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, text: str, field: str = "offset") -> Self:
        """Return the offset that `text` names.

        Raises:
            InvalidRequest: it names none; `field` says where it stood.
        """
        match = _OFFSET.fullmatch(text)
        if match is None:
            raise InvalidRequest(
                field, "is an offset as a message carries it, such as 1795419635120-0"
            )
        return cls(int(match[1]), int(match[2]))


START: Final = Offset(0, 0)
"""Before every message."""


class Outcome(StrEnum):
    """What became of one message for one user (INTERFACE section 2)."""

    ACKED = "acked"
    DELIVERED = "delivered"
    WRITTEN = "written"
    ACCEPTED = "accepted"
    QUEUED = "queued"
    OFFLINE = "offline"
    DROPPED = "dropped"
    BUSY = "busy"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"


class Confirm(IntEnum):
    """How far a sender waits; a higher level implies the lower ones."""

    ACCEPTED = 0
    WRITTEN = 1
    DELIVERED = 2
    ACKED = 3

    @classmethod
    def parse(cls, word: str) -> "Confirm":
        """Return the level called `word`.

        Raises:
            InvalidRequest: there is no such level.
        """
        try:
            return cls[word.upper()]
        except KeyError:
            known = ", ".join(level.name.lower() for level in cls)
            raise InvalidRequest("confirm", f"'{word}' is not one of {known}") from None


@dataclass(frozen=True, slots=True)
class Consequence:
    """What an outcome means to a caller: HTTP status and exit status (INTERFACE sections 3, 5)."""

    http_status: int
    exit_status: int


OUTCOMES = {
    Outcome.ACKED: Consequence(200, 0),
    Outcome.DELIVERED: Consequence(200, 0),
    Outcome.WRITTEN: Consequence(200, 0),
    Outcome.ACCEPTED: Consequence(202, 0),
    Outcome.QUEUED: Consequence(202, 0),
    Outcome.DUPLICATE: Consequence(200, 0),
    Outcome.OFFLINE: Consequence(200, 3),
    Outcome.DROPPED: Consequence(200, 3),
    Outcome.EXPIRED: Consequence(200, 3),
    Outcome.UNKNOWN: Consequence(504, 4),
    Outcome.BUSY: Consequence(503, 5),
}


@dataclass(frozen=True, slots=True)
class SendResult:
    """The truth about one message for one user.

    Args:
        id: the message's id, the same for every repeat.
        user: whom it was for.
        outcome: what became of it.
        sessions: live sessions the registry named when the user was looked up.
        reason: why, where the outcome alone leaves it open; "" otherwise.
    """

    id: MessageId
    user: UserId
    outcome: Outcome
    sessions: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One live WebSocket as the registry knows it.

    Args:
        session: its id, unique in the cluster.
        endpoint: the endpoint that holds it.
        device: the name the client gave itself.
        address: the client's address as its node saw it.
        since: when it connected, seconds since 1970 by its node's clock; for display only.
    """

    session: SessionId
    endpoint: EndpointId
    device: str
    address: str
    since: float

    @property
    def node(self) -> str:
        """Return the name of the node that holds it."""
        return endpoint_name(self.endpoint)


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registry answers to sessions of one endpoint that register; true if it took them.

    Args:
        reachable: whether the endpoint may still receive; if not, it is fenced and must register
            its sessions under its next epoch.
        newest: for each session the newest offset in its user's mailbox; None without a mailbox.
    """

    reachable: bool
    newest: Sequence[Offset | None]

    def __bool__(self) -> bool:
        return self.reachable


@dataclass(frozen=True, slots=True)
class UserStatus:
    """One user as the registry knows them.

    Args:
        user: the user.
        sessions: live sessions, oldest first.
        mailbox: stored durable messages.
        last_seen: when the last session left, seconds since 1970; None while online, or unknown.
    """

    user: UserId
    sessions: list[Session]
    mailbox: int
    last_seen: float | None

    @property
    def online(self) -> bool:
        """Say whether the user has a live session."""
        return bool(self.sessions)


@dataclass(frozen=True, slots=True)
class OnlineUser:
    """One line of the online registry.

    Args:
        user: the user.
        sessions: how many live sessions.
        nodes: names of the nodes that hold them, sorted.
        since: when the oldest of them connected, seconds since 1970.
    """

    user: UserId
    sessions: int
    nodes: tuple[str, ...]
    since: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One process with an inbox, as its lease describes it.

    Args:
        name: what people call it.
        endpoint: `name.epoch`.
        role: `node` or `sender`.
        pid: its process id on its host.
        address: `host:port` where it serves; "" for a sender.
        state: `live`, `draining` or `lost` (open, but its lease has ended).
        sessions: live WebSockets.
        inbox_length: envelopes waiting in its inbox.
        heartbeat_age_seconds: since its last heartbeat; None when the lease has ended.
        received: messages taken from its inbox since it started.
        delivered: messages written to at least one socket since it started.
        received_per_second: the same, as a rate over the last heartbeats.
        delivered_per_second: the same, as a rate over the last heartbeats.
        vitals: how it is doing otherwise.
    """

    name: str
    endpoint: EndpointId
    role: str
    pid: int
    address: str
    state: str
    sessions: int
    inbox_length: int
    heartbeat_age_seconds: float | None
    received: int
    delivered: int
    received_per_second: float
    delivered_per_second: float
    vitals: Vitals = UNKNOWN


def endpoint_name(endpoint: EndpointId) -> str:
    """Return the name part of `name.epoch`."""
    return endpoint.rpartition(".")[0]


def check_user(user: object, field: str = "user") -> UserId:
    """Return `user` as a user id: 1-128 printable characters, no white space, no braces.

    Args:
        user: what the caller was given.
        field: where it stood, for the error.

    Raises:
        InvalidUser: naming the first rule it breaks.
    """
    if not isinstance(user, str):
        raise InvalidUser("a user id is a string", field)
    if not user:
        raise InvalidUser("a user id cannot be empty", field)
    if len(user) > MAX_USER_CHARACTERS:
        raise InvalidUser(
            f"a user id has at most {MAX_USER_CHARACTERS} characters, this one {len(user)}", field
        )
    # isprintable() is false for control characters, separators and lone surrogates; only the
    # plain space is printable white space.
    if not user.isprintable() or " " in user:
        raise InvalidUser("a user id has no white space and no control characters", field)
    if "{" in user or "}" in user:  # they would move the key's Cluster hash tag
        raise InvalidUser("a user id has no { or }", field)
    return UserId(user)


def check_name(name: object, field: str) -> str:
    """Return `name` if it can name an endpoint or a device: 1-64 letters, digits, `_` or `-`.

    Raises:
        InvalidRequest: it cannot.
    """
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and name.isascii():
        if name.replace("-", "a").replace("_", "a").isalnum():
            return name
    raise InvalidRequest(
        field, f"a name has 1 to {MAX_NAME_CHARACTERS} letters, digits, '_' or '-'"
    )
