"""Errors as problem documents: every code, and HTTP's own errors."""

import pytest
from structlog.testing import capture_logs
from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application, HTTPError

from node.handlers import problem
from node.handlers.problem import NotFound, Problem, ProblemHandler, problem_of
from router.errors import (
    CONSEQUENCES,
    Forbidden,
    InvalidRequest,
    InvalidUser,
    StoreRefused,
    SwitchboardError,
    TooLarge,
    Unavailable,
    Unsupported,
)


@pytest.mark.parametrize("code", CONSEQUENCES)
def test_every_code_has_a_title(code: str) -> None:
    assert problem._TITLES[code]


@pytest.mark.parametrize(
    ("error", "status", "field"),
    [
        (InvalidUser("is empty"), 422, "user"),
        (InvalidRequest("limit", "is 1 to 9"), 422, "limit"),
        (InvalidRequest("", "is nonsense"), 422, ""),
        (Unsupported("confirm", "not here"), 422, "confirm"),
        (TooLarge("data", 9, 8), 413, "data"),
        (Forbidden("no"), 403, ""),
        (Unavailable("127.0.0.1:1", "nobody answers"), 503, ""),
        (StoreRefused("OOM"), 503, ""),
    ],
)
def test_an_error_of_ours_knows_its_status_and_field(
    error: SwitchboardError, status: int, field: str
) -> None:
    document = problem_of(error, 500)
    assert (document.status, document.field) == (status, field)
    assert document.type == f"urn:switchboard:problem:{error.code}"
    assert document.code == error.code
    assert document.detail == str(error)


def test_what_is_too_large_says_by_how_much() -> None:
    document = problem_of(TooLarge("data", 9, 8), 500)
    assert (document.size_bytes, document.limit_bytes) == (9, 8)


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "not_found"), (405, "method_not_allowed"), (500, "internal"), (400, "bad_request")],
)
def test_an_error_of_http_is_told_by_its_status(status: int, code: str) -> None:
    document = problem_of(HTTPError(status, "secret"), status)
    assert (document.status, document.code) == (status, code)
    assert "secret" not in document.detail


class _Handler(ProblemHandler):
    def get(self, what: str) -> None:
        if what == "away":
            raise Unavailable("127.0.0.1:1", "nobody answers")
        if what == "mistake":
            raise KeyError("secret")
        if what == "teapot":
            raise HTTPError(418)
        self.answer(Problem("t", "", 0, "", what))

    def delete(self, what: str) -> None:
        self.send_error(500)


class ProblemHandlerTest(AsyncHTTPTestCase):
    def get_app(self) -> Application:
        rules = [(r"/x/(.*)", _Handler), (r"/x(?:/.*)?", NotFound)]
        return Application(rules, default_handler_class=NotFound, log_function=lambda _: None)

    def test_an_address_that_is_not_there_is_404_for_every_method(self) -> None:
        for method in ("GET", "POST", "DELETE", "PUT"):
            answer = self.fetch("/y", method=method, allow_nonstandard_methods=True)
            assert answer.code == 404
            assert b'"code":"not_found"' in answer.body

    def test_a_method_that_is_not_there_is_405_and_told_which_are(self) -> None:
        answer = self.fetch("/x/y", method="POST", body=b"")
        assert answer.code == 405
        assert answer.headers["Allow"] == "GET, DELETE"
        assert answer.headers["Content-Type"] == "application/problem+json"

    def test_what_may_work_later_says_when(self) -> None:
        answer = self.fetch("/x/away")
        assert (answer.code, answer.headers["Retry-After"]) == (503, "1")

    def test_what_nobody_expected_is_logged_with_its_trace_and_not_shown(self) -> None:
        with capture_logs() as logs:
            answer = self.fetch("/x/mistake")
        assert answer.code == 500
        assert b"secret" not in answer.body
        [entry] = logs
        assert (entry["event"], entry["log_level"]) == ("request failed", "error")
        assert entry["path"] == "/x/mistake"
        assert entry["exc_info"][0] is KeyError

    def test_what_the_caller_did_wrong_is_not_logged(self) -> None:
        with capture_logs() as logs:
            self.fetch("/x/away")
            self.fetch("/y")
            assert self.fetch("/x/teapot").code == 418
        assert logs == []

    def test_an_error_without_an_exception_is_told_too(self) -> None:
        answer = self.fetch("/x/y", method="DELETE")
        assert (answer.code, b'"code":"internal"' in answer.body) == (500, True)

    def test_no_answer_is_kept_or_hashed(self) -> None:
        answer = self.fetch("/x/fine")
        assert answer.code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Etag" not in answer.headers

    def test_a_path_that_is_not_text_is_refused(self) -> None:
        answer = self.fetch("/x/%FF")
        assert answer.code == 422
        assert b'"code":"invalid_request"' in answer.body
