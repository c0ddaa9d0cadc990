"""WebSocket clients: the one of `websockets`, and one that reads only when it is told to."""

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any, Self, cast

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from node.frames import JSON_PROTOCOL, MSGPACK_PROTOCOL

DEADLINE_S = 30.0
Received = dict[str, Any]


class Client:
    """A client made of the `websockets` library: nobody of ours wrote how it speaks.

    Args:
        connection: open.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.greeting: Received = {}

    @classmethod
    async def open(
        cls,
        address: str,
        user: str,
        *,
        device: str = "default",
        protocol: str | None = JSON_PROTOCOL,
        welcomed: bool = True,
        since: str = "",
        ack: str = "auto",
        token: str | None = None,
    ) -> Self:
        """Connect `user` at `host:port`; with `welcomed`, wait for the first frame too.

        With a `token`, that says who it is, and not the query.
        """
        who = f"user={user}&" if token is None else ""
        connection = await connect(
            f"ws://{address}/ws?{who}device={device}&since={since}&ack={ack}",
            additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
            subprotocols=[Subprotocol(protocol)] if protocol else None,
            proxy=None,
            compression=None,
            ping_interval=None,
            max_size=None,
            max_queue=None,
        )
        client = cls(connection)
        if welcomed:
            client.greeting = await client.expect("welcome")
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def session(self) -> str:
        """Return the id the node gave this session."""
        return cast(str, self.greeting["session"])

    @property
    def node(self) -> str:
        """Return the name of the node that welcomed it."""
        return cast(str, self.greeting["node"])

    async def read(self, within_s: float = DEADLINE_S) -> Received:
        """Return the next frame."""
        async with asyncio.timeout(within_s):
            payload = await self.connection.recv()
        if self.connection.subprotocol == MSGPACK_PROTOCOL:
            assert isinstance(payload, bytes)
            return cast(Received, msgspec.msgpack.decode(payload))
        assert isinstance(payload, str)
        return cast(Received, json.loads(payload))

    async def expect(self, kind: str, within_s: float = DEADLINE_S) -> Received:
        """Return the next frame, which must be of this kind."""
        frame = await self.read(within_s)
        assert frame["type"] == kind, frame
        return frame

    async def messages(self, count: int) -> list[Any]:
        """Return the data of the next `count` frames, all messages."""
        return [(await self.expect("message"))["data"] for _ in range(count)]

    async def send(self, **frame: Any) -> None:
        """Send one frame."""
        if self.connection.subprotocol == MSGPACK_PROTOCOL:
            await self.connection.send(msgspec.msgpack.encode(frame))
        else:
            await self.connection.send(json.dumps(frame))

    async def ask(self, **frame: Any) -> Received:
        """Send one frame and return the next one that carries its ref; others must not come."""
        await self.send(**frame)
        answer = await self.read()
        assert answer.get("ref") == frame.get("ref"), answer
        return answer

    async def nothing_came(self) -> bool:
        """Say whether nothing waits here, with a `ping` frame as the end of what may have come."""
        await self.send(type="ping")
        frame = await self.read()
        return bool(frame["type"] == "pong")

    async def close(self) -> None:
        """Say goodbye. Idempotent."""
        await self.connection.close()

    async def cut(self) -> None:
        """End the connection without a word, as a network does."""
        self.connection.transport.abort()
        await self.connection.wait_closed()

    async def closed(self, within_s: float = DEADLINE_S) -> tuple[int, str, list[Received]]:
        """Wait until the server closes; return the code, the reason, and the last frames."""
        frames: list[Received] = []
        try:
            while True:
                frames.append(await self.read(within_s))
        except ConnectionClosed as exc:
            if exc.rcvd is None:
                return 1006, "", frames
            return exc.rcvd.code, exc.rcvd.reason, frames


class RawClient:
    """A client that reads when it is told to and not before; `websockets` only does the parsing.

    Args:
        address: `host:port`.
        path: with its query.
        protocol: the subprotocol to offer; None for none.
        receive_buffer_bytes: of its socket; None for what the system gives.
        headers: more of them for the handshake.
    """

    def __init__(
        self,
        address: str,
        path: str,
        *,
        protocol: str | None = None,
        receive_buffer_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._headers = dict(headers or {})
        offered = [Subprotocol(protocol)] if protocol else None
        self._protocol = ClientProtocol(
            parse_uri(f"ws://{address}{path}"), subprotocols=offered, max_size=None
        )
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._frames: list[Frame] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            await loop.sock_connect(self._socket, self._address)
            request = self._protocol.connect()
            request.headers.update(self._headers)
            self._protocol.send_request(request)
            await self.answer()
            while self._protocol.state.name == "CONNECTING":
                await self._receive()
        assert self._protocol.handshake_exc is None, self._protocol.handshake_exc
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """End the connection without a word."""
        self._socket.close()

    async def answer(self) -> None:
        """Send what the protocol wants to say: the handshake, pongs, the close frame."""
        loop = asyncio.get_running_loop()
        for data in self._protocol.data_to_send():
            if data:
                await loop.sock_sendall(self._socket, data)

    async def text(self, payload: str) -> None:
        """Send a text frame, and what else there is to say."""
        self._protocol.send_text(payload.encode())
        await self.answer()

    async def say(self, data: bytes) -> None:
        """Send these bytes as they are."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def frame(self) -> Frame:
        """Return the next frame of any kind; nothing is answered."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._frames:
                if not await self._receive():
                    raise ConnectionError("the server has ended the connection")
        return self._frames.pop(0)

    async def message(self) -> Received:
        """Return the next data frame; pings stay unanswered."""
        while True:
            frame = await self.frame()
            if frame.opcode is Opcode.TEXT:
                return cast(Received, json.loads(bytes(frame.data)))

    async def _receive(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
        if not data:
            return False
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._frames += [event for event in events if isinstance(event, Frame)]
        return True


def parse_frames(data: bytes) -> list[Frame]:
    """Return the frames that `websockets` finds in what a server wrote; it must all be frames."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames = []
    while reader.buffer:
        try:
            next(Frame.parse(reader.read_exact, mask=False))
        except StopIteration as parsed:
            frames.append(cast(Frame, parsed.value))
    return frames
