"""Who may connect."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from router.model import UserId, check_user
from router.settings import is_loopback

Authenticate = Callable[[HTTPServerRequest], UserId]
"""Says which user a handshake comes from, or raises `SwitchboardError`."""

_USER: Final = "user"


def dev_authenticate(request: HTTPServerRequest) -> UserId:
    """Take the user id from the query; only for `auth.mode = "dev"`, which stays on loopback.

    Raises:
        InvalidUser: none given, or one that breaks the rules.
    """
    values = request.query_arguments.get(_USER, [b""])
    return check_user(values[-1].decode("utf-8", "replace"), _USER)


def dev_origin(origin: str) -> bool:
    """Say whether a browser page from `origin` may connect: only pages served by this machine."""
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:  # brackets that hold no IPv6 address
        return False
