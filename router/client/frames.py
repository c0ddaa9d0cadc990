"""What a node says to its clients and hears from them, as JSON. Pure."""

import json
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

PROTOCOL: Final = "switchboard.v1.json"
PING: Final = '{"type":"ping"}'
_Offset = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,20}-[0-9]{1,20})?$")]


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The first frame: the session is registered."""

    session: str
    node: str
    resumed: bool
    offset: _Offset
    max_message_bytes: int


class MessageFrame(msgspec.Struct, frozen=True, tag="message", gc=False):
    """A message for this user."""

    id: str
    origin: str = msgspec.field(name="from")
    data: Any
    sent_at: float
    offset: _Offset = ""
    replay: bool = False


class OutcomeFrame(msgspec.Struct, frozen=True, tag="outcome"):
    """What became of a send: to one user, or (`outcomes`) to each of several."""

    id: str
    ref: int | str | None = None
    outcome: str = ""
    outcomes: dict[str, str] = {}
    reason: str = ""


class ErrorFrame(msgspec.Struct, frozen=True, tag="error"):
    """A frame or a send that could not be taken."""

    code: str
    message: str
    ref: int | str | None = None
    field: str = ""


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye"):
    """Sent before a close that the node chose."""

    reason: str = ""
    reconnect_after_ms: float | None = None


class Expiring(msgspec.Struct, frozen=True, tag="expiring"):
    """The session ends soon, unless we send a new token."""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to `ping`."""


InFrame = Welcome | MessageFrame | OutcomeFrame | ErrorFrame | Expiring | Goodbye | Pong


class SendFrame(msgspec.Struct, frozen=True, tag="send", omit_defaults=True):
    """A message to one user or to several."""

    ref: int
    to: str | list[str]
    data: msgspec.Raw
    durable: bool = False
    confirm: str | UnsetType = UNSET
    ttl_s: float | UnsetType = UNSET
    key: str | UnsetType = UNSET


class _AckFrame(msgspec.Struct, frozen=True, tag="ack", omit_defaults=True):
    offset: str = ""
    id: str = ""


class _RefreshFrame(msgspec.Struct, frozen=True, tag="refresh"):
    token: str


class _TypeOnly(msgspec.Struct, frozen=True):
    type: str


_decoder: Final[msgspec.json.Decoder[InFrame]] = msgspec.json.Decoder(InFrame)
_type_decoder: Final = msgspec.json.Decoder(_TypeOnly)
_encoder: Final = msgspec.json.Encoder()
_MAX_DIGITS: Final = 4_300  # more than that Python does not read as an integer
_KNOWN: Final = {kind.__struct_config__.tag for kind in InFrame.__args__}


def read(text: str | bytes) -> InFrame | None:
    """Return the frame in what a node said; None for one of a type that a later version brings.

    Raises:
        ValueError: it is no frame.
    """
    try:
        try:
            return _decoder.decode(text)
        except msgspec.ValidationError:
            if _type_decoder.decode(text).type not in _KNOWN:
                return None
            return _read_any_number(text)
    except RecursionError as exc:
        raise ValueError("it goes too deep") from exc


def _read_any_number(text: str | bytes) -> InFrame:
    """Return the frame in a text with a number that is beyond what msgspec takes, such as 1e999.

    JSON has no bounds, so a message may hold one. Whoever gave up at it would give up again at
    each replay. Browsers take the nearest number that they have, and so does this.
    """
    frame: InFrame = msgspec.convert(json.loads(text, parse_int=_integer), InFrame)
    return frame


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def write(frame: SendFrame) -> str:
    """Return a send as it goes to the node."""
    return _encoder.encode(frame).decode()


def acknowledge(offset: str) -> str:
    """Return the frame that says: everything up to `offset` was handled."""
    return _encoder.encode(_AckFrame(offset=offset)).decode()


def acknowledge_one(message: str) -> str:
    """Return the frame that says: the message of this id was handled."""
    return _encoder.encode(_AckFrame(id=message)).decode()


def refresh(token: str) -> str:
    """Return the frame that says: this is our new token."""
    return _encoder.encode(_RefreshFrame(token)).decode()
