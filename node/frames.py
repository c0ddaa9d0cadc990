"""Client frames in and out (docs: INTERFACE section 4), without any I/O.

`data` is never parsed on its way through: it is copied from the client's frame into the envelope,
and from there into the recipient's frame.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

JSON_PROTOCOL: Final = "switchboard.v1.json"
MSGPACK_PROTOCOL: Final = "switchboard.v1.msgpack"
MAX_USERS_PER_FRAME: Final = 1_000
_MAX_DIGITS: Final = 20

_Ref = Annotated[str, msgspec.Meta(max_length=64)] | int


class SendFrame(msgspec.Struct, frozen=True, tag="send"):
    """A client's message to one user or to several."""

    to: str | Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_USERS_PER_FRAME)]
    data: Raw
    ref: _Ref | None = None
    durable: bool = False
    confirm: str | None = None
    ttl_s: float | None = None
    key: str | None = None
    traceparent: str | None = None


class AckFrame(msgspec.Struct, frozen=True, tag="ack"):
    """A client's acknowledgement, up to an offset or of one id."""

    offset: str | None = None
    id: str | None = None


class RefreshFrame(msgspec.Struct, frozen=True, tag="refresh"):
    """A client's new token, before the one it came with ends."""

    token: str
    ref: _Ref | None = None

    def __repr__(self) -> str:
        return "RefreshFrame()"  # a token stands in no log


class CallFrame(msgspec.Struct, frozen=True, tag="call"):
    """A client's question to the application around the node, and to no user."""

    data: Raw
    ref: _Ref | None = None


class PingFrame(msgspec.Struct, frozen=True, tag="ping"):
    """A client's question whether the node is there."""


InFrame = SendFrame | AckFrame | PingFrame | RefreshFrame | CallFrame


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The first frame: the session is registered."""

    session: str
    user: str
    node: str
    device: str
    resumed: bool
    offset: str
    max_message_bytes: int


class Message(msgspec.Struct, frozen=True, tag="message", gc=False):
    """A message for this user; a durable one has an offset, and says when it is read again."""

    id: str
    origin: str = msgspec.field(name="from")
    data: Any
    sent_at: float
    offset: str | UnsetType = UNSET
    replay: bool | UnsetType = UNSET


class OutcomeFrame(msgspec.Struct, frozen=True, tag="outcome", omit_defaults=True):
    """What became of a send to one user."""

    id: str
    user: str
    outcome: str
    ref: _Ref | None = None
    reason: str = ""


class OutcomesFrame(msgspec.Struct, frozen=True, tag="outcome", omit_defaults=True):
    """What became of a send to several users."""

    id: str
    outcomes: dict[str, str]
    ref: _Ref | None = None


class ErrorFrame(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """A frame or a send that could not be taken; the session lives on."""

    code: str
    message: str
    ref: _Ref | None = None
    field: str = ""
    retry_after_ms: int = 0


class Expiring(msgspec.Struct, frozen=True, tag="expiring"):
    """The session ends soon, unless the client sends a new token."""

    expires_at: float


class Refreshed(msgspec.Struct, frozen=True, tag="refreshed", omit_defaults=True):
    """The session goes on with its new token."""

    expires_at: float
    ref: _Ref | None = None


class Reply(msgspec.Struct, frozen=True, tag="reply", omit_defaults=True):
    """What the application answers to a call."""

    data: Any
    ref: _Ref | None = None


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye"):
    """Sent before a close that the server chose."""

    reason: str
    reconnect_after_ms: int | UnsetType = UNSET


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to a client's `ping` frame."""


OutFrame = (
    Welcome
    | Message
    | OutcomeFrame
    | OutcomesFrame
    | ErrorFrame
    | Expiring
    | Refreshed
    | Reply
    | Goodbye
    | Pong
)


class BadFrame(Exception):
    """A client frame that cannot be used.

    Args:
        code: `bad_frame` when it is no object of ours at all, else `invalid_request`.
        message: what is wrong with it.
        ref: the client's own number of the frame, when it could be found.
    """

    def __init__(self, code: str, message: str, ref: str | int | None) -> None:
        super().__init__(code, message, ref)
        self.code = code
        self.message = message
        self.ref = ref


