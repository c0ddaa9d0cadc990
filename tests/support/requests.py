"""Requests as a gate sees them, without a connection."""

from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine


def handshake(query: str = "", *headers: tuple[str, str]) -> HTTPServerRequest:
    """Return the request of a WebSocket handshake.

    Args:
        query: with its `?`; "" for none.
        headers: beside `Host`; a name may come several times.
    """
    given = HTTPHeaders({"Host": "localhost"})
    for name, value in headers:
        given.add(name, value)
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", f"/ws{query}", "HTTP/1.1"), headers=given
    )
