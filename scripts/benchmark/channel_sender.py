"""Program: the sender of the yardstick `channel`, with redis-py.

In the mode `channel`, sends that wait in the same moment leave as one pipeline of PUBLISHes,
without MULTI; while one pipeline is in flight the next one fills. No timers. That is how the
product's sender joins its pushes too, so neither is helped by larger batches. In the mode
`one-by-one` each send is a PUBLISH of its own on a connection from redis-py's pool, which is what
most programs do: the same nodes then wake more often, for less at a time.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from scripts.benchmark.channel_node import channel_of
from scripts.benchmark.options import ONE_BY_ONE
from scripts.measuring.load import serve_sender
from scripts.measuring.peer import STORE_URL
from scripts.measuring.plan import Plan, message_frame, user_name

MAX_CONNECTIONS = 1024  # redis-py's own limit of 100 fails the sends above it


class Publisher:
    """Publishes, joined into pipelines or one by one.

    Args:
        redis: the store.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[str, bytes, asyncio.Future[int]]] = []
        self._filled = asyncio.Event()

    async def send(self, plan: Plan, n: int, user: int, how: str) -> str:
        """Publish message `n` and return `accepted` if a node was subscribed, else `offline`."""
        frame = message_frame(plan, n, user, time.time())
        channel = channel_of(user_name(user))
        if how == ONE_BY_ONE:
            return "accepted" if await self._redis.publish(channel, frame) else "offline"
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((channel, frame, answer))
        self._filled.set()
        return "accepted" if await answer else "offline"

    async def flush_for_ever(self) -> None:
        """Send what waits, one pipeline at a time."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            batch, self._waiting = self._waiting, []
            pipeline = self._redis.pipeline(transaction=False)
            for channel, frame, _ in batch:
                pipeline.publish(channel, frame)
            receivers = await pipeline.execute()
            for (_, _, answer), count in zip(batch, receivers, strict=True):
                if not answer.done():
                    answer.set_result(count)


async def main() -> None:
    """Serve the runner until it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--progress", required=True, type=Path)
    given = parser.parse_args()
    async with Redis.from_url(os.environ[STORE_URL], max_connections=MAX_CONNECTIONS) as redis:
        publisher = Publisher(redis)
        flusher = asyncio.create_task(publisher.flush_for_ever())
        await serve_sender(publisher.send, given.progress)
        flusher.cancel()


if __name__ == "__main__":
    uvloop.run(main())
