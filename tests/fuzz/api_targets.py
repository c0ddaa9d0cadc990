"""The HTTP API: bodies and queries, over every struct that any operation takes."""

from typing import Final
from urllib.parse import urlencode

import msgspec
from tornado.httputil import HTTPHeaders, HTTPInputError, HTTPServerRequest, RequestStartLine

from node.handlers.api import TABLE
from node.handlers.base import Source
from node.handlers.openapi import operations_of
from node.handlers.problem import problem_of
from node.handlers.schemas import from_body, from_query
from router.errors import SwitchboardError

_OPERATIONS: Final = [op for _, handler in TABLE for op in operations_of(handler).values()]


def _taken(*sources: Source) -> list[type[msgspec.Struct]]:
    found = {op.takes for op in _OPERATIONS if op.source in sources}
    return sorted(found, key=lambda struct: struct.__name__)


_IN_BODIES: Final = _taken(Source.BODY, Source.EITHER)
_IN_QUERIES: Final = _taken(Source.QUERY, Source.EITHER)
_FIELDS: Final = sorted(
    {
        field.encode_name
        for struct in (*_IN_BODIES, *_IN_QUERIES)
        for field in msgspec.structs.fields(struct)
    }
)
BODIES: Final = (
    b'{"data":{"a":[1,null,"x"]},"from":"bob","durable":true,"confirm":"acked","timeout_s":1.5}',
    b'{"to":["alice","bob"],"data":1,"ttl_s":60}',
    b'{"users":["alice","bob"]}',
    b'{"reason":"why"}',
    b"",
)
QUERIES: Final = (
    urlencode({"node": "n1", "prefix": "ü", "limit": "7", "cursor": "bob"}).encode(),
    *(b"reason=see%20you", b"limit=1&limit=2", b"limit=", b"a;b=c", b""),
)
WORDS: Final = (
    *(f'"{name}":'.encode() for name in _FIELDS),
    *(f"&{name}=".encode() for name in _FIELDS),
    *(b"%00", b"%ff", b"%0d%0a", b"%ed%a0%80", b"1e999", b"-1", b"null", b"[" * 64, b'{"a":' * 64),
    *(b"99999999999999999999999", b'"\\ud800"', b"\xed\xa0\x80", b"\xe2\x80\xa8", b"&" * 64),
)


def _refused(error: SwitchboardError) -> None:
    """A refusal is one of the client's faults, and can be told."""
    problem = problem_of(error, 500)
    assert 400 <= problem.status < 500, problem
    msgspec.json.encode(problem)


def bodies(data: bytes) -> None:
    """Read a body as each kind of request that has one."""
    for schema in _IN_BODIES:
        try:
            msgspec.json.encode(from_body(data, schema))
        except SwitchboardError as exc:
            _refused(exc)


def queries(data: bytes) -> None:
    """Read a query as Tornado hands it over, for each kind of request that has one."""
    query = data.decode("latin-1")
    try:
        line = RequestStartLine("GET", f"/api/v1/users?{query}", "HTTP/1.1")
        request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "a"}))
    except HTTPInputError:
        return  # Tornado answers 400
    for schema in _IN_QUERIES:
        try:
            from_query(request.query_arguments, schema)
        except SwitchboardError as exc:
            _refused(exc)
