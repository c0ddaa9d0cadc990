"""Asking the registry: who is online, where, and how the nodes are."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from router.errors import InvalidRequest
from router.model import (
    Endpoint,
    OnlineUser,
    Session,
    UserId,
    UserStatus,
    check_user,
    endpoint_name,
)
from router.store.lease import Leases
from router.store.mailbox import Mailbox
from router.store.registry import Registry

MAX_PAGE: Final = 1_000
MAX_QUERY: Final = 1_000


class Directory:
    """Answers questions; nothing here changes anything, and every call is cancel-safe.

    Each may raise InvalidUser or InvalidRequest for what cannot be asked, Unavailable or
    StoreRefused when the store is away or refuses.

    Args:
        registry: who is where.
        leases: the endpoints.
        mailbox: durable messages.
    """

    def __init__(self, registry: Registry, leases: Leases, mailbox: Mailbox) -> None:
        self._registry = registry
        self._leases = leases
        self._mailbox = mailbox

    async def sessions(self, user: str) -> list[Session]:
        """Return a user's live sessions, oldest first; [] when offline."""
        return await self._registry.sessions(check_user(user))

    async def user(self, user: str) -> UserStatus:
        """Return what is known of one user."""
        target = check_user(user)
        sessions = await self._registry.sessions(target)
        seen = None if sessions else await self._registry.last_seen(target)
        return UserStatus(target, sessions, await self._mailbox.length(target), seen)

    async def users(
        self, *, node: str | None = None, prefix: str = ""
    ) -> AsyncIterator[OnlineUser]:
        """Yield the online users in the order of their ids' bytes.

        Args:
            node: only those with a session on the node of this name.
            prefix: only ids that begin with it.
        """
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = await self.page(node=node, prefix=prefix, limit=MAX_PAGE, cursor=cursor)
            for user in page:
                yield user

    async def page(
        self, *, node: str | None = None, prefix: str = "", limit: int = 50, cursor: str = ""
    ) -> tuple[list[OnlineUser], str | None]:
        """Return one page of the online users, and the cursor of the next; None at the end.

        Args:
            node, prefix: see `users`.
            limit: most users in the page, 1 to 1,000.
            cursor: of the page before; "" for the first.

        Raises:
            InvalidRequest: a limit out of range.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest("limit", f"is 1 to {MAX_PAGE:,}")
        for field, text in (("prefix", prefix), ("cursor", cursor)):
            if not text.isprintable():
                raise InvalidRequest(field, "has no control characters and no lone surrogates")
        endpoints = await self._leases.ids()
        if node is not None:
            endpoints = [e for e in endpoints if endpoint_name(e) == node]
        return await self._registry.page(endpoints, prefix, limit, cursor)

    async def locate(self, users: Sequence[str]) -> dict[UserId, list[str]]:
        """Return, for each of `users` (at most 1,000) that is online, the names of its nodes."""
        if len(users) > MAX_QUERY:
            raise InvalidRequest("users", f"has at most {MAX_QUERY:,} users")
        return await self._registry.locate([check_user(user, "users") for user in users])

    async def nodes(self) -> list[Endpoint]:
        """Return every node that has not been cleaned up, by name; senders are left out."""
        endpoints = await self._leases.everybody()
        return [endpoint for endpoint in endpoints if endpoint.role == "node"]
