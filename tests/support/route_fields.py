"""The fields of routes as a person reads them."""

from collections.abc import Iterable

from router.store.fields import split_route_field


def shown(fields: Iterable[bytes]) -> set[str]:
    """Return fields as `endpoint/session`, however they are packed."""
    return {
        "/".join(split_route_field(field) or (field.decode("utf-8", "replace"),))
        for field in fields
    }
