"""The port to whatever says who may connect and call."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from tornado.httputil import HTTPServerRequest

from node.identity import Identity
from router.errors import Unauthenticated
from router.settings import AuthSettings


class Scope(StrEnum):
    """What a caller of the API may do; each address of the API asks for one."""

    SEND = "send"
    READ = "read"
    KICK = "kick"
    ADMIN = "admin"  # everything


Authorize = Callable[[HTTPServerRequest, Scope], None]
"""Lets a call of the API pass; see `Gate.authorize`."""
AllowsOrigin = Callable[[HTTPServerRequest], bool]
"""Says whether a browser page may connect; see `Gate.allows_origin`."""


class Gate(Protocol):
    """Says who may come in; asked before anything else is done for a request."""

    @property
    def wants_keys(self) -> bool:
        """Say whether callers of the API need a key."""
        ...

    renews: bool = False
    """Whether sessions can be renewed in place by a new token."""
    refresher: Callable[[], Awaitable[None]] | None = None
    """A loop that keeps what the gate knows up to date, for a `Service`; None without one."""

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Return whom a WebSocket handshake comes from.

        Raises:
            Unauthenticated, InvalidUser, Forbidden: it is refused.
            ApplicationFailed: nobody could say, by a fault of the application.
        """
        ...

    async def renew(self, token: str) -> Identity:
        """Return whom the token of a `refresh` frame belongs to.

        Raises:
            Unauthenticated: it does not count, or no token does here.
        """
        raise Unauthenticated("sessions of this node are not renewed by tokens; connect again")

    def allows_origin(self, request: HTTPServerRequest) -> bool:
        """Say whether the browser page that a handshake comes from may connect; no page may."""
        ...

    def authorize(self, request: HTTPServerRequest, scope: Scope) -> None:
        """Let a call of the API pass.

        Args:
            request: the call.
            scope: what it must be allowed to do.

        Raises:
            Unauthenticated: nobody knows who calls.
            Forbidden: this caller may not.
        """
        ...

    def not_ready(self) -> str | None:
        """Return why nobody can be let in now; None when somebody can."""
        return None

    def reload(self, settings: AuthSettings) -> None:
        """Read secrets and key files again, and take the rules of `settings`.

        Raises:
            InvalidSettings: they will not do; those of before stay.
        """
        del settings  # a gate without secrets has nothing to read


class KeyedGate(Gate):
    """What all gates have in common but that of `auth.mode = "dev"`: calls of the API need a key.

    By itself it lets no user in.

    Args:
        authorize: lets calls of the API pass.
        allows_origin: says which pages may connect.
    """

    wants_keys = True

    def __init__(self, authorize: Authorize, allows_origin: AllowsOrigin) -> None:
        self._authorize = authorize
        self._allows_origin = allows_origin

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Refuse everybody."""
        raise Unauthenticated("nobody is known here")

    def allows_origin(self, request: HTTPServerRequest) -> bool:
        """See `Gate.allows_origin`."""
        return self._allows_origin(request)

    def authorize(self, request: HTTPServerRequest, scope: Scope) -> None:
        """See `Gate.authorize`."""
        self._authorize(request, scope)
