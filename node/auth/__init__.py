"""Who may connect and call: one gate for each `auth.mode`."""

from node.auth.dev import DevGate
from node.auth.gate import Gate, Scope
from node.auth.hook import Authenticate, HookedGate
from router.settings import AuthSettings

__all__ = ["Authenticate", "Gate", "Scope", "choose"]


def choose(settings: AuthSettings, authenticate: Authenticate | None = None) -> Gate:
    """Return the gate that `auth.mode` means.

    Args:
        settings: of it.
        authenticate: an application's own way to know its users; None for the mode's.
    """
    assert settings.mode == "dev"
    gate: Gate = DevGate()
    return gate if authenticate is None else HookedGate(authenticate, gate)
