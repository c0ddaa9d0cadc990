"""A site that publishes keys, over real HTTP on this machine."""

import asyncio
from types import TracebackType
from typing import Any, Self

from scripts.measuring.ports import free_port_range
from tests.support.tokens import jwks


class KeyServer:
    """Answers every request with what the test says; use it as an async context manager.

    `body`, `status` and `headers` may be changed at any time. While `silent` it never answers.

    Args:
        keys: of the JWK set that it publishes first.
    """

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.body = jwks(*keys)
        self.status = "200 OK"
        self.headers = ""
        self.silent = False
        self.asked = 0
        self._server: asyncio.Server | None = None
        self._port = free_port_range(1)

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.go_away()

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self._port}/jwks.json"

    async def go_away(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def come_back(self) -> None:
        """Take connections, again."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # it has given up before it asked
            writer.close()
            return
        if self.silent:
            await reader.read()
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n{self.headers}\r\n"
        writer.write(head.encode() + self.body)
        writer.close()
