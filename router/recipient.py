"""Whoever holds the sockets of a process: what its inbox is handed to."""

from collections.abc import Sequence
from typing import Protocol

from router.codec import Answer, KickEnvelope, MessageEnvelope
from router.model import SessionId, UserId


class Recipient(Protocol):
    """Whoever holds sockets: what a receiver hands its messages to."""

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        """Write a message to the sessions of its users here.

        Good news it answers by itself. Repeats of what a session was written before are dropped.

        Returns:
            For each user it was not written for: the index in `envelope.users`, and NOT_HERE,
            DROPPED or EXPIRED.
        """

    def kick(self, envelope: KickEnvelope) -> int:
        """Close sessions; return how many."""

    def flush(self) -> None:
        """Write what the batch's messages have collected for each socket."""

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        """Return the user's sessions here that are alive."""


class Nobody:
    """A recipient without sockets: a process that only sends."""

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        """Find nobody."""
        return [(index, Answer.NOT_HERE) for index in range(len(envelope.users or ()))]

    def kick(self, envelope: KickEnvelope) -> int:
        """Close nothing."""
        return 0

    def flush(self) -> None:
        """Write nothing."""

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        """Know nobody."""
        return ()
