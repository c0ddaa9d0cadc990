"""`auth.mode = "dev"`: everybody on this machine is who they say they are."""

from typing import Final
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from node.auth.gate import Gate, Scope
from node.identity import Identity
from router.errors import Forbidden
from router.model import UserId, check_user
from router.settings import is_loopback

_USER: Final = "user"


class DevGate(Gate):
    """The gate of a machine that trusts its own programs and pages; see `Gate`."""

    wants_keys = False

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Take the user id from the query.

        Raises:
            InvalidUser: none given, or one that breaks the rules.
        """
        return Identity(named_user(request))

    def allows_origin(self, request: HTTPServerRequest) -> bool:
        """Allow only pages served by this machine."""
        return is_local(request.headers["Origin"]) if "Origin" in request.headers else True

    def authorize(self, request: HTTPServerRequest, scope: Scope) -> None:
        """Let only this machine's own programs and pages call: nobody is asked for a key."""
        check_local(request.host, request.headers.get("Origin"))


def named_user(request: HTTPServerRequest) -> UserId:
    """Return the user id in the query of a handshake.

    Raises:
        InvalidUser: none given, or one that breaks the rules.
    """
    values = request.query_arguments.get(_USER, [b""])
    return check_user(values[-1].decode("utf-8", "replace"), _USER)


def is_local(origin: str) -> bool:
    """Say whether `origin` is that of a page served by this machine."""
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:  # brackets that hold no IPv6 address
        return False


def check_local(host: str, origin: str | None) -> None:
    """Refuse a call that does not come from this machine's own programs and pages.

    Any page a browser on this machine shows can send requests here: with its own Origin, or,
    having pointed its own name at 127.0.0.1 (DNS rebinding), with its own Host.

    Args:
        host: of the request.
        origin: of the page; None when no page sent it.

    Raises:
        Forbidden: from elsewhere.
    """
    if not is_local(f"//{host}"):
        raise Forbidden(f"Host: '{host}' is not this machine; in auth.mode \"dev\" it must be")
    if origin is not None and not is_local(origin):
        raise Forbidden(f"Origin: a page from '{origin}' may not call this node")
