"""Program: a node of the yardstick `bare`: prebuilt frames into sockets, and nothing else.

Tornado on uvloop accepts the WebSockets; frames are built before the cell starts and written
through the stream, one write each. No Redis, no sender: the node makes the load itself. This is
what the sockets alone cost, as long as every frame is a write of its own through Tornado.
"""

import argparse
import asyncio
import gc
import time
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from scripts.measuring.peer import Request, serve
from scripts.measuring.plan import Plan, message_frame, user_name
from scripts.measuring.websocket import server_text


class Socket(WebSocketHandler):
    """One client."""

    def initialize(self, streams: dict[str, IOStream]) -> None:
        """Take the node's streams."""
        self._streams = streams

    def open(self, *args: str, **kwargs: str) -> None:
        """Welcome the client and keep its stream for direct writes."""
        self.set_nodelay(True)
        self.write_message(b'{"type":"welcome"}')
        assert self.ws_connection is not None
        stream = self.ws_connection.stream
        assert stream is not None
        self._streams[self.get_query_argument("user")] = stream

    def on_message(self, message: str | bytes) -> None:
        """Clients of the benchmark say nothing."""


class Writer:
    """The requests this program answers.

    Args:
        streams: user id -> stream of that user's WebSocket.
    """

    def __init__(self, streams: dict[str, IOStream]) -> None:
        self._streams = streams
        self._frames: list[tuple[int, IOStream, bytes]] = []
        self._sent_ns: dict[int, int] = {}

    async def prepare(self, request: Request) -> Request:
        """Build the frames of this node's users."""
        plan = Plan.load(request["plan"])
        self._sent_ns = {}
        self._frames = [
            (n, self._streams[name], server_text(message_frame(plan, n, user, time.time())))
            for n, user in enumerate(plan.recipients())
            if (name := user_name(user)) in self._streams
        ]
        gc.collect()
        gc.freeze()  # the collector shall not walk a stock that only this yardstick holds
        return {}

    async def go(self, request: Request) -> Request:
        """Write them: a batch a loop turn, or each at its place in the common rate."""
        async with asyncio.timeout(request["limit_s"]):
            if request["rate"]:
                await self._paced(request["rate"])
            else:
                await self._full(request["outstanding"])
        return {"launched": len(self._sent_ns)}

    async def collect(self, request: Request) -> Request:
        """Hand over when each message was written."""
        answer: dict[str, Any] = {"sent_ns": list(self._sent_ns.items())}
        return answer

    async def _full(self, batch: int) -> None:
        for start in range(0, len(self._frames), batch):
            for n, stream, frame in self._frames[start : start + batch]:
                self._sent_ns[n] = time.monotonic_ns()
                stream.write(frame)
            await asyncio.sleep(0)

    async def _paced(self, rate: float) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for n, stream, frame in self._frames:
            delay = begin + n / rate - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            self._sent_ns[n] = time.monotonic_ns()
            stream.write(frame)


async def main() -> None:
    """Serve clients until the runner goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True, type=int)
    given = parser.parse_args()
    streams: dict[str, IOStream] = {}
    application = Application([(r"/ws", Socket, {"streams": streams})], websocket_ping_interval=20)
    HTTPServer(application).listen(given.port, "127.0.0.1")
    writer = Writer(streams)
    handlers = {"prepare": writer.prepare, "go": writer.go, "collect": writer.collect}
    await serve(handlers, {"ready": True})


if __name__ == "__main__":
    uvloop.run(main())
