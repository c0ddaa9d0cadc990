"""The head of a request: where it comes from, who says so, and who may come in."""

import asyncio
from typing import Final

from tornado.httputil import HTTPHeaders, HTTPInputError, HTTPServerRequest, RequestStartLine

from node.auth import Scope
from node.auth.bearer import bearer_of
from node.auth.dev import DevGate
from node.auth.origins import Origins
from node.proxies import Proxies
from router.errors import SwitchboardError

HEADS: Final = (
    b"/ws?user=alice&device=web\nHost: 127.0.0.1:8001\nOrigin: http://localhost:8001\n",
    b"/ws?token=abc\nHost: [::1]:8001\nOrigin: null\n",
    b"/ws\nHost: a\nSec-WebSocket-Protocol: switchboard.v1.json, switchboard.bearer.abc.def.ghi\n",
    b"/ws\nHost: a\nAuthorization: Bearer abc\nOrigin: https://example.org:443\n",
    b"/\nHost: a\nX-Forwarded-For: 203.0.113.7, [2001:db8::1]:99\nX-Forwarded-Proto: https, http\n",
)
WORDS: Final = (
    *(b"\nHost: ", b"\nOrigin: ", b"\nAuthorization: ", b"Bearer ", b"switchboard.bearer."),
    *(b"\nX-Forwarded-For: ", b"\nX-Forwarded-Proto: ", b"\nSec-WebSocket-Protocol: ", b"&token="),
    *(b"\n ", b"http://[", b"::ffff:127.0.0.1", b"%ff", b"%00", b"\x85", b"," * 64, b"@", b"xn--"),
)
_GATE: Final = DevGate()
_ORIGINS: Final = Origins(["https://example.org"])
_PROXIES: Final = Proxies(["127.0.0.0/8", "::1"])
_loop: Final = asyncio.new_event_loop()


def heads(data: bytes) -> None:
    """Read a head whose first line is the address; each refusal has a status of its own."""
    uri, _, fields = data.decode("latin-1").partition("\n")
    try:
        headers = HTTPHeaders.parse(fields)
        line = RequestStartLine("GET", uri, "HTTP/1.1")
        request = HTTPServerRequest(start_line=line, headers=headers)
    except HTTPInputError:
        return  # Tornado answers 400
    for check in (
        lambda: bearer_of(request),
        lambda: _loop.run_until_complete(_GATE.identify(request)),
        lambda: _GATE.authorize(request, Scope.READ),
        lambda: _ORIGINS.check(request),
    ):
        try:
            check()
        except SwitchboardError as exc:
            _refused(exc)
    _GATE.allows_origin(request)
    _ORIGINS.lists(request)
    forwarded = headers.get("X-Forwarded-For", "")
    client = _PROXIES.client_of("127.0.0.1", forwarded)
    assert client.isascii()
    assert _PROXIES.client_of("203.0.113.9", forwarded) == "203.0.113.9"
    proto = headers.get("X-Forwarded-Proto", "")
    assert _PROXIES.scheme_of("::1", "http", proto) in {"http", "https"}


def _refused(error: SwitchboardError) -> None:
    assert error.consequence.http_status in {401, 403, 422}, error
