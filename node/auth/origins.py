"""Which browser pages may connect and call: those of this node, and those that are listed."""

from collections.abc import Iterable
from typing import Final

from tornado.httputil import HTTPServerRequest

from router.errors import Forbidden
from router.settings import normal_origin

_ORIGIN: Final = "Origin"


class Origins:
    """The pages that may talk to this node.

    A browser says with each request what site its page is from, and a page cannot change that. So
    this keeps foreign pages from using what a browser has; programs can say what they like, and
    are known by their token or key.

    Args:
        listed: sites other than this node's own, `auth.origins`.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = frozenset(map(normal_origin, listed)) - {None}

    def allows(self, request: HTTPServerRequest) -> bool:
        """Say whether a request is from no page, from one of ours, or from one that is listed.

        A page is ours when its site has the name, the port and the scheme that the request came
        to; behind a proxy that ends TLS, the scheme is known if it is in `node.trusted_proxies`.
        """
        given = request.headers.get_list(_ORIGIN)
        if not given:
            return True
        origin = normal_origin(given[0]) if len(given) == 1 else None  # `null` is none either
        return origin is not None and (origin in self._listed or origin == _own(request))

    def lists(self, request: HTTPServerRequest) -> bool:
        """Say whether a request is from a page of another site that is listed."""
        given = request.headers.get_list(_ORIGIN)
        return len(given) == 1 and normal_origin(given[0]) in self._listed

    def check(self, request: HTTPServerRequest) -> None:
        """Refuse a request from any other page.

        Raises:
            Forbidden: saying from where, and what would let it in.
        """
        if not self.allows(request):
            raise Forbidden(
                f"Origin: pages of '{request.headers[_ORIGIN]}' may not; auth.origins lists who may"
            )


def _own(request: HTTPServerRequest) -> str | None:
    return normal_origin(f"{request.protocol}://{request.host}")
