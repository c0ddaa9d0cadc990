"""What the API reads: the structs that check a request, and that the OpenAPI document shows."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from node.names import USER_SCHEMA
from router.aio import MAX_USERS_PER_CALL
from router.directory import MAX_PAGE, MAX_QUERY
from router.errors import InvalidRequest
from router.kicking import MAX_REASON_CHARACTERS, check_reason
from router.model import MAX_KEY_CHARACTERS, MAX_USER_CHARACTERS, Confirm
from router.sending import MAX_TIMEOUT_S, MAX_TTL_S, MIN_TIMEOUT_S

# What the router checks, as the OpenAPI document says it: schemathesis finds where they differ.
# Its patterns are those of ECMA 262 in Unicode mode. C and Z are what `str.isprintable` refuses;
# of them it allows the plain space.
_TEXT_SCHEMA: Final = {"pattern": r"^( |[^\p{C}\p{Z}])*$"}
# What a header can carry of what a key may be.
KEY_SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_KEY_CHARACTERS,
    "pattern": r"^[!-~]([ -~]*[!-~])?$",
}
_FROM_SCHEMA: Final = {"maxLength": MAX_USER_CHARACTERS, "pattern": r"^[^\p{C}\p{Z}{}]*$"}
_REASON_SCHEMA: Final = {"maxLength": MAX_REASON_CHARACTERS, **_TEXT_SCHEMA}
_CONFIRM_SCHEMA: Final = {"enum": [level.name.lower() for level in Confirm]}
_CONFIRM_ALL_SCHEMA: Final = {"enum": [Confirm.ACCEPTED.name.lower()]}
_TIMEOUT_SCHEMA: Final = {"minimum": MIN_TIMEOUT_S, "maximum": MAX_TIMEOUT_S}
_TTL_SCHEMA: Final = {"exclusiveMinimum": 0, "exclusiveMaximum": MAX_TTL_S}
_User = Annotated[str, Meta(extra_json_schema=USER_SCHEMA)]
_Data = Annotated[Raw, Meta(description="any JSON value; handed on as it is")]
_From = Annotated[
    Annotated[str, Meta(extra_json_schema=_FROM_SCHEMA)] | None,
    Meta(description="the user it is from, as the recipient sees it"),
]
_Confirm = Annotated[str, Meta(extra_json_schema=_CONFIRM_SCHEMA)]
_Durable = Annotated[
    bool, Meta(description="store it until each of the user's devices has acknowledged it")
]
_Timeout = Annotated[
    Annotated[float, Meta(extra_json_schema=_TIMEOUT_SCHEMA)] | None,
    Meta(description="seconds to wait for the outcome; null for delivery.timeout_s"),
]
_Ttl = Annotated[
    Annotated[float, Meta(extra_json_schema=_TTL_SCHEMA)] | None,
    Meta(description="seconds after which it is worthless; null for never"),
]
_Reason = Annotated[str, Meta(description="told to the client", extra_json_schema=_REASON_SCHEMA)]


class NoInput(Struct, frozen=True):
    """A request without parameters of its own."""


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message to one user."""

    data: _Data
    origin: _From = field(name="from", default=None)
    durable: _Durable = False
    confirm: Annotated[
        _Confirm | None,
        Meta(description="how far to wait; null for the furthest the delivery mode can know"),
    ] = None
    timeout_s: _Timeout = None
    ttl_s: _Ttl = None


class MessageToMany(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message to a list of users."""

    to: Annotated[
        list[_User], Meta(min_length=1, max_length=MAX_USERS_PER_CALL, description="user ids")
    ]
    data: _Data
    origin: _From = field(name="from", default=None)
    durable: _Durable = False
    confirm: Annotated[
        _Confirm,
        Meta(
            description="how far to wait: in the inbox, in a socket, proved received, "
            "acknowledged by an application"
        ),
    ] = "accepted"
    timeout_s: _Timeout = None
    ttl_s: _Ttl = None


class MessageToAll(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message to every session."""

    data: _Data
    origin: _From = field(name="from", default=None)
    confirm: Annotated[
        str,
        Meta(
            description="a broadcast can only promise accepted",
            extra_json_schema=_CONFIRM_ALL_SCHEMA,
        ),
    ] = "accepted"


class TraceQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to watch a message."""

    trace: Annotated[
        bool, Meta(description="keep its steps for a minute, to be read at /api/v1/traces")
    ] = False


class UserList(Struct, frozen=True, forbid_unknown_fields=True):
    """A question for a list of users."""

    users: Annotated[list[_User], Meta(max_length=MAX_QUERY, description="user ids")]


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of the online registry to list."""

    node: Annotated[str, Meta(description="only users with a session on this node")] = ""
    prefix: Annotated[
        str,
        Meta(
            max_length=MAX_USER_CHARACTERS,
            description="only ids that begin with this",
            extra_json_schema=_TEXT_SCHEMA,
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="most users in the page")] = 50
    cursor: Annotated[
        str,
        Meta(
            max_length=MAX_USER_CHARACTERS,
            description="as the page before returned it",
            extra_json_schema=_TEXT_SCHEMA,
        ),
    ] = ""


class Kick(Struct, frozen=True, forbid_unknown_fields=True):
    """Why sessions are closed."""

    reason: _Reason = ""

    def __post_init__(self) -> None:
        """Check the reason here too: the query is checked even where the body counts."""
        check_reason(self.reason)


S = TypeVar("S", bound=Struct)
_AT: Final = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_NAMED: Final = re.compile(r"^Object (?:contains unknown|missing required) field `(?P<name>.*)`$")


def from_body(body: bytes | bytearray, schema: type[S]) -> S:
    """Return a request's body as `schema`; nothing stands for an empty object.

    Raises:
        InvalidRequest: not JSON, or not what `schema` asks for.
    """
    try:
        # The decoder does not look into a Raw value's strings, and a text frame that is not UTF-8
        # would end the connection of whoever receives it.
        body.decode("utf-8")
        return msgspec.json.decode(body or b"{}", type=schema)
    except UnicodeDecodeError as exc:
        raise InvalidRequest("body", f"is not UTF-8 text: byte {exc.start}") from exc
    except msgspec.ValidationError as exc:
        raise _refusal(exc) from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        reason = str(exc).removeprefix("JSON is malformed: ")
        raise InvalidRequest("body", f"is not JSON: {reason}") from exc


def from_query(arguments: Mapping[str, Sequence[bytes]], schema: type[S]) -> S:
    """Return a request's query as `schema`; of a repeated parameter the last value counts.

    Raises:
        InvalidRequest: not UTF-8, or not what `schema` asks for.
    """
    values: dict[str, Any] = {}
    for name, given in arguments.items():
        try:
            values[name] = given[-1].decode("utf-8")
        except UnicodeDecodeError as exc:
            raise InvalidRequest(name, "is not UTF-8 text") from exc
    try:
        return msgspec.convert(values, schema, strict=False)
    except msgspec.ValidationError as exc:
        raise _refusal(exc) from exc


def _refusal(error: msgspec.ValidationError) -> InvalidRequest:
    """Turn the decoder's sentence into a field and a reason."""
    reason = str(error)
    path = ""
    if at := _AT.search(reason):
        path, reason = at["path"], reason[: at.start()]
    if named := _NAMED.match(reason):
        reason = "is missing" if "missing" in reason else "there is no such field"
        path = f"{path}.{named['name']}" if path else named["name"]
    return InvalidRequest(path or "body", reason[0].lower() + reason[1:])
