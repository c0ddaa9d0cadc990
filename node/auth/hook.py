"""An application's own way to say who a handshake comes from."""

import inspect
from collections.abc import Awaitable, Callable

from tornado.httputil import HTTPServerRequest

from node.auth.gate import Gate, Scope
from node.identity import Identity
from router.model import check_user

Authenticate = Callable[[HTTPServerRequest], Identity | str | Awaitable[Identity | str]]
"""Returns whom a handshake comes from, or raises `Unauthenticated` or `Forbidden`."""


class HookedGate:
    """A gate whose users are known to the application; see `Gate`.

    Args:
        authenticate: the application's own.
        gate: decides everything else.
    """

    def __init__(self, authenticate: Authenticate, gate: Gate) -> None:
        self._authenticate = authenticate
        self._gate = gate

    @property
    def wants_keys(self) -> bool:
        """See `Gate.wants_keys`."""
        return self._gate.wants_keys

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Ask the application; what it raises beside our own errors is its mistake, a 500."""
        found = self._authenticate(request)
        known = await found if inspect.isawaitable(found) else found
        return known if isinstance(known, Identity) else Identity(check_user(known, "user"))

    def allows_origin(self, request: HTTPServerRequest) -> bool:
        """See `Gate.allows_origin`."""
        return self._gate.allows_origin(request)

    def authorize(self, request: HTTPServerRequest, scope: Scope) -> None:
        """See `Gate.authorize`."""
        self._gate.authorize(request, scope)
