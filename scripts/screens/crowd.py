"""People who talk, so that there is something to see: clients of the SDK, in this process."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from router.client import Client, Message
from router.errors import SwitchboardError

_WAVE_S: Final = 45.0
_NAMES: Final = ("ada", "ben", "cleo", "dan", "eva", "finn", "gus", "hana", "ivan", "jo", "kim")


class Crowd:
    """Users on all nodes who write to one another, now more and now less.

    Args:
        urls: of the nodes' WebSockets.
        users: how many there are.
        per_second: messages of all of them together, on average.
    """

    def __init__(self, urls: Sequence[str], users: int, per_second: float) -> None:
        self._urls = list(urls)
        self._names = [f"{_NAMES[i % len(_NAMES)]}-{i // len(_NAMES) + 1}" for i in range(users)]
        self._pause_s = users / per_second
        self._clients: list[Client] = []
        self._stack = AsyncExitStack()
        self._talking: asyncio.Task[None] | None = None

    async def arrive(self) -> None:
        """Connect everybody, spread over the nodes."""
        for name, first in zip(self._names, itertools.cycle(range(len(self._urls)))):
            turned = [*self._urls[first:], *self._urls[:first]]
            self._clients.append(await self._connect(name, "web", turned))
        # One with two devices, to be looked up.
        await self._connect("alice", "web", self._urls[:2])
        await self._connect("alice", "phone", self._urls[1::-1])

    async def _connect(self, name: str, device: str, urls: Sequence[str]) -> Client:
        client = Client(urls, user=name, device=device, on_message=_read)
        await self._stack.enter_async_context(client)
        await client.wait_open()
        return client

    def talk(self) -> None:
        """Begin to write to one another."""
        self._talking = asyncio.create_task(self._talk())

    async def fall_silent(self) -> None:
        """Stop writing; stay connected. Raises what ended the talk early."""
        talking = self._talking
        assert talking is not None
        talking.cancel()
        await asyncio.wait([talking])
        if not talking.cancelled():
            await talking

    async def leave(self) -> None:
        """Disconnect everybody."""
        await self._stack.aclose()

    async def _talk(self) -> None:
        async with asyncio.TaskGroup() as group:
            for client in self._clients:
                group.create_task(self._write(client))

    async def _write(self, client: Client) -> None:
        while True:
            tide = 1 + 0.5 * math.sin(2 * math.pi * time.monotonic() / _WAVE_S)
            await asyncio.sleep(random.expovariate(tide / self._pause_s))
            try:
                await self._send(client)
            except SwitchboardError:
                continue  # its node has just been lost; it is on the way to another

    async def _send(self, client: Client) -> None:
        text: Any = {"text": "Shall we meet at eight?", "n": random.randrange(1_000)}
        chance = random.random()
        if chance < 0.06:
            await client.send(f"away-{random.randrange(200)}", text, durable=True)
        elif chance < 0.13:
            await client.send(f"gone-{random.randrange(200)}", text)
        else:
            confirm = "written" if chance < 0.3 else "delivered"
            await client.send(random.choice(self._names), text, confirm=confirm)


def _read(message: Message) -> None:
    """Read it; there is nothing to do."""
