"""The headers that every answer carries, whoever asks and whatever comes of it."""

from typing import Final

from tornado.iostream import SSLIOStream
from tornado.web import RequestHandler

# For what is no page: a browser that shows it all the same runs nothing and frames nothing.
NO_PAGE: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_A_YEAR: Final = "max-age=31536000"


def secure(handler: RequestHandler, policy: str = NO_PAGE, cache: str = "no-store") -> None:
    """Set them, for `RequestHandler.set_default_headers`.

    HSTS goes only where this node itself serves TLS: behind a proxy it is the proxy's to promise,
    whose name may serve other things, too. There are no cookies, so nothing is said of them.
    Sources: RFC 6797; https://owasp.org/www-project-secure-headers/

    Args:
        handler: what answers.
        policy: the Content-Security-Policy.
        cache: what caches may do; what the API says is true only now.
    """
    for name, value in _ALWAYS.items():
        handler.set_header(name, value)
    handler.set_header("Content-Security-Policy", policy)
    handler.set_header("Cache-Control", cache)
    if isinstance(getattr(handler.request.connection, "stream", None), SSLIOStream):
        handler.set_header("Strict-Transport-Security", _A_YEAR)
    handler.clear_header("Server")  # which version of what this is, is nobody's business
