"""What schemathesis must be told: where it reads our OpenAPI document otherwise than it is meant.

Each hook leaves out cases that the document does not describe. Nothing is left out because of how a
node answers.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import schemathesis

_DATA = "data"  # a message's own value: any JSON
_LONGEST_S = 5


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner) if name != _DATA else ()


@schemathesis.hook("filter_case")
def the_classes_of_characters_are_read_whole(
    context: schemathesis.HookContext, case: schemathesis.Case[Any]
) -> bool:
    r"""Leave out what is no match of our patterns: `\p{C}` and `\p{Z}` are read as ASCII only."""
    meta = case.meta
    if meta is not None and not meta.generation.mode.is_positive:
        return True
    parts = (case.path_parameters, case.query, case.body)
    return all(unquote(text).isprintable() for part in parts for text in _texts(part))


@schemathesis.hook("filter_case")
def an_address_without_variables_comes_first(
    context: schemathesis.HookContext, case: schemathesis.Case[Any]
) -> bool:
    """Leave out the user `query`, who has an address of their own.

    Source: https://spec.openapis.org/oas/v3.1.0#path-templating-matching
    """
    return case.path != "/api/v1/users/{user}" or case.path_parameters.get("user") != "query"


@schemathesis.hook("filter_case")
def nobody_waits_for_longer_than_the_run(
    context: schemathesis.HookContext, case: schemathesis.Case[Any]
) -> bool:
    """Leave out a send that may rightly wait for an hour: what is asked for is not acknowledged."""
    waits_s = case.body.get("timeout_s") if isinstance(case.body, dict) else None
    return not isinstance(waits_s, int | float) or waits_s <= _LONGEST_S


@schemathesis.hook("filter_case")
def with_a_key_a_ticket_names_its_user(
    context: schemathesis.HookContext, case: schemathesis.Case[Any]
) -> bool:
    """Leave out tickets for nobody: no schema can say that only tokens stand for a user."""
    if case.path != "/api/v1/tickets" or not isinstance(case.body, dict):
        return True
    meta = case.meta
    return case.body.get("user") is not None or not (
        meta is not None and meta.generation.mode.is_positive
    )
