"""Which sessions a process holds, for the modes that subscribe. Pure."""

from collections.abc import Sequence

from router.model import EndpointId, Session, SessionId, UserId


class Holding:
    """The sessions that were attached and not detached, by user.

    A detach names what it removes: the goodbye of a session under an epoch that has ended does not
    touch the same session under the next one.
    """

    def __init__(self) -> None:
        self._sessions: dict[UserId, dict[SessionId, EndpointId]] = {}

    def add(self, sessions: Sequence[tuple[UserId, Session]]) -> list[tuple[UserId, Session]]:
        """Hold sessions; return those that were not held before, under any epoch."""
        fresh = []
        for user, session in sessions:
            held = self._sessions.setdefault(user, {})
            if session.session not in held:
                fresh.append((user, session))
            held[session.session] = session.endpoint
        return fresh

    def remove(self, user: UserId, endpoint: EndpointId, session: SessionId) -> bool:
        """Hold a session no longer; return whether it was the last one of its user."""
        held = self._sessions.get(user, {})
        if held.get(session) != endpoint:
            return False
        del held[session]
        if not held:
            del self._sessions[user]
        return not held
