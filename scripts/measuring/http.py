"""A request to a node and its answer; a connection each, which is enough here."""

from typing import Any

import msgspec

from scripts.measuring.place import HERE, Place

HOST = HERE.host
OK = 200


async def get(port: int, path: str, place: Place = HERE) -> tuple[int, Any]:
    """Return status and JSON of a GET. Raises as `ask`."""
    return await ask(port, "GET", path, place=place)


async def post(
    port: int, path: str, body: Any, *, place: Place = HERE, key: str = ""
) -> tuple[int, Any]:
    """Return status and JSON of a POST. Arguments and errors as of `ask`."""
    return await ask(port, "POST", path, msgspec.json.encode(body), place=place, key=key)


async def ask(
    port: int, method: str, path: str, body: bytes = b"", *, place: Place = HERE, key: str = ""
) -> tuple[int, Any]:
    """Return the status of the answer, and its body as JSON values; None for an empty one.

    Args:
        port, place: where the node is.
        method, path, body: the request.
        key: of the API; "" for none.

    Raises:
        OSError: nobody answers there, or not with HTTP.
    """
    reader, writer = await place.connect(port)
    try:
        writer.write(request(method, path, place.at(port), body, key))
        answer = await reader.read()
    finally:
        writer.close()
    return parse(answer)


def request(method: str, path: str, host: str, body: bytes, key: str = "") -> bytes:
    """Return the bytes of a request after whose answer the connection closes."""
    known = f"Authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{known}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def parse(answer: bytes) -> tuple[int, Any]:
    """Return status and JSON of an answer.

    Raises:
        OSError: it is not one.
    """
    head, end, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not end or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise OSError(f"not an HTTP answer: {answer[:80]!r}")
    try:
        return int(words[1]), msgspec.json.decode(body) if body else None
    except msgspec.DecodeError as exc:
        raise OSError(f"not JSON: {body[:80]!r}") from exc
