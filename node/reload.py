"""Settings that change while a node runs: which are put in force, and which wait for a restart."""

from collections.abc import Callable
from typing import Any, Final

import structlog

from router.errors import InvalidSettings
from router.settings import Settings

# What can be put in force at once: whole sections, and single keys.
LIVE: Final = ("limits", "log.level", "log.format", "auth")
# Of those, what takes a restart all the same: other keys, other pages, another mode.
RESTART: Final = (
    "auth.mode",
    "auth.jwks_url",
    "auth.jwks_refresh_s",
    "auth.jwks_keep_s",
    "auth.origins",
)
Put = Callable[[Settings], None]
_log = structlog.get_logger()


class Reload:
    """Reads the settings again, as at the start.

    Settings that will not do change nothing. Nothing of their values is logged: there are secrets
    among them.

    Args:
        settings: in force.
        read: reads them again; raises `InvalidSettings`.
        put: put settings in force, in this order; only the first may raise `InvalidSettings`.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings], *put: Put) -> None:
        self._flat = flat(settings)
        self._read = read
        self._put = put
        self.count = 0

    def run(self) -> None:
        """Put in force what has changed, as far as that is possible, and log what it was."""
        try:
            settings = self._read()
            for put in self._put:
                put(settings)
        except InvalidSettings as exc:
            _log.error("settings not reloaded, those of before stay", problems=exc.problems)
            return
        self.count += 1
        after = flat(settings)
        changed = sorted(key for key in after if after[key] != self._flat.get(key))
        live = [key for key in changed if is_live(key)]
        self._flat.update((key, after[key]) for key in live)
        _log.info(
            "settings reloaded",
            changed=live,
            needs_a_restart=[key for key in changed if not is_live(key)],
        )


def is_live(key: str) -> bool:
    """Say whether a change of this setting counts without a restart."""
    section = key.partition(".")[0]
    return (section in LIVE or key in LIVE) and key not in RESTART


def flat(settings: Settings) -> dict[str, Any]:
    """Return every setting by its name, `section.key`."""
    dumped = settings.model_dump()
    return {f"{name}.{key}": value for name, keys in dumped.items() for key, value in keys.items()}
