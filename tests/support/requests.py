"""Requests as a handler sees them, without a connection."""

from types import SimpleNamespace
from typing import Any, cast

from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest, RequestStartLine


def request_of(
    path: str = "/ws",
    *headers: tuple[str, str],
    method: str = "GET",
    host: str = "localhost",
    scheme: str = "http",
    address: str = "127.0.0.1",
) -> HTTPServerRequest:
    """Return a request.

    Args:
        path: with its query.
        headers: name and value; one may stand there several times.
        method: of it.
        host: header of that name.
        scheme: how it came.
        address: from where.
    """
    fields = HTTPHeaders({"Host": host})
    for name, value in headers:
        fields.add(name, value)
    connection: Any = SimpleNamespace(context=SimpleNamespace(remote_ip=address, protocol=scheme))
    return HTTPServerRequest(
        start_line=RequestStartLine(method, path, "HTTP/1.1"),
        headers=fields,
        connection=cast(HTTPConnection, connection),
    )


def handshake(query: str = "", *headers: tuple[str, str]) -> HTTPServerRequest:
    """Return the request of a WebSocket handshake.

    Args:
        query: with its `?`; "" for none.
        headers: beside `Host`; a name may come several times.
    """
    return request_of(f"/ws{query}", *headers)
