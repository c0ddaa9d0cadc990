"""Requests byte by byte, as a stranger would write them, to a node that asks who they are."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tornado.httputil import HTTPHeaders

from node.auth import apikeys
from tests.support.tokens import SECRET

_UPGRADE: Final = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
_DEADLINE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a node answered."""

    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def document(self) -> Any:
        """Return the JSON of the body."""
        return json.loads(self.body)


async def ask(address: str, method: str, path: str, *lines: str, body: Any = None) -> Told:
    """Make one request.

    Args:
        address: `host:port`.
        method, path: of it.
        lines: of the head; `Host` is there already, unless one of them begins with it.
        body: as JSON; None for none.
    """
    host, _, port = address.rpartition(":")
    payload = b"" if body is None else json.dumps(body).encode()
    hosts = [] if any(line.lower().startswith("host:") for line in lines) else [f"Host: {address}"]
    head = [f"{method} {path} HTTP/1.1", *hosts, *lines]
    if payload or method == "POST":
        head.append(f"Content-Length: {len(payload)}")
    async with asyncio.timeout(_DEADLINE_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + payload)
            return await _answer(reader, method)
        finally:
            writer.close()
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, method: str) -> Told:
    start, _, rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").partition("\r\n")
    headers = HTTPHeaders.parse(rest)
    length = 0 if method == "HEAD" else int(headers.get("Content-Length", "0"))
    body = await reader.readexactly(length)
    return Told(int(start.split(" ")[1]), headers, body)


async def knock(address: str, query: str, *lines: str) -> Told:
    """Ask for a WebSocket, and leave; 101 for one that would have been let in."""
    return await ask(address, "GET", f"/ws{query}", *_UPGRADE, *lines)


def bearer(token: str) -> str:
    """Return the header that carries a token or a key."""
    return f"Authorization: Bearer {token}"


def guarded(folder: Path, **scopes: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return settings of a node that asks who comes, and the keys that count there.

    Args:
        folder: where the file of the keys may lie.
        scopes: name of a key -> its scopes, with commas.
    """
    keys = {name: apikeys.make(name) for name in scopes}
    file = folder / "keys.toml"
    file.write_text(
        "\n".join(
            f'[[key]]\nname = "{name}"\nsha256 = "{apikeys.digest_of(key).hex()}"\n'
            f"scopes = {scopes[name].split(',')}"
            for name, key in keys.items()
        )
    )
    overrides: dict[str, Any] = {
        "auth": {"mode": "jwt", "secret": SECRET},
        "api": {"keys_file": str(file)},
    }
    return overrides, keys
