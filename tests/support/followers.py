"""A client that follows its mailbox from connection to connection, as the SDKs do."""

import contextlib
from typing import Any

from websockets.exceptions import ConnectionClosed

from router.model import START, Offset
from tests.support.clients import Client, Received


class Follower:
    """One device of a user: it remembers the last offset it has read, and goes on from there.

    Every message it reads is checked: offsets rise strictly within a connection.

    Args:
        user: whose.
        device: which.
        asks: whether it says where to go on; else the node goes by the device's cursor.
        ack: `auto` or `manual`.
    """

    def __init__(
        self, user: str, device: str = "web", *, asks: bool = True, ack: str = "auto"
    ) -> None:
        self.user = user
        self.device = device
        self._asks = asks
        self._ack = ack
        self.since: Offset | None = None
        self.frames: list[Received] = []
        self.clients: list[Client] = []

    @property
    def client(self) -> Client:
        """Return the present connection."""
        return self.clients[-1]

    @property
    def resumed(self) -> bool:
        """Say whether the node could go on where it was asked to."""
        return bool(self.client.greeting["resumed"])

    @property
    def data(self) -> list[Any]:
        """Return the data of all it has read, on every connection."""
        return [frame["data"] for frame in self.frames]

    async def connect(self, address: str) -> None:
        """Connect at `host:port`, beside or after the connection before."""
        since = str(self.since) if self._asks and self.since is not None else ""
        client = await Client.open(
            address, self.user, device=self.device, since=since, ack=self._ack
        )
        self.clients.append(client)
        self.since = self._last = Offset.parse(client.greeting["offset"])

    async def read(self, count: int = 1) -> list[Any]:
        """Read the next `count` messages; return their data."""
        for _ in range(count):
            self._take(await self.client.expect("message"))
        return self.data[len(self.data) - count :]

    async def read_to(self, count: int) -> list[Any]:
        """Read until it has read `count` messages in all; return the data of all."""
        if len(self.frames) < count:
            await self.read(count - len(self.frames))
        return self.data

    async def drain(self) -> None:
        """Read what is left on a connection that has ended."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self.client.read()
                if frame["type"] == "message":
                    self._take(frame)

    async def close(self) -> None:
        """Say goodbye on every connection."""
        for client in self.clients:
            await client.close()

    def _take(self, frame: Received) -> None:
        self.frames.append(frame)
        if "offset" in frame:
            offset = Offset.parse(frame["offset"])
            assert offset > self._last, f"{offset} after {self._last}"
            self.since = self._last = offset

    _last = START
