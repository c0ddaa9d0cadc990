"""Which store a command talks to."""

from pathlib import Path

from router.errors import InvalidSettings, ServerFailed
from router.settings import EMBEDDED, Settings
from router.store import embedded


def embedded_folder(settings: Settings) -> Path:
    """Return the folder of the embedded store.

    Raises:
        InvalidSettings: `redis.mode` is not for it.
    """
    mode = settings.redis.mode
    if mode != "single":
        mend = "name servers in redis.url, or leave redis.mode out"
        raise InvalidSettings([f'redis.mode = "{mode}" is not for the embedded store: {mend}'])
    return Path(settings.redis.data_dir)


def resolve(settings: Settings) -> str:
    """Return the URL of the store that `settings` name.

    Raises:
        ServerFailed: it is the embedded one, and none is running.
        InvalidSettings: `redis.mode` is not for the embedded one.
    """
    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    found = embedded.find(embedded_folder(settings))
    if found is None:
        raise ServerFailed(
            f"no embedded store is running under {settings.redis.data_dir}; "
            "start one with 'switchboard up', or name a store with --redis"
        )
    return found.url