class _RefOnly(msgspec.Struct):
    ref: _Ref | None = None


@dataclass(frozen=True, slots=True)
class Codec:
    """One subprotocol: how frames look on the wire.

    Args:
        protocol: its name.
        binary: whether its frames are binary ones.
        encode: frame -> payload.
        decode: payload -> frame; raises `msgspec.DecodeError`.
        find_ref: payload -> a struct with `ref`; raises `msgspec.DecodeError`.
        value: the `data` of an envelope (JSON bytes) -> what `Message.data` must hold.
        data: the `data` of a client's frame -> the same as JSON; see `data_of`.
    """

    protocol: str
    binary: bool
    encode: Callable[[OutFrame], bytes]
    decode: Callable[[bytes | str], InFrame]
    find_ref: Callable[[bytes | str], _RefOnly]
    value: Callable[[bytes], Raw]
    data: Callable[[Raw], Raw]


def _json_value(value: bytes) -> Raw:
    return Raw(value)


def _json_data(raw: Raw) -> Raw:
    return raw


def _json_frame(payload: bytes | str) -> InFrame:
    # A binary frame brings bytes, and those of `data` are not looked at when they are skipped:
    # passed on as text they would make the recipient's browser end its connection.
    return _json_decoder.decode(payload if isinstance(payload, str) else payload.decode())


def _msgpack_value(value: bytes) -> Raw:
    try:
        return Raw(msgspec.msgpack.encode(msgspec.json.decode(value)))
    except (msgspec.DecodeError, OverflowError):  # a number that MessagePack has no integer for
        return Raw(msgspec.msgpack.encode(json.loads(value, parse_int=_nearest_number)))


def _nearest_number(digits: str) -> int | float:
    """Return what JavaScript makes of an integer too: beyond 64 bits the nearest float."""
    exact = int(digits) if len(digits) <= _MAX_DIGITS else None
    return exact if exact is not None and -(2**63) <= exact < 2**64 else float(digits)


def _msgpack_data(raw: Raw) -> Raw:
    return Raw(msgspec.json.encode(msgspec.msgpack.decode(raw)))


_json_decoder: Final[msgspec.json.Decoder[InFrame]] = msgspec.json.Decoder(InFrame)

JSON: Final = Codec(
    JSON_PROTOCOL,
    binary=False,
    encode=msgspec.json.Encoder().encode,
    decode=_json_frame,
    find_ref=msgspec.json.Decoder(_RefOnly).decode,
    value=_json_value,
    data=_json_data,
)
MSGPACK: Final = Codec(
    MSGPACK_PROTOCOL,
    binary=True,
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(InFrame).decode,  # type: ignore[arg-type]
    find_ref=msgspec.msgpack.Decoder(_RefOnly).decode,  # type: ignore[arg-type]
    value=_msgpack_value,
    data=_msgpack_data,
)
CODECS: Final = {codec.protocol: codec for codec in (JSON, MSGPACK)}


def read(codec: Codec, payload: bytes | str) -> InFrame:
    """Return the frame in a client's payload.

    Raises:
        BadFrame: it is none.
    """
    try:
        return codec.decode(payload)
    except msgspec.ValidationError as exc:
        raise BadFrame("invalid_request", str(exc), _ref(codec, payload)) from exc
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError) as exc:
        what = "MessagePack" if codec.binary else "JSON"
        raise BadFrame("bad_frame", f"not {what}: {exc}", None) from exc


def data_of(codec: Codec, frame: SendFrame | CallFrame) -> Raw:
    """Return the `data` of a client's frame as JSON.

    Raises:
        BadFrame: JSON has no way to say it.
    """
    try:
        return codec.data(frame.data)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as exc:
        raise BadFrame("invalid_request", f"data: is not a JSON value: {exc}", frame.ref) from exc


def _ref(codec: Codec, payload: bytes | str) -> str | int | None:
    try:
        return codec.find_ref(payload).ref
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError):
        return None
