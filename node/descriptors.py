"""How many files this process may have open: each connection is one.

Without one more descriptor nobody can be taken in, not even to be told so, and the event loop turns
over the same connection for ever. So a node takes as many sessions as there is room for.
"""

import resource
from typing import Final

from router.settings import LimitSettings

_BESIDE: Final = 200  # files a node has open beside its connections
_UNLIMITED: Final = 1_048_576


def wanted(limits: LimitSettings) -> int:
    """Return how many files a node with these limits may come to have open."""
    return limits.sessions + limits.http_connections + _BESIDE


def sessions_that_fit(files: int, limits: LimitSettings) -> int:
    """Return how many sessions there is room for where so many files may be open."""
    return max(1, files - limits.http_connections - _BESIDE)


def claim(files: int) -> int:
    """Let this process open so many files, as far as it may; return how many it may open then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _UNLIMITED if hard == resource.RLIM_INFINITY else hard
    now = _UNLIMITED if soft == resource.RLIM_INFINITY else soft
    if now >= files:
        return now
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, most), hard))
    except (OSError, ValueError):  # the system has a bound of its own
        return now
    return min(files, most)
