"""Which store a command talks to."""

from pathlib import Path

from router.errors import ServerFailed
from router.settings import EMBEDDED, Settings
from router.store import embedded


def resolve(settings: Settings) -> str:
    """Return the URL of the store that `settings` name.

    Raises:
        ServerFailed: it is the embedded one, and none is running.
    """
    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    found = embedded.find(Path(settings.redis.data_dir))
    if found is None:
        raise ServerFailed(
            f"no embedded store is running under {settings.redis.data_dir}; "
            "start one with 'switchboard up', or name a store with --redis"
        )
    return found.url
