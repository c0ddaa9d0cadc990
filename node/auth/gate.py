"""The port to whatever says who may connect and call."""

from enum import StrEnum
from typing import Protocol

from tornado.httputil import HTTPServerRequest

from node.identity import Identity


class Scope(StrEnum):
    """What a caller of the API may do; each address of the API asks for one."""

    SEND = "send"
    READ = "read"
    KICK = "kick"
    ADMIN = "admin"  # everything


class Gate(Protocol):
    """Says who may come in; asked before anything else is done for a request."""

    @property
    def wants_keys(self) -> bool:
        """Say whether callers of the API need a key."""
        ...

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Return whom a WebSocket handshake comes from.

        Raises:
            Unauthenticated, InvalidUser, Forbidden: it is refused.
        """
        ...

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
