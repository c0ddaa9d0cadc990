"""The online registry over HTTP, and closing a user's sessions."""

from node import views
from node.auth import Scope
from node.handlers.base import USER_BYTES, ApiHandler, Source, operation
from node.handlers.schemas import Kick, NoInput, PageQuery, UserList
from router.directory import MAX_QUERY
from router.errors import InvalidRequest


class UsersHandler(ApiHandler):
    """`GET /api/v1/users`."""

    @operation(
        "List the online users",
        scope=Scope.READ,
        source=Source.QUERY,
        takes=PageQuery,
        gives=views.OnlinePage,
    )
    async def get(self, query: PageQuery) -> None:
        """Answer with one page."""
        page, cursor = await self.router.page(
            node=query.node or None, prefix=query.prefix, limit=query.limit, cursor=query.cursor
        )
        self.answer(views.online_page(page, cursor))


class LocateHandler(ApiHandler):
    """`POST /api/v1/users/query`."""

    extra_bytes = MAX_QUERY * USER_BYTES

    @operation(
        "Ask which of a list of users are online, and where",
        scope=Scope.READ,
        takes=UserList,
        gives=views.Located,
    )
    async def post(self, query: UserList) -> None:
        """Answer with the nodes of those who are online."""
        online = await self.router.locate(query.users)
        self.answer(views.Located(online))

    @operation(
        "Show the user whose id is query",
        scope=Scope.READ,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=views.User,
    )
    async def get(self, _: NoInput) -> None:
        """As `/api/v1/users/{user}`, this address is theirs."""
        self.answer(views.user(await self.router.user("query")))


class UserHandler(ApiHandler):
    """`GET /api/v1/users/{user}`."""

    @operation(
        "Show one user", scope=Scope.READ, source=Source.NOWHERE, takes=NoInput, gives=views.User
    )
    async def get(self, _: NoInput, user: str) -> None:
        """Answer with the user's sessions, or with their absence."""
        self.answer(views.user(await self.router.user(user)))


class SessionsHandler(ApiHandler):
    """`DELETE /api/v1/users/{user}/sessions[/{session}]`."""

    @operation(
        "Close a user's sessions",
        scope=Scope.KICK,
        source=Source.EITHER,
        takes=Kick,
        gives=views.Closed,
    )
    async def delete(self, kick: Kick, user: str, session: str | None = None) -> None:
        """Close them, and answer with how many."""
        if session == "":  # a slash too many must not close all of them
            raise InvalidRequest("session", "a session id cannot be empty")
        closed = await self.router.kick(user, session=session, reason=kick.reason)
        self.answer(views.Closed(closed))
