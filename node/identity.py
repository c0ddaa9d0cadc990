"""Who a session is, and what it may do; pure."""

import math
import re
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

    __slots__ = ("_all", "_matches", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._all = "*" in self.patterns
        choices = (".*".join(map(re.escape, each.split("*"))) for each in self.patterns)
        self._matches = re.compile("|".join(choices) or "(?!)", re.DOTALL).fullmatch

    def __contains__(self, user: str) -> bool:
        return self._all or self._matches(user) is not None


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
