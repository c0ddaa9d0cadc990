"""`GET /`, `GET /dashboard` and `GET /static/...`: pages and modules, as files, no build step."""

import re
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final

import tornado.web

from node.handlers.headers import secure

_WEB: Final = Path(__file__).resolve().parent.parent / "web"

# The page talks to its own node over HTTP, and opens its WebSocket to any node of this machine:
# every port is allowed, but only loopback. (A CSP source cannot name an IPv6 address; a page
# served from [::1] reaches its own node by 'self'.)
_CONNECT: Final = "'self' ws://127.0.0.1:* ws://localhost:* wss://127.0.0.1:* wss://localhost:*"

# The operator's page talks to the node it came from, and to nothing else: its key goes nowhere.
# The charts need no exception: plotly.js would put two <style> elements into the page, but leaves
# them out where an element with their id stands already, and dashboard.html has such elements; what
# the first would say is in dashboard/plotly.css, the second is for maps. Text is drawn without
# markup, so that it passes the trusted types too.
_DASHBOARD_CONNECT: Final = "'self'"


def _policy(connect: str) -> str:
    """Return a policy: nothing inline, nothing from elsewhere, no frame around the page."""
    return (
        "default-src 'none'; "
        "script-src 'self'; "
        "style-src 'self'; "
        "img-src 'self'; "
        f"connect-src {connect}; "
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

# The distribution that brings the script of the charts, and where in its package that lies.
_CHARTS: Final = "plotly"
_CHARTS_FILE: Final = "package_data/plotly.min.js"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class FileHandler(tornado.web.StaticFileHandler):
    """A file of `node/web`, with the headers that keep the page to itself."""

    def set_default_headers(self) -> None:
        """Set the security headers; error answers carry them too."""
        secure(self, _policy(_CONNECT), _CACHE)

    async def get(self, path: str, include_body: bool = True) -> None:
        """Answer with the file; the system cannot even be asked for a name with a zero in it."""
        if "\0" in path:
            raise tornado.web.HTTPError(404)
        await super().get(path, include_body)

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


class OneFileHandler(FileHandler):
    """The one file that `default_filename` names."""

    async def get(self, path: str = "", include_body: bool = True) -> None:
        """Answer with it."""
        assert self.default_filename is not None
        await super().get(self.default_filename, include_body)


class DashboardHandler(OneFileHandler):
    """`GET /dashboard`: the operator's page."""

    def set_default_headers(self) -> None:
        """Allow this page less than the other one."""
        secure(self, _policy(_DASHBOARD_CONNECT), _CACHE)


class ChartsHandler(OneFileHandler):
    """The script of the charts, under an address of its version."""

    def set_extra_headers(self, path: str) -> None:
        """Let browsers keep it: another version has another address."""
        self.set_header("Cache-Control", _FOR_EVER)


class ChartsRedirectHandler(tornado.web.RedirectHandler):
    """From the address that pages know to the one of the installed version."""

    def set_default_headers(self) -> None:
        """Ask again each time: it is small, and moves with the version."""
        secure(self, _policy(_CONNECT), _CACHE)


Route = tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]


_STATIC: Final = {"path": str(_WEB / "static")}


def routes(*, demo: bool = True) -> list[Route]:
    """Return the routes of the pages, for a `tornado.web.Application`.

    Args:
        demo: whether `/` is there: a page to try it all by hand, for whoever opens it.
    """
    page = {"path": str(_WEB), "default_filename": "index.html"}
    shown: list[Route] = [(r"/()", FileHandler, page)] if demo else []
    return [
        *shown,
        (r"/dashboard()", DashboardHandler, {**page, "default_filename": "dashboard.html"}),
        *_charts(),
        (r"/static/(.*)", FileHandler, _STATIC),
    ]


def client_routes() -> list[Route]:
    """Return the routes of the client for browsers, and of nothing else."""
    return [(r"/static/(switchboard(?:\.js|\.d\.ts|/[a-z]+\.js))", FileHandler, _STATIC)]


def _charts() -> list[Route]:
    """Return the routes of the charts' script; none where it is not installed.

    The package is not imported: it is Python for drawing, and we want its one file.
    """
    package = util.find_spec(_CHARTS)
    if package is None or package.origin is None:
        return []
    name = f"plotly-{metadata.version(_CHARTS)}.min.js"
    file = Path(package.origin).parent / _CHARTS_FILE
    return [
        (
            r"/static/vendor/plotly\.min\.js",
            ChartsRedirectHandler,
            {"url": f"/static/vendor/{name}", "permanent": False},
        ),
        (
            rf"/static/vendor/{re.escape(name)}()",
            ChartsHandler,
            {"path": str(file.parent), "default_filename": file.name},
        ),
    ]
