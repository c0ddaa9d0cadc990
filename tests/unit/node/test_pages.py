"""The page's files: what is served, with which headers, and what is not."""

import re
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from tornado.httpclient import HTTPResponse
from tornado.testing import AsyncHTTPTestCase, ExpectLog
from tornado.web import Application

from node.handlers import pages

_WEB = Path(pages.__file__).parent.parent / "web"
_STATIC = _WEB / "static"

_HERE = ("127.0.0.1", "localhost")


class PagesTest(AsyncHTTPTestCase):
    def get_app(self) -> Application:
        return Application([*pages.routes()])

    def get(self, path: str, **headers: str) -> HTTPResponse:
        return self.fetch(path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def test_the_page_is_at_the_root(self) -> None:
        answer = self.get("/")
        assert answer.code == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.body == (_WEB / "index.html").read_bytes()

    def test_the_dashboard_has_an_address_of_its_own(self) -> None:
        answer = self.get("/dashboard")
        assert answer.code == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.body == (_WEB / "dashboard.html").read_bytes()
        assert self.fetch("/dashboard", method="HEAD").headers["Content-Length"] == str(
            len(answer.body)
        )

    def test_the_dashboard_talks_to_its_own_node_only_and_has_no_exceptions(self) -> None:
        mine, other = (
            self.get(path).headers["Content-Security-Policy"] for path in ("/dashboard", "/")
        )
        assert "connect-src 'self';" in mine
        assert mine == re.sub(r"connect-src [^;]*", "connect-src 'self'", other)

    def test_the_script_of_the_charts_is_kept_under_an_address_of_its_version(self) -> None:
        moved = self.fetch("/static/vendor/plotly.min.js", follow_redirects=False)
        assert moved.code == 302
        assert moved.headers["Cache-Control"] == "no-cache"
        assert metadata.version("plotly") in moved.headers["Location"]
        answer = self.get(moved.headers["Location"])
        assert answer.code == 200
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert b"plotly.js" in answer.body[:100]
        with ExpectLog("tornado.access", "404 GET /static/vendor/"):
            assert self.get("/static/vendor/plotly-1.0.0.min.js").code == 404

    def test_the_script_of_the_charts_adds_no_style_where_the_page_says_so(self) -> None:
        """What dashboard.html and the policy rely on; see the comments there."""
        script = self.get("/static/vendor/plotly.min.js").body.decode()
        page = (_WEB / "dashboard.html").read_text()
        own_style = (
            r'if\(!document\.getElementById\("(\w+)"\)\)\{var \w=document\.createElement\("style"\)'
        )
        [maps] = re.findall(own_style, script)
        assert f'id="{maps}"' in page
        assert script.count('createElement("style")') == 2
        assert '.matches(".no-inline-styles")' in script
        assert re.search(r'id="plotly\.js-style-global"\s+class="no-inline-styles"', page)

    def test_every_file_has_a_type_a_browser_runs_under_nosniff(self) -> None:
        types = {
            ".js": "text/javascript; charset=utf-8",
            ".css": "text/css; charset=utf-8",
            ".svg": "image/svg+xml; charset=utf-8",
            ".ts": "text/plain; charset=utf-8",
        }
        files = [path for path in _STATIC.rglob("*") if path.is_file()]
        assert files
        for path in files:
            answer = self.get(f"/static/{path.relative_to(_STATIC).as_posix()}")
            assert answer.code == 200
            assert answer.headers["Content-Type"] == types[path.suffix], path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_nothing_inline_and_nothing_from_elsewhere_may_run(self) -> None:
        policy = self.get("/").headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy

    def test_the_page_may_open_websockets_on_this_machine_only(self) -> None:
        policy = self.get("/").headers["Content-Security-Policy"]
        [connect] = re.findall(r"connect-src ([^;]*)", policy)
        here = [f"{scheme}://{host}:*" for scheme in ("ws", "wss") for host in _HERE]
        assert connect.split() == ["'self'", *here]

    def test_the_pages_hold_to_their_own_policy(self) -> None:
        for name in ("index.html", "dashboard.html"):
            page = re.sub(r"<!--.*?-->", "", (_WEB / name).read_text(), flags=re.DOTALL)
            inline = r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:"
            assert not re.search(inline, page)
            assert not re.search(r"(?:src|href)=\"(?!/static/|/\")", page)

    def test_no_cookie_no_referrer_no_foreign_window(self) -> None:
        headers = self.get("/").headers
        assert "Set-Cookie" not in headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"

    def test_a_browser_asks_again_and_is_told_that_nothing_changed(self) -> None:
        first = self.get("/static/main.js")
        assert first.headers["Cache-Control"] == "no-cache"
        second = self.get("/static/main.js", If_None_Match=first.headers["Etag"])
        assert second.code == 304
        assert second.body == b""
        assert second.headers["Cache-Control"] == "no-cache"

    def test_head_answers_without_a_body(self) -> None:
        answer = self.fetch("/", method="HEAD")
        assert answer.code == 200
        assert answer.body == b""

    def test_a_file_that_is_not_there_is_404_and_carries_the_headers(self) -> None:
        with ExpectLog("tornado.access", "404 GET /static/nothing.js"):
            answer = self.get("/static/nothing.js")
        assert answer.code == 404
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_nothing_outside_of_the_static_files_is_served(self) -> None:
        paths = ("../index.html", "..%2findex.html", "%2e%2e/handlers/pages.py", "/etc/passwd")
        for path in (*paths, "switchboard.js%00", "%00"):
            with ExpectLog("tornado", "40[34] GET", required=False):
                answer = self.get(f"/static/{path}")
            assert answer.code in (403, 404), path


class EditedFileTest(AsyncHTTPTestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        super().setUp()

    def get_app(self) -> Application:
        return Application([(r"/(.*)", pages.FileHandler, {"path": self.folder.name})])

    def test_an_edited_file_is_sent_again(self) -> None:
        file = Path(self.folder.name, "main.js")
        file.write_text("one")
        first = self.fetch("/main.js")
        file.write_text("three")
        second = self.fetch("/main.js", headers={"If-None-Match": first.headers["Etag"]})
        assert second.code == 200
        assert second.body == b"three"


@pytest.mark.parametrize("path", sorted(_STATIC.rglob("*.js")), ids=lambda path: path.name)
def test_no_module_turns_text_into_markup(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source)


def test_without_the_script_of_the_charts_the_rest_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "_CHARTS", "not_installed_anywhere")
    assert [rule for rule, *_ in pages.routes() if "vendor" in rule] == []
