"""Where the token of a request stands."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tornado.httputil import HTTPServerRequest

from router.errors import Unauthenticated

SUBPROTOCOL: Final = "switchboard.bearer."
"""What an entry of `Sec-WebSocket-Protocol` begins with that is a token; it is never selected."""
_SCHEME: Final = "bearer"


class Place(StrEnum):
    """Where a token stood."""

    HEADER = "Authorization"
    SUBPROTOCOL = "Sec-WebSocket-Protocol"
    QUERY = "query"  # is written down by proxies and browsers on its way


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that came with a request.

    Args:
        token: as it was sent; never to be logged or repeated.
        place: where it stood.
    """

    token: str = field(repr=False)
    place: Place


def bearer_of(request: HTTPServerRequest) -> Bearer | None:
    """Return the token of a request; None if there is none.

    It may stand in the header `Authorization`, in an entry `switchboard.bearer.<token>` of
    `Sec-WebSocket-Protocol` (a page can set no header), or in `token` of the query.

    Raises:
        Unauthenticated: there are several, or what stands in the header is not one.

    Source: RFC 6750 section 2, which forbids more than one, as two readers of the request may
    take each another one.
    """
    found = [
        *(Bearer(_credentials(header), Place.HEADER) for header in _given(request)),
        *(Bearer(entry, Place.SUBPROTOCOL) for entry in _offered(request)),
        *(
            Bearer(value.decode("utf-8", "replace"), Place.QUERY)
            for value in request.query_arguments.get("token", [])
        ),
    ]
    if len(found) > 1:
        places = " and ".join(dict.fromkeys(each.place for each in found))
        raise Unauthenticated(f"there are {len(found)} tokens ({places}): send one")
    return found[0] if found else None


def _given(request: HTTPServerRequest) -> list[str]:
    return request.headers.get_list("Authorization")


def _credentials(header: str) -> str:
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise Unauthenticated("Authorization: write it as 'Bearer', a space and the token")
    return token.strip()


def _offered(request: HTTPServerRequest) -> list[str]:
    entries = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    names = [entry.strip() for entry in entries]
    return [name.removeprefix(SUBPROTOCOL) for name in names if name.startswith(SUBPROTOCOL)]
