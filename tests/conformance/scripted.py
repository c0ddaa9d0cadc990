"""A WebSocket server that says what a scenario wants it to say, to a client of an SDK."""

import asyncio
import json
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from node.auth.bearer import SUBPROTOCOL
from tests.conformance.drivers import DEADLINE_S
from tests.support.waiting import eventually

Frame = dict[str, Any]
_PROTOCOL: Final = Subprotocol("switchboard.v1.json")


def _token(headers: Headers) -> str:
    """Return the token of a handshake, wherever a client may put it; "" for none."""
    offered = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
    entries = [entry.strip() for entry in offered]
    tokens = [e.removeprefix(SUBPROTOCOL) for e in entries if e.startswith(SUBPROTOCOL)]
    tokens += [line.removeprefix("Bearer ") for line in headers.get_all("Authorization")]
    assert len(tokens) <= 1, "a client sends one token"
    return tokens[0] if tokens else ""


class Peer:
    """One client that has connected.

    Args:
        socket: open.
        pongs: whether `ping` frames are answered.
    """

    def __init__(self, socket: ServerConnection, *, pongs: bool) -> None:
        self._socket = socket
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.pongs = pongs
        self.pings = 0
        self.ended = asyncio.Event()
        assert socket.request is not None
        self.path = socket.request.path
        query = parse_qs(urlsplit(self.path).query)
        self.query = {name: values[-1] for name, values in query.items()}
        self.token = _token(socket.request.headers)

    async def welcome(self, **fields: Any) -> None:
        """Say that the session is there."""
        await self.say(
            "welcome",
            **{
                "session": "s1",
                "user": self.query.get("user", "alice"),
                "node": "n1",
                "device": self.query.get("device", "default"),
                "resumed": bool(self.query.get("since")),
                "offset": self.query.get("since", ""),
                "max_message_bytes": 65_536,
                **fields,
            },
        )

    async def say(self, type: str, **fields: Any) -> None:
        """Send a frame."""
        await self._socket.send(json.dumps({"type": type, **fields}))

    async def message(self, number: int, **fields: Any) -> None:
        """Send a durable message whose id, data and offset have this number."""
        offset = {"offset": f"{number}-0"}
        await self.plain_message(number, **{**offset, **fields})

    async def plain_message(self, number: int, **fields: Any) -> None:
        """Send a message that is not stored, whose id and data have this number."""
        common = {"id": f"m{number}", "from": "bob", "data": number, "sent_at": 1.5}
        await self.say("message", **{**common, **fields})

    async def hear(self, type: str, within_s: float = DEADLINE_S) -> Frame:
        """Return the client's next frame of a type; others are passed over."""
        async with asyncio.timeout(within_s):
            while True:
                frame = await self._frames.get()
                if frame["type"] == type:
                    return frame

    async def answer(self, send: Frame, outcome: str, **fields: Any) -> None:
        """Say what became of a send."""
        common = {"id": f"id-{send['ref']}", "user": send["to"], "outcome": outcome}
        await self.say("outcome", ref=send["ref"], **{**common, **fields})

    async def pinged(self, times: int) -> None:
        """Wait until the client has sent so many `ping` frames."""
        await eventually(lambda: self.pings >= times, DEADLINE_S, f"{times} pings")

    async def close(self, code: int, reason: str = "") -> None:
        """Close as a node does."""
        await self._socket.close(code, reason)

    def cut(self) -> None:
        """End the connection without a word."""
        self._socket.transport.abort()

    async def gone(self, within_s: float = DEADLINE_S) -> int:
        """Wait until the connection has ended; return the close code."""
        async with asyncio.timeout(within_s):
            await self.ended.wait()
        return self._socket.close_code or 1006

    async def serve(self) -> None:
        """Take what the client says until it has gone."""
        try:
            async for text in self._socket:
                frame = json.loads(text)
                if frame["type"] != "ping":
                    self._frames.put_nowait(frame)
                    continue
                self.pings += 1
                if self.pongs:
                    await self.say("pong")
        except ConnectionClosed:
            pass
        finally:
            self.ended.set()


class ScriptedServer:
    """Takes every client; use it as an async context manager.

    The scenario takes one client after the other with `accept`, and says everything to it itself.
    """

    def __init__(self) -> None:
        self._server: Server | None = None
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.pongs = True
        self.count = 0
        self.refusals = 0
        """How many handshakes to answer with 401 from now on."""

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._take,
            "127.0.0.1",
            0,
            process_request=self._refuse,
            subprotocols=[_PROTOCOL],
            ping_interval=None,
            close_timeout=1,
            compression=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Return its address."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/ws"

    def _refuse(self, socket: ServerConnection, request: Request) -> Response | None:
        if not self.refusals:
            return None
        self.refusals -= 1
        return socket.respond(HTTPStatus.UNAUTHORIZED, "no token that counts")

    async def _take(self, socket: ServerConnection) -> None:
        self.count += 1
        peer = Peer(socket, pongs=self.pongs)
        self._peers.put_nowait(peer)
        await peer.serve()

    async def accept(self, within_s: float = DEADLINE_S) -> Peer:
        """Return the next client that has connected; it was not welcomed yet."""
        async with asyncio.timeout(within_s):
            return await self._peers.get()

    async def welcomed(self, **fields: Any) -> Peer:
        """Return the next client, welcomed."""
        peer = await self.accept()
        await peer.welcome(**fields)
        return peer
