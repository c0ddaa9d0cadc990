"""A server that greets as a store does and then says what the test tells it, true or not."""

import asyncio
from types import TracebackType
from typing import Final, Self

from tests.support.proxy import value_end

WELCOME: Final = b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n"
OK: Final = b"+OK\r\n"


class FakeStore:
    """Takes connections on a free port; use it as an async context manager.

    `said` holds the commands of all connections, in order.

    Args:
        answers: a text that occurs in a command -> what is answered; anything else gets silence.
    """

    def __init__(self, answers: dict[bytes, bytes] | None = None) -> None:
        self.answers = {b"HELLO": WELCOME, b"SETINFO": OK} | (answers or {})
        self.said: list[bytes] = []
        self.ended = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
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
        self._server = None
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # connection_lost of what was aborted comes in the next round

    @property
    def url(self) -> str:
        """Return the address for clients."""
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def connections(self) -> int:
        """Return how many connections there have been."""
        return len(self._writers)

    def say(self, data: bytes) -> None:
        """Send bytes on the newest connection, asked or not."""
        self._writers[-1].write(data)

    def hang_up(self) -> None:
        """End the newest connection, after what was said."""
        self._writers[-1].close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it was on its way in when the door was closed
            writer.transport.abort()
            return
        self._writers.append(writer)
        task = asyncio.create_task(self._serve(reader, writer), name="fake store")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        try:
            while data := await reader.read(65_536):
                buffer += data
                while buffer and (end := value_end(buffer, 0)) > 0:
                    command = bytes(buffer[:end])
                    del buffer[:end]
                    self.said.append(command)
                    for text, answer in self.answers.items():
                        if text in command:
                            writer.write(answer)
                            break
        except ConnectionError:
            pass
        self.ended += 1
        writer.transport.abort()
