"""A request to a node on this machine and its answer; a connection each, which is enough here."""

import asyncio
from typing import Any

import msgspec

HOST = "127.0.0.1"
OK = 200


async def get(port: int, path: str) -> tuple[int, Any]:
    """Return status and JSON of a GET. Raises as `ask`."""
    return await ask(port, "GET", path)


async def post(port: int, path: str, body: Any) -> tuple[int, Any]:
    """Return status and JSON of a POST. Raises as `ask`."""
    return await ask(port, "POST", path, msgspec.json.encode(body))


async def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """Return the status of the answer, and its body as JSON values; None for an empty one.

    Raises:
        OSError: nobody answers there, or not with HTTP.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request(method, path, f"{HOST}:{port}", body))
        answer = await reader.read()
    finally:
        writer.close()
    return parse(answer)


def request(method: str, path: str, host: str, body: bytes) -> bytes:
    """Return the bytes of a request after whose answer the connection closes."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
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
