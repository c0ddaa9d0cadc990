"""An application's own way to say who a handshake comes from."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from tornado.httputil import HTTPServerRequest

from node.auth.gate import Gate, Scope
from node.identity import Identity
from router.counts import Counts
from router.errors import ApplicationFailed, SwitchboardError, Unauthenticated
from router.model import check_user

DEADLINE_S: Final = 10.0
Known = Identity | str | None
Authenticate = Callable[[HTTPServerRequest], Known | Awaitable[Known]]
"""Returns whom a handshake comes from: a user id, or an `Identity` that says what they may do and
for how long. For nobody it returns None, or raises `Unauthenticated` or `Forbidden` with a reason.
"""
_log = structlog.get_logger()


class HookedGate(Gate):
    """A gate whose users are known to the application; see `Gate`.

    Args:
        authenticate: the application's own.
        gate: decides everything else.
        counts: of the process.
        deadline_s: how long `authenticate` may take.
    """

    def __init__(
        self,
        authenticate: Authenticate,
        gate: Gate,
        counts: Counts,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._authenticate = authenticate
        self._gate = gate
        self._deadline_s = deadline_s
        self._counts = counts

    @property
    def wants_keys(self) -> bool:
        """See `Gate.wants_keys`."""
        return self._gate.wants_keys

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Ask the application; what it raises beside our own errors is logged and counted."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return _identity(await self._ask(request))
        except SwitchboardError:
            raise
        except Exception as exc:  # whatever a program may raise: this is the edge to it
            self._counts.failed("authenticate")
            _log.exception("authenticate has failed")
            raise ApplicationFailed("authenticate") from exc

    async def _ask(self, request: HTTPServerRequest) -> Known:
        found = self._authenticate(request)
        return await found if inspect.isawaitable(found) else found

    def allows_origin(self, request: HTTPServerRequest) -> bool:
        """See `Gate.allows_origin`."""
        return self._gate.allows_origin(request)

    def authorize(self, request: HTTPServerRequest, scope: Scope) -> None:
        """See `Gate.authorize`."""
        self._gate.authorize(request, scope)


def _identity(known: Known) -> Identity:
    if known is None:
        raise Unauthenticated("the application does not know who this is")
    if isinstance(known, Identity):
        return known
    if not isinstance(known, str):
        raise TypeError(f"authenticate returned a {type(known).__name__}, not a user id")
    return Identity(check_user(known, "user"))
