"""Users who go where they are told: connected again after each goodbye, and nothing forgotten."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

_AGAIN_S: Final = 0.1
_HANDSHAKE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Move:
    """One goodbye and what followed.

    Args:
        node: who said it.
        told_at: when it was read, by the event loop's clock.
        after_s: when the user was asked to come back, from then on.
        code: of the close.
        back_at: when the user was welcomed again.
    """

    node: str
    told_at: float
    after_s: float
    code: int
    back_at: float


@dataclass(slots=True)
class Roamer:
    """One user.

    Args:
        user: who.
        places: node name -> address; the test keeps it right.
        received: the data of every message, repeats included.
        fell: offsets that did not rise within a connection; there must be none.
    """

    user: str
    places: Mapping[str, str]
    received: list[Any] = field(default_factory=list)
    fell: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    node: str = ""
    refused: int = 0
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """Say goodbye."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        told: tuple[str, float, float, int] | None = None
        while True:
            async with await self._connect(avoid=told[0] if told else "") as connection:
                greeting = json.loads(await connection.recv())
                assert greeting["type"] == "welcome", greeting
                if told is not None:
                    self.moves.append(Move(*told, back_at=loop.time()))
                self.node = greeting["node"]
                told_at, after_s = await self._read(connection)
                code = connection.close_code or 1006
            told = (self.node, told_at, after_s, code)
            self.node = ""
            await asyncio.sleep(after_s)

    async def _connect(self, avoid: str) -> ClientConnection:
        """Return a connection to some node, with luck not the one that has just said goodbye."""
        while True:
            others = [name for name in self.places if name != avoid] or list(self.places)
            address = self.places[random.choice(others)]
            try:
                return await connect(
                    f"ws://{address}/ws?user={self.user}",
                    proxy=None,
                    compression=None,
                    ping_interval=None,
                    open_timeout=_HANDSHAKE_S,
                )
            except (OSError, InvalidHandshake):
                self.refused += 1
                await asyncio.sleep(random.uniform(0, _AGAIN_S))

    async def _read(self, connection: ClientConnection) -> tuple[float, float]:
        """Note messages until the connection ends; return when it was told to go, and how long."""
        loop = asyncio.get_running_loop()
        told_at, after_s, last = 0.0, 0.0, (0, 0)
        try:
            while True:
                frame = json.loads(await connection.recv())
                if frame["type"] == "message":
                    self.received.append(frame["data"])
                    if "offset" in frame:
                        milliseconds, _, number = frame["offset"].partition("-")
                        before, last = last, (int(milliseconds), int(number))
                        if last <= before:
                            self.fell.append(frame["offset"])
                elif frame["type"] == "goodbye":
                    told_at, after_s = loop.time(), frame["reconnect_after_ms"] / 1_000
        except ConnectionClosed:
            return told_at or loop.time(), after_s
