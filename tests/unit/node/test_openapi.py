"""The OpenAPI document says what the handlers do: it is made from the same structs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from node.auth.dev import DevGate
from node.auth.tickets import Tickets
from node.handlers import api, openapi, schemas
from node.handlers.base import ApiContext, Operation, Source
from router.aio import Router
from router.member import Member
from router.settings import Settings
from router.store.tickets import TicketStore

DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(openapi.document(api.TABLE)))
OPERATIONS = [
    (path, method, operation)
    for path, handler in api.TABLE
    for method, operation in openapi.operations_of(handler).items()
]
# INTERFACE section 5, written out once more: the document may not lose a row of it.
CONTRACT = {
    ("post", "/api/v1/users/{user}/messages"),
    ("post", "/api/v1/messages"),
    ("post", "/api/v1/broadcast"),
    ("get", "/api/v1/users"),
    ("post", "/api/v1/users/query"),
    ("get", "/api/v1/users/{user}"),
    ("delete", "/api/v1/users/{user}/sessions"),
    ("delete", "/api/v1/users/{user}/sessions/{session}"),
    ("get", "/api/v1/nodes"),
    ("get", "/api/v1/stats"),
    ("get", "/api/v1/traces/{trace}"),
    ("get", "/api/v1/openapi.json"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


def described(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def references(value: Any) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_row_of_the_contract_is_described() -> None:
    found = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert found >= CONTRACT


def test_every_method_of_a_handler_is_described() -> None:
    for path, handler in api.TABLE:
        methods = {name.lower() for name in handler.methods()} - {"head"}
        assert methods == set(DOCUMENT["paths"][path]), path


def known() -> ApiContext:
    member = Member(Settings(), "redis://127.0.0.1:1")
    tickets = Tickets(TicketStore(member.store, member.keys))
    return api.context(Router(member), DevGate(), tickets, lambda: None)


def test_where_users_come_there_is_less() -> None:
    patterns = [pattern for pattern, _, *context in api.public_routes(known()) if context]
    there = {path for path in DOCUMENT["paths"] if any(re.fullmatch(p, path) for p in patterns)}
    assert there == {"/healthz", "/readyz", "/api/v1/tickets"}


def test_every_route_is_described_and_nothing_else() -> None:
    rules = [pattern for pattern, _, *context in api.routes(known()) if context]
    assert len(rules) == len(DOCUMENT["paths"])
    for pattern, path in zip(rules, DOCUMENT["paths"], strict=True):
        example = re.sub(r"\{\w+\}", "x", path)
        assert re.fullmatch(pattern, example), path


def test_the_handlers_are_handed_the_document() -> None:
    _, _, context = api.routes(known())[0]
    api_context: ApiContext = context["context"]
    assert json.loads(api_context.document) == openapi.document(api.TABLE, wants_keys=False)


def test_it_is_openapi_3_1_with_a_title_and_a_version() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in DOCUMENT["components"]["schemas"]


def test_no_two_operations_share_a_name() -> None:
    names = [op["operationId"] for item in DOCUMENT["paths"].values() for op in item.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_an_operation_shows_the_structs_its_handler_uses(
    path: str, method: str, operation: Operation
) -> None:
    told = described(path, method)
    takes = f"#/components/schemas/{operation.takes.__name__}"
    has_body = operation.source in (Source.BODY, Source.EITHER)
    assert ("requestBody" in told) == has_body
    if has_body:
        assert told["requestBody"]["content"]["application/json"]["schema"] == {"$ref": takes}
    for status in operation.statuses:
        schema = told["responses"][str(status)]["content"][operation.media_type]["schema"]
        if operation.gives is not None:
            assert schema == {"$ref": f"#/components/schemas/{operation.gives.__name__}"}


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_variable_part_of_an_address_is_a_parameter(
    path: str, method: str, operation: Operation
) -> None:
    parameters = described(path, method)["parameters"]
    in_path = [p["name"] for p in parameters if p["in"] == "path"]
    assert in_path == re.findall(r"\{(\w+)\}", path)
    in_query = [p["name"] for p in parameters if p["in"] == "query"]
    has_query = operation.source in (Source.QUERY, Source.EITHER)
    asked = operation.takes if has_query else operation.asks
    fields = msgspec.structs.fields(asked) if asked is not None else ()
    assert in_query == [field.encode_name for field in fields]


def test_a_busy_answer_and_a_store_that_is_away_share_their_status() -> None:
    content = described("/api/v1/users/{user}/messages", "post")["responses"]["503"]["content"]
    assert content.keys() == {"application/json", "application/problem+json"}


def test_what_a_message_may_say_is_shown_with_its_limits() -> None:
    shown = DOCUMENT["components"]["schemas"]["MessageToMany"]
    assert shown["required"] == ["to", "data"]
    assert shown["additionalProperties"] is False
    assert shown["properties"]["to"]["maxItems"] == 10_000
    assert shown["properties"]["confirm"]["enum"] == [
        "accepted",
        "written",
        "delivered",
        "acked",
    ]
    assert shown["properties"]["from"]["default"] is None


def test_a_send_may_carry_a_key_and_a_broadcast_may_not() -> None:
    def headers(path: str) -> list[str]:
        return [p["name"] for p in described(path, "post")["parameters"] if p["in"] == "header"]

    assert headers("/api/v1/users/{user}/messages") == ["Idempotency-Key"]
    assert headers("/api/v1/messages") == ["Idempotency-Key"]
    assert headers("/api/v1/broadcast") == []


def test_descriptions_are_one_line_for_readers_who_do_not_see_the_code() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        assert "\n" not in schema.get("description", "")


def test_a_page_query_is_shown_with_its_limits() -> None:
    limit = next(p for p in described("/api/v1/users", "get")["parameters"] if p["name"] == "limit")
    assert limit["schema"]["maximum"] == 1_000
    assert limit["required"] is False
    assert issubclass(schemas.PageQuery, msgspec.Struct)
