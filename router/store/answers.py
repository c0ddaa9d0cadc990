"""What stands in the place of a reply: none came, or too few replicas have what it tells of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from router.errors import Unavailable

Answered = Callable[[list[Any]], None]
"""Called once with the answers in order: a reply, a `hiredis.ReplyError`, `NoReply` or `Thin`."""


class ReplyLost(Unavailable):
    """The connection went away before the reply came: the command may or may not have run."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """Stands where no reply came.

    Args:
        sent: whether the command went out, so that it may have run.
        address: of the server that was, or would have been, asked.
        reason: what became of the connection.
    """

    sent: bool
    address: str
    reason: str

    @property
    def error(self) -> Unavailable:
        """Return what to raise for it."""
        return (ReplyLost if self.sent else Unavailable)(self.address, self.reason)


@dataclass(frozen=True, slots=True)
class Thin:
    """A reply to something that was written, and that fewer replicas have than were asked for.

    Args:
        reply: the reply itself.
        replicas: how many have it.
    """

    reply: Any
    replicas: int
