"""Who may connect and call: one gate for each `auth.mode`."""

from pathlib import Path
from typing import Final

from node.auth.apikeys import ApiKeys
from node.auth.callers import Callers
from node.auth.dev import DevGate
from node.auth.gate import Gate, KeyedGate, Scope
from node.auth.hook import Authenticate, HookedGate
from node.auth.jwt import TokenGate
from node.auth.origins import Origins
from router.counts import Counts
from router.errors import InvalidSettings
from router.settings import ApiSettings, AuthSettings

_NO_KEYS: Final = ApiSettings()

__all__ = ["Authenticate", "Gate", "Scope", "choose"]


def choose(
    settings: AuthSettings,
    authenticate: Authenticate | None = None,
    api: ApiSettings = _NO_KEYS,
    counts: Counts | None = None,
) -> Gate:
    """Return the gate that `auth.mode` means.

    Args:
        settings: of it.
        authenticate: an application's own way to know its users; None for the mode's.
        api: names the file with the keys of who may call; it is not read where none is asked for.
        counts: of the process; None for its own.

    Raises:
        InvalidSettings: what the mode needs is not there.
    """
    gate: Gate
    counts = counts or Counts()
    if settings.mode == "dev":
        gate = DevGate()
        return gate if authenticate is None else HookedGate(authenticate, gate, counts)
    pages = Origins(settings.origins)
    keys = ApiKeys(Path(api.keys_file) if api.keys_file else None, counts)
    callers = Callers(keys, pages)
    if settings.mode == "jwt" and authenticate is None:
        return TokenGate(settings, callers.authorize, pages.allows, counts)
    if authenticate is None:
        raise InvalidSettings(
            [
                'auth.mode = "application" is for a node inside a program, as '
                "Node.start(settings, authenticate=...); set auth.mode to jwt"
            ]
        )
    return HookedGate(authenticate, KeyedGate(callers.authorize, pages.allows), counts)
