"""Who a session is, and what it may do; pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from router.errors import Forbidden
from router.model import UserId


class Right(StrEnum):
    """What a session may do beside receiving."""

    SEND = "send"
    DURABLE = "durable"  # also with a place in the mailbox, which costs memory for days


ALL_RIGHTS: Final = frozenset(Right)


class Recipients:
    """Whom a session may send to.

    Args:
        patterns: user ids, in which `*` stands for any characters.
    """

    __slots__ = ("_exact", "_parts", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._exact = frozenset(each for each in self.patterns if "*" not in each)
        self._parts = [each.split("*") for each in self.patterns if "*" in each]

    def __contains__(self, user: str) -> bool:
        return user in self._exact or any(_matches(parts, user) for parts in self._parts)


def _matches(parts: Sequence[str], user: str) -> bool:
    """Say whether `user` is `parts`, in this order, with anything between them.

    Not by a regular expression: with a few stars, that tries every way to place them.
    """
    first, *middle, last = parts
    end = len(user) - len(last)
    if end < len(first) or not (user.startswith(first) and user.endswith(last)):
        return False
    at = len(first)
    for part in middle:
        found = user.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


EVERYBODY: Final = Recipients(("*",))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a handshake comes from.

    Args:
        user: who.
        device: the only name its sessions may have; None for the one the client chooses.
        rights: what they may do beside receiving.
        to: whom they may send to.
        expires_at: when this ends, seconds since 1970.
    """

    user: UserId
    device: str | None = None
    rights: frozenset[Right] = ALL_RIGHTS
    to: Recipients = EVERYBODY
    expires_at: float = math.inf

    def check_send(self, users: Sequence[UserId], *, durable: bool) -> None:
        """Refuse a send that this identity may not make.

        Args:
            users: whom it is for.
            durable: whether it would be stored.

        Raises:
            Forbidden: naming what is missing.
        """
        if self.rights is ALL_RIGHTS and self.to is EVERYBODY:  # the usual case costs nothing
            return
        if Right.SEND not in self.rights:
            raise Forbidden("this session may only receive")
        if durable and Right.DURABLE not in self.rights:
            raise Forbidden("this session may not send durable messages")
        for user in users:
            if user not in self.to:
                raise Forbidden(f"to: this session may not send to '{user}'")
