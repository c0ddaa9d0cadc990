"""A Tornado application on a port of its own, for the length of a `with` block."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application


@contextlib.asynccontextmanager
async def serving(routes: Sequence[Any], **settings: Any) -> AsyncIterator[str]:
    """Serve `routes`; yield `host:port`."""
    settings.setdefault("log_function", lambda handler: None)
    server = HTTPServer(Application(list(routes), **settings))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield f"127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()
