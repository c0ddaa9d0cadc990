"""Somebody who watches nodes, as Prometheus does, but once a second."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from scripts.measuring.http import HOST, request

PERIOD_S = 1.0
_DEADLINE_S = 5.0
_LINE = b"\nswitchboard_sessions "


class Scraper:
    """Asks nodes for their metrics once a second, for the length of an `async with` block."""

    def __init__(self) -> None:
        self._ports: list[int] = []
        self._task: asyncio.Task[None] | None = None
        self.answered = 0

    def watch(self, ports: Sequence[int]) -> None:
        """Ask the nodes at these ports from now on, until one of them is gone."""
        self._ports += ports

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._ask_forever(), name="scraper")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if error is None and not self._task.cancelled():
            self._task.result()

    async def _ask_forever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            for port in tuple(self._ports):
                try:
                    page = await _page(port)
                except OSError:  # the cluster has ended
                    self._ports.remove(port)
                    continue
                if _LINE not in page:
                    raise RuntimeError(f"no metrics at port {port}: {page[:200]!r}")
                self.answered += 1


async def _page(port: int) -> bytes:
    async with asyncio.timeout(_DEADLINE_S):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(request("GET", "/metrics", f"{HOST}:{port}", b""))
            return await reader.read()
        finally:
            writer.close()
