"""What every answer carries: pages, the API, refusals, and what is not there."""

import re

from tornado.httpclient import HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.web import Application

from node.handlers import pages
from node.handlers.api import TABLE
from tests.support.api_case import ApiCase

_METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")


def assert_secure(headers: HTTPHeaders, what: str) -> None:
    """Check what no answer may lack, and what none may have."""
    expected = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    assert {name: headers.get(name) for name in expected} == expected, what
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy, what
    assert "frame-ancestors 'none'" in policy, what
    assert "base-uri 'none'" in policy, what
    assert "unsafe" not in policy, what
    assert headers["Cache-Control"] in ("no-store", "no-cache"), what
    for name in ("Server", "Set-Cookie", "Access-Control-Allow-Origin"):
        assert name not in headers, (what, name)


class EveryAnswerTest(ApiCase):
    def get_app(self) -> Application:
        super().get_app()
        return Application([*self.node.routes(), *pages.routes()], **self.node.app_settings())

    def test_every_address_and_method_answers_with_them(self) -> None:
        paths = [re.sub(r"\{\w+\}", "alice", path) for path, _ in TABLE]
        paths += ["/", "/ws", "/ws?user=alice", "/static/switchboard.js", "/static/none.js"]
        paths += ["/api/v1/nothing", "/nothing", "/dashboard", "/dashboard/feed"]
        statuses = set()
        for path in paths:
            for method in _METHODS:
                body = b"{}" if method in ("POST", "PUT", "PATCH") else None
                answer = self.ask_plainly(method, path, body)
                assert_secure(answer.headers, f"{method} {path}")
                statuses.add(answer.code)
        assert {200, 404, 405, 422} <= statuses

    def test_a_refusal_carries_them_too(self) -> None:
        for path in ("/api/v1/nodes", "/ws?user=alice"):
            answer = self.fetch(path, headers={"Origin": "https://evil.example"})
            assert_secure(answer.headers, path)

    def test_without_tls_nobody_is_told_to_come_by_tls(self) -> None:
        assert "Strict-Transport-Security" not in self.fetch("/healthz").headers

    def ask_plainly(self, method: str, path: str, body: bytes | None) -> HTTPResponse:
        return self.fetch(path, method=method, body=body, allow_nonstandard_methods=True)
