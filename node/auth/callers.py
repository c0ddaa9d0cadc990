"""Who may call the API where a key is asked for: the page, then the key, then its scope."""

from typing import Final

import structlog
from tornado.httputil import HTTPServerRequest

from node.auth.apikeys import ApiKeys
from node.auth.gate import Scope
from node.auth.origins import Origins

# What changes something for others than those who are told of it: each such call leaves a line.
_NOTED: Final = (Scope.KICK, Scope.ADMIN)
_log = structlog.get_logger()


class Callers:
    """Lets calls of the API pass.

    Args:
        keys: that count.
        origins: pages that may call, given a key.
    """

    def __init__(self, keys: ApiKeys, origins: Origins) -> None:
        self._keys = keys
        self._origins = origins

    def authorize(self, request: HTTPServerRequest, scope: Scope) -> None:
        """Let a call pass; see `Gate.authorize`."""
        self._origins.check(request)
        key = self._keys.check(request, scope)
        if scope in _NOTED:
            _log.info(
                "operator call",
                key=key.name,
                method=request.method,
                path=request.path,
                address=request.remote_ip,
            )
