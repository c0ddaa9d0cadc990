"""The OpenAPI 3.1 document, made from the structs that check requests and shape answers."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from node.handlers.base import IDEMPOTENCY_KEY, ApiHandler, Operation, Source
from node.handlers.problem import Problem
from node.handlers.schemas import KEY_SCHEMA
from node.names import USER_SCHEMA

_METHODS: Final = ("get", "post", "delete")
_REFERENCE: Final = "#/components/schemas/{name}"
_PATH_PARAMETERS: Final = {
    "user": {
        "type": "string",
        **USER_SCHEMA,
        "description": "a user id, percent-encoded",
    },
    "session": {"type": "string", "minLength": 1, "description": "a session id"},
    "trace": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "of a message"},
    "node": {
        "type": "string",
        "pattern": r"^[A-Za-z0-9_\-]{1,64}(\.[^/]*)?$",
        "description": "a node's name; its endpoint where two have the same",
    },
}
_SECURITY: Final = {
    "securitySchemes": {
        "key": {"type": "http", "scheme": "bearer", "description": "an API key"},
    }
}
Schema = dict[str, Any]
_KEY_PARAMETER: Final[Schema] = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "of several sends of one `from` to one user with the same key one is sent",
    "schema": KEY_SCHEMA,
}


def operations_of(handler: type[ApiHandler]) -> dict[str, Operation]:
    """Return what a handler does: method, in lower case -> operation."""
    found = ((name, getattr(getattr(handler, name), "operation", None)) for name in _METHODS)
    return {name: operation for name, operation in found if operation is not None}


def document(table: Sequence[tuple[str, type[ApiHandler]]], *, wants_keys: bool = True) -> Schema:
    """Return the OpenAPI document of an API.

    Args:
        table: address, with `{name}` for its variable parts, and its handler; an address with
            two handlers is not possible.
        wants_keys: whether callers need a key.
    """
    operations = [op for _, handler in table for op in operations_of(handler).values()]
    structs = {struct for op in operations for struct in (op.takes, op.gives, op.asks) if struct}
    ordered = sorted(structs | {Problem}, key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    for schema in components.values():
        # The docstring; its first line is for readers of the document.
        schema["description"] = schema.get("description", "").partition("\n")[0]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Switchboard",
            "version": "1",
            "summary": "Send to users wherever their WebSockets are, and ask who is online.",
        },
        "paths": {
            path: {
                method: _operation(path, method, op, components, wants_keys=wants_keys)
                for method, op in operations_of(handler).items()
            }
            for path, handler in table
        },
        "components": {"schemas": components} | (_SECURITY if wants_keys else {}),
    }


def _operation(
    path: str, method: str, op: Operation, components: dict[str, Schema], *, wants_keys: bool
) -> Schema:
    described: Schema = {
        "operationId": _name(path, method),
        "summary": op.summary,
        "parameters": [*_path_parameters(path)],
        "responses": _responses(path, op),
    }
    if op.scope is not None and wants_keys:
        described["security"] = [{"key": []}]
        described["description"] = f"Needs an API key with the scope `{op.scope}`."
    if op.source in (Source.QUERY, Source.EITHER):
        described["parameters"] += _query_parameters(components[op.takes.__name__])
    if op.asks is not None:
        described["parameters"] += _query_parameters(components[op.asks.__name__])
    if op.keyed:
        described["parameters"].append(_KEY_PARAMETER)
    if op.source in (Source.BODY, Source.EITHER):
        described["requestBody"] = {
            "required": op.source is Source.BODY,
            "content": {"application/json": {"schema": _reference(op.takes)}},
        }
    return described


def _name(path: str, method: str) -> str:
    """Return a name that no other operation has: `post_users_user_messages`."""
    words = re.findall(r"[a-z]+", path.removeprefix("/api/v1"))
    return "_".join([method, *words])


def _path_parameters(path: str) -> Iterable[Schema]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]}


def _query_parameters(struct: Schema) -> Iterable[Schema]:
    for name, schema in struct["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in struct.get("required", ()),
            "schema": schema,
        }


def _responses(path: str, op: Operation) -> Schema:
    """Return what each status brings; one and the same may bring an answer or a problem."""
    answer: Schema = _reference(op.gives) if op.gives is not None else {"type": "object"}
    if op.media_type != "application/json":
        answer = {"type": "string"}
    bodies = [(status, op.media_type, answer) for status in op.statuses]
    bodies += [(status, "application/problem+json", _PROBLEM) for status in _errors(path, op)]
    responses: Schema = {}
    for status, media_type, schema in sorted(bodies, key=lambda body: body[:2]):
        response = responses.setdefault(
            str(status), {"description": HTTPStatus(status).phrase, "content": {}}
        )
        response["content"][media_type] = {"schema": schema}
    return responses


def _errors(path: str, op: Operation) -> Iterable[int]:
    yield from (413, 500)
    if op.scope is not None:
        yield from (401, 403)
    if op.source is not Source.NOWHERE or "{" in path:
        yield 422
    if "{node}" in path:
        yield 404
    if path.startswith("/api/"):
        yield 503


def _reference(struct: type[msgspec.Struct]) -> Schema:
    return {"$ref": _REFERENCE.format(name=struct.__name__)}


_PROBLEM: Final = _reference(Problem)
