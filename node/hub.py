"""user -> the sessions this process holds."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from router.model import SessionId, UserId


class Held(Protocol):
    """What a hub needs to know of a session."""

    @property
    def user(self) -> UserId:
        """Whose it is."""

    @property
    def id(self) -> SessionId:
        """Which it is."""


S = TypeVar("S", bound=Held)


class Hub(Generic[S]):
    """The sessions of one node; a session is in it from before it is registered until it closes."""

    def __init__(self) -> None:
        self._by_user: dict[UserId, tuple[S, ...]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return self._count

    @property
    def users(self) -> int:
        """Return how many users have a session here."""
        return len(self._by_user)

    def __iter__(self) -> Iterator[S]:
        """Yield every session; the hub may change meanwhile."""
        for sessions in list(self._by_user.values()):
            yield from sessions

    def get(self, user: UserId) -> Sequence[S]:
        """Return the sessions of `user`, () if there are none; the result never changes."""
        return self._by_user.get(user, ())

    def add(self, session: S) -> None:
        """Take a session in."""
        self._by_user[session.user] = (*self._by_user.get(session.user, ()), session)
        self._count += 1

    def remove(self, session: S) -> bool:
        """Let exactly this session go; return whether it was here."""
        sessions = self._by_user.get(session.user, ())
        left = tuple(other for other in sessions if other is not session)
        if len(left) == len(sessions):
            return False
        if left:
            self._by_user[session.user] = left
        else:
            del self._by_user[session.user]
        self._count -= 1
        return True
