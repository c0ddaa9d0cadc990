"""Text between the terminal and us: arguments in, times and counts out."""

from datetime import datetime

import msgspec

from router.errors import InvalidRequest


def utf8(value: str, name: str) -> bytes:
    """Return an argument's bytes.

    Args:
        value: as Python decoded it; bytes that are not UTF-8 are lone surrogates in it.
        name: of the argument, for the error.

    Raises:
        InvalidRequest: it is not UTF-8 text.
    """
    try:
        return value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest(name, "is not UTF-8 text") from exc


def as_data(text: bytes) -> msgspec.Raw:
    """Return text as a JSON value: as it is if it parses, else as a JSON string.

    Raises:
        InvalidRequest: it is not UTF-8 text.
    """
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        try:
            return msgspec.Raw(msgspec.json.encode(text.decode()))
        except UnicodeDecodeError as exc:
            raise InvalidRequest("data", "is not UTF-8 text") from exc
    return msgspec.Raw(text)


def when(seconds: float | None) -> str:
    """Return a time for people, in their time zone.

    Args:
        seconds: since 1970; None for a time nobody knows.
    """
    if seconds is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):  # another hand wrote into the registry
        return str(seconds)


def count(number: int, noun: str) -> str:
    """Return `1 session`, `2 sessions`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
