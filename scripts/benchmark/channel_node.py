"""Program: a node of the yardstick `channel`, written as people ordinarily write it, and well.

Tornado on uvloop, redis-py's asyncio Pub/Sub with hiredis, one channel per user, payloads passed
on as they came (no decoding in the node), `write_message`. It stores and confirms nothing.
"""

import argparse
import asyncio
import os
from contextlib import suppress

import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from scripts.measuring.peer import STORE_URL, serve

PREFIX = "bench:user:"
ALIVE = "bench:alive"  # a Pub/Sub reader ends when it has no subscription at all


_leaving: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly


def channel_of(user: str) -> str:
    """Return the name of a user's channel."""
    return PREFIX + user


class Hub:
    """The users of this node and their subscription.

    Args:
        pubsub: the node's one Pub/Sub connection.
    """

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._sockets: dict[bytes, set[Socket]] = {}

    async def join(self, user: str, socket: "Socket") -> None:
        """Take a socket in and subscribe to its user."""
        self._sockets.setdefault(channel_of(user).encode(), set()).add(socket)
        await self._pubsub.subscribe(channel_of(user))

    async def leave(self, user: str, socket: "Socket") -> None:
        """Forget a socket, and its user's channel with the last one."""
        sockets = self._sockets.get(channel_of(user).encode(), set())
        sockets.discard(socket)
        if not sockets:
            self._sockets.pop(channel_of(user).encode(), None)
            await self._pubsub.unsubscribe(channel_of(user))

    async def read_for_ever(self) -> None:
        """Write every message to the sockets of its channel."""
        async for message in self._pubsub.listen():
            if message["type"] == "message":
                for socket in tuple(self._sockets.get(message["channel"], ())):
                    socket.push(message["data"])
            elif message["type"] == "subscribe":
                for socket in self._sockets.get(message["channel"], ()):
                    socket.push(b'{"type":"welcome"}')


class Socket(WebSocketHandler):
    """One client."""

    def initialize(self, hub: Hub) -> None:
        """Take the node's hub."""
        self._hub = hub
        self._user = ""

    async def open(self, *args: str, **kwargs: str) -> None:
        """Join the hub."""
        self.set_nodelay(True)
        self._user = self.get_query_argument("user")
        await self._hub.join(self._user, self)

    def push(self, text: bytes) -> None:
        """Write one frame; a socket that has just closed is left to `on_close`."""
        with suppress(WebSocketClosedError):
            self.write_message(text)

    def on_message(self, message: str | bytes) -> None:
        """Clients of the benchmark say nothing."""

    def on_close(self) -> None:
        """Leave the hub."""
        leaving = asyncio.create_task(self._hub.leave(self._user, self))
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)


async def main() -> None:
    """Serve clients until the runner goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True, type=int)
    given = parser.parse_args()
    pubsub = Redis.from_url(os.environ[STORE_URL]).pubsub()
    await pubsub.subscribe(ALIVE)
    hub = Hub(pubsub)
    reader = asyncio.create_task(hub.read_for_ever())
    application = Application([(r"/ws", Socket, {"hub": hub})], websocket_ping_interval=20)
    server = HTTPServer(application)
    server.listen(given.port, "127.0.0.1")
    await serve({}, {"ready": True})
    reader.cancel()


if __name__ == "__main__":
    uvloop.run(main())
