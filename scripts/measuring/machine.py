"""What figures depend on: the machine and the versions."""

import os
import platform
from importlib.metadata import version
from typing import Any

LIBRARIES = ("tornado", "uvloop", "redis", "hiredis", "msgpack", "msgspec")


def machine() -> dict[str, Any]:
    """Return the machine, without what would name it."""
    release = platform.release().partition("-")[0]
    return {
        "system": f"{platform.system()} {release}",
        "cpus": os.cpu_count(),
        "arch": platform.machine(),
    }


def versions(store: str) -> dict[str, str]:
    """Return the versions of interpreter, store and libraries."""
    return {
        "python": platform.python_version(),
        "store": store,
        **{name: version(name) for name in LIBRARIES},
    }
