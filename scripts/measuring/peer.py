"""The child's end of the pipe: a request a line in, an answer a line out, both JSON.

A child ends when its stdin does, so it does not outlive a runner that was killed.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

Request = dict[str, Any]
Handler = Callable[[Request], Awaitable[Request]]

STORE_URL = "SWITCHBOARD_REDIS__URL"  # in the environment: anybody can read an argument list
MAX_LINE_BYTES = 64 * 1024 * 1024


def say(answer: Request) -> None:
    """Write one line to the runner; the pipe blocks if it is slow, and nothing runs meanwhile."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def serve(handlers: Mapping[str, Handler], ready: Request) -> None:
    """Answer requests one after the other until stdin ends.

    Args:
        handlers: what to do for each `op`; an exception becomes the answer `{"error": ...}`.
        ready: the first line, said before any request is read.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(ready)
    while line := await reader.readline():
        request = msgspec.json.decode(line, type=Request)
        try:
            answer = await handlers[request["op"]](request)
        except Exception as exc:  # noqa: BLE001 - the runner must hear of it, whatever it is
            answer = {"error": describe(exc)}
        say(answer)


def describe(error: Exception) -> str:
    """Return an error as one line; of a group, the first one in it."""
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return f"{type(first).__name__}: {first}"
