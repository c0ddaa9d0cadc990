"""Errors as RFC 9457 problem documents, and the handler every JSON handler stands on."""

import math
from types import TracebackType
from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import Meta
from tornado.web import HTTPError, RequestHandler

from node.handlers.headers import secure
from router.errors import (
    InvalidRequest,
    InvalidUser,
    SwitchboardError,
    TooMany,
    Unauthenticated,
)

RETRY_AFTER_S: Final = 1
_METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
# What each code means to somebody who reads it for the first time; `detail` has the particulars.
_TITLES: Final = {
    "invalid_user": "The user id breaks the rules",
    "invalid_request": "The request cannot be used",
    "invalid_settings": "The server's settings cannot work",
    "too_large": "Too large",
    "unauthenticated": "Who are you?",
    "forbidden": "Not allowed",
    "application_failed": "The application failed",
    "unknown_node": "There is no such node",
    "too_many": "Too many",
    "unsupported": "Not supported",
    "unavailable": "The store is not available",
    "store_refused": "The store refused a command",
    "server_failed": "The private store failed",
    "bad_request": "Not a request this server understands",
    "not_found": "There is nothing at this address",
    "method_not_allowed": "This address has no such method",
    "internal": "The server made a mistake",
}
# HTTP's own errors, which know nothing but their status: code and detail.
_HTTP_ERRORS: Final = {
    404: ("not_found", "/api/v1/openapi.json describes every address of the API"),
    405: ("method_not_allowed", "the header Allow names the methods it has"),
    500: ("internal", "the server's log has more"),
}
_OTHER_HTTP_ERROR: Final = ("bad_request", "it is not HTTP as RFC 9110 writes it")
_log = structlog.get_logger()


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error, as RFC 9457 writes it."""

    type: Annotated[str, Meta(description="the kind of problem, as a URN that ends in its code")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="one sentence for people")]
    code: Annotated[str, Meta(description="one word for programs")]
    field: Annotated[str, Meta(description="which value of the request is at fault")] = ""
    size_bytes: int | None = None
    limit_bytes: int | None = None


def problem_of(error: BaseException | None, status: int) -> Problem:
    """Return the document of an error.

    Args:
        error: what was raised; None if nothing was.
        status: of the answer, for an error that does not know its own.
    """
    if isinstance(error, SwitchboardError):
        return Problem(
            type=_type(error.code),
            title=_TITLES[error.code],
            status=error.consequence.http_status,
            detail=str(error),
            code=error.code,
            field=getattr(error, "field", ""),
            size_bytes=getattr(error, "size_bytes", None),
            limit_bytes=getattr(error, "limit_bytes", None),
        )
    # Nothing of an unexpected exception is shown: it may hold anything.
    code, detail = _HTTP_ERRORS.get(status, _OTHER_HTTP_ERROR)
    return Problem(_type(code), _TITLES[code], status, detail, code)


def _type(code: str) -> str:
    return f"urn:switchboard:problem:{code}"


def set_headers(handler: RequestHandler, error: BaseException | None) -> None:
    """Set what the answer to an error must say beside its document.

    Sources: RFC 9110 sections 10.2.3 and 11.6.1; RFC 6750 section 3.
    """
    if isinstance(error, TooMany):
        handler.set_header("Retry-After", str(math.ceil(error.retry_after_s)))
    elif isinstance(error, SwitchboardError) and error.consequence.retry:
        handler.set_header("Retry-After", str(RETRY_AFTER_S))
    if isinstance(error, Unauthenticated):
        handler.set_header("WWW-Authenticate", 'Bearer realm="switchboard"')


def refuse(handler: RequestHandler, error: SwitchboardError) -> None:
    """Answer a handshake that is refused, with its problem document."""
    problem = problem_of(error, error.consequence.http_status)
    set_headers(handler, error)
    handler.set_status(problem.status)
    handler.set_header("Content-Type", "application/problem+json")
    handler.finish(msgspec.json.encode(problem))


class ProblemHandler(RequestHandler):
    """Answers in JSON, and with a problem document whenever something is raised."""

    def set_default_headers(self) -> None:
        """Set what every answer carries; it is kept out of caches."""
        secure(self)

    def compute_etag(self) -> str | None:
        """Return no ETag: answers are not cached, and hashing them costs."""
        return None

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Return a part of the path as text.

        Raises:
            InvalidUser, InvalidRequest: it is not UTF-8.
        """
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as exc:
            if name == "user":
                raise InvalidUser("a user id is UTF-8 text") from exc
            raise InvalidRequest(name or "", "is not UTF-8 text") from exc

    def answer(self, view: msgspec.Struct, status: int = 200) -> None:
        """Finish with `view` as JSON."""
        self._finish_json(status, "application/json", view)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Finish with the problem document of what was raised; see `RequestHandler`."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        problem = problem_of(error, status_code)
        set_headers(self, error)
        if problem.status == 405:
            self.set_header("Allow", ", ".join(self.methods()))
        self._finish_json(problem.status, "application/problem+json", problem)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what nobody expected, and only that: the others are told to the caller."""
        if not isinstance(value, (SwitchboardError, HTTPError)):
            _log.error(
                "request failed",
                method=self.request.method,
                path=self.request.path,
                exc_info=(typ, value, tb),
            )

    @classmethod
    def methods(cls) -> list[str]:
        """Return the HTTP methods this handler has."""
        missing = RequestHandler.get
        return [name for name in _METHODS if getattr(cls, name.lower()) is not missing]

    def _finish_json(self, status: int, content_type: str, view: msgspec.Struct) -> None:
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(msgspec.json.encode(view))


class NotFound(ProblemHandler):
    """Every address that is not there."""

    def prepare(self) -> None:
        """Raise 404, whatever the method."""
        raise HTTPError(404)
