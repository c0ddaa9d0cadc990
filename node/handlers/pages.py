"""`GET /` and `GET /static/...`: the page and its modules, as files without a build step."""

from pathlib import Path
from typing import Any, Final

import tornado.web

from node.handlers.headers import secure

_WEB: Final = Path(__file__).resolve().parent.parent / "web"

# The page talks to its own node over HTTP, and opens its WebSocket to any node of this machine:
# every port is allowed, but only loopback. (A CSP source cannot name an IPv6 address; a page
# served from [::1] reaches its own node by 'self'.) Nothing inline, nothing from elsewhere, no
# frame around it.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self'; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
    "base-uri 'none'; "
    "form-action 'none'; "
    "frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)

# Ask again each time: a module of one version beside one of another does not work, and the answer
# is a 304 without a body.
_CACHE: Final = "no-cache"

# Not left to the machine's mime tables: under nosniff a module of another type does not run.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",  # declarations: for editors and readers, not for browsers
}


class FileHandler(tornado.web.StaticFileHandler):
    """A file of `node/web`, with the headers that keep the page to itself."""

    def set_default_headers(self) -> None:
        """Set the security headers; error answers carry them too."""
        secure(self, _CONTENT_SECURITY_POLICY, _CACHE)

    def compute_etag(self) -> str | None:
        """Return a tag that changes with the file.

        Tornado remembers its hash for the life of the process, so an edited file would keep its
        tag and browsers their old copy.
        """
        assert self.absolute_path is not None
        stat = Path(self.absolute_path).stat()
        return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'

    def get_content_type(self) -> str:
        """Return the type by our own table; `application/octet-stream` for what is not in it."""
        assert self.absolute_path is not None
        return _TYPES.get(Path(self.absolute_path).suffix, "application/octet-stream")


Route = tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]
_STATIC: Final = {"path": str(_WEB / "static")}


def routes(*, demo: bool = True) -> list[Route]:
    """Return the routes of the pages, for a `tornado.web.Application`.

    Args:
        demo: whether `/` is there: a page to try it all by hand, for whoever opens it.
    """
    page = {"path": str(_WEB), "default_filename": "index.html"}
    shown: list[Route] = [(r"/()", FileHandler, page)] if demo else []
    return [*shown, (r"/static/(.*)", FileHandler, _STATIC)]


def client_routes() -> list[Route]:
    """Return the routes of the client for browsers, and of nothing else."""
    return [(r"/static/(switchboard(?:\.js|\.d\.ts|/[a-z]+\.js))", FileHandler, _STATIC)]
