"""Everything this package raises on purpose: one tree, fields, one table of codes."""

from dataclasses import dataclass
from typing import ClassVar, Final


@dataclass(frozen=True, slots=True)
class Consequence:
    """What an error code means to each kind of caller.

    Args:
        http_status: status of the HTTP answer.
        exit_status: exit status of the command line.
        retry: whether the same call may succeed later without a change.
    """

    http_status: int
    exit_status: int
    retry: bool


# One row per code: the only place that says what follows from it (INTERFACE sections 2, 3 and 5).
CONSEQUENCES = {
    "invalid_user": Consequence(422, 2, retry=False),
    "invalid_request": Consequence(422, 2, retry=False),
    "invalid_settings": Consequence(500, 2, retry=False),
    "too_large": Consequence(413, 2, retry=False),
    "unauthenticated": Consequence(401, 1, retry=False),
    "forbidden": Consequence(403, 1, retry=False),
    "application_failed": Consequence(500, 1, retry=False),
    "unknown_node": Consequence(404, 1, retry=False),
    "too_many": Consequence(429, 1, retry=True),
    "unsupported": Consequence(422, 2, retry=False),
    "unavailable": Consequence(503, 1, retry=True),
    "store_refused": Consequence(503, 1, retry=True),
    "server_failed": Consequence(500, 1, retry=False),
}


class SwitchboardError(Exception):
    """Base of every error of Switchboard; `code` is a key of `CONSEQUENCES`."""

    code: ClassVar[str]

    @property
    def consequence(self) -> Consequence:
        """Return what follows from this error."""
        return CONSEQUENCES[self.code]


class InvalidUser(SwitchboardError):
    """A user id that breaks the rules of `model.check_user`."""

    code = "invalid_user"

    def __init__(self, reason: str, field: str = "user") -> None:
        """Args: reason: what is wrong with it; field: where it stood."""
        super().__init__(reason, field)
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class InvalidRequest(SwitchboardError):
    """A call with a value that cannot be used."""

    code = "invalid_request"

    def __init__(self, field: str, reason: str) -> None:
        """Args: field: which value, "" for the whole; reason: why not."""
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class Unsupported(InvalidRequest):
    """Something the delivery mode in use cannot promise."""

    code = "unsupported"


class TooLarge(SwitchboardError):
    """Data over its limit."""

    code = "too_large"

    def __init__(self, field: str, size_bytes: int, limit_bytes: int) -> None:
        """Args: field: what is too large; size_bytes, limit_bytes: by how much."""
        super().__init__(field, size_bytes, limit_bytes)
        self.field = field
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return f"{self.field}: {self.size_bytes} bytes is over the limit of {self.limit_bytes}"


class Unauthenticated(SwitchboardError):
    """Nobody knows who asks; `str` says what is missing or wrong, and never repeats a secret."""

    code = "unauthenticated"


class Forbidden(SwitchboardError):
    """Something that whoever asks may not do."""

    code = "forbidden"


class ApplicationFailed(SwitchboardError):
    """A function of the application around a node has failed; its log has more."""

    code = "application_failed"

    def __init__(self, function: str) -> None:
        """Args: function: which."""
        super().__init__(function)
        self.function = function

    def __str__(self) -> str:
        return f"{self.function} of the application has failed; the log of the node has more"


class UnknownNode(SwitchboardError):
    """A node that is not there, or not any more."""

    code = "unknown_node"

    def __init__(self, node: str, reason: str) -> None:
        """Args: node: as it was asked for; reason: more words."""
        super().__init__(node, reason)
        self.node = node
        self.reason = reason

    def __str__(self) -> str:
        return f"no node called '{self.node}' is alive: {self.reason}"


class TooMany(SwitchboardError):
    """Over a limit of how often or how many."""

    code = "too_many"

    def __init__(self, limit: str, reason: str, retry_after_s: float = 1.0) -> None:
        """Args: limit: its setting; reason: in words; retry_after_s: when it may go again."""
        super().__init__(limit, reason, retry_after_s)
        self.limit = limit
        self.reason = reason
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.limit}: {self.reason}"


class Unavailable(SwitchboardError):
    """The store cannot be reached; nothing was sent."""

    code = "unavailable"

    def __init__(self, address: str, reason: str) -> None:
        """Args: address: of the store, without its password; reason: what happened."""
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"the store at {self.address} is not available: {self.reason}"


# What to do about the refusals that somebody meets who sets up a store, by words of the store's.
_STORE_MENDS: Final = (
    ("username-password", ": see the user and the password in redis.url"),
    ("HELLO must be called", ": put a user and a password into redis.url"),
    ("NOPERM", ": deploy/redis/users.acl has the rights, for keys that begin with sb:"),
)


class StoreRefused(SwitchboardError):
    """The store answered a command with an error (`OOM`, `READONLY`, `NOPERM`, ...)."""

    code = "store_refused"

    def __init__(self, error: str) -> None:
        """Args: error: the store's own words."""
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        mend = next((mend for word, mend in _STORE_MENDS if word in self.error), "")
        return f"the store refused a command: {self.error.removesuffix('.') + mend}"


class Garbage(StoreRefused):
    """A key holds another type than ours: somebody else's hand."""


class InvalidSettings(SwitchboardError):
    """Settings that cannot work; every problem is named, one line each."""

    code = "invalid_settings"

    def __init__(self, problems: list[str]) -> None:
        """Args: problems: one sentence each: which key, what is wrong, the mend."""
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ServerFailed(SwitchboardError):
    """Our private server could not be started, found or used; the sentence says what to do."""

    code = "server_failed"


class DecodeError(SwitchboardError):
    """Bytes from the store that are not an envelope or a registry entry of ours."""

    code = "store_refused"
