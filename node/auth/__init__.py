"""Who may connect and call: one gate for each `auth.mode`."""

from tornado.httputil import HTTPServerRequest

from node.auth.dev import DevGate
from node.auth.gate import Gate, KeyedGate, Scope
from node.auth.hook import Authenticate, HookedGate
from node.auth.jwt import TokenGate
from node.auth.origins import Origins
from router.errors import InvalidSettings, Unauthenticated
from router.settings import AuthSettings

__all__ = ["Authenticate", "Gate", "Scope", "choose"]


def choose(settings: AuthSettings, authenticate: Authenticate | None = None) -> Gate:
    """Return the gate that `auth.mode` means.

    Args:
        settings: of it.
        authenticate: an application's own way to know its users; None for the mode's.

    Raises:
        InvalidSettings: what the mode needs is not there.
    """
    gate: Gate
    pages = Origins(())
    if settings.mode == "dev":
        gate = DevGate()
    elif settings.mode == "jwt" and authenticate is None:
        gate = TokenGate(settings, nobody_calls, pages.allows)
    elif authenticate is None:
        raise InvalidSettings(
            [
                'auth.mode = "application" is for a node inside a program, as '
                "Node.start(settings, authenticate=...); set auth.mode to jwt"
            ]
        )
    else:
        gate = KeyedGate(nobody_calls, pages.allows)
    return gate if authenticate is None else HookedGate(authenticate, gate)


def nobody_calls(_: HTTPServerRequest, scope: Scope) -> None:
    """Refuse every call of the API, where there are no keys for it."""
    raise Unauthenticated(f"a key with the scope '{scope}' is needed, and there are none yet")
