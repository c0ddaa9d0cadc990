"""Gives messages to the program's `on_message`, one after the other."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable

from router.client.words import ClientClosed, Message

OnMessage = Callable[[Message], Awaitable[None] | None]
"""Told each message, one after the other; when it has returned, the message counts as handled."""


class Handler:
    """A task of its own for `on_message`.

    Args:
        messages: of the client.
        on_message: of the program.
        failed: told what it raised; nothing is handled after that.
    """

    def __init__(
        self,
        messages: AsyncIterator[Message],
        on_message: OnMessage,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._messages = messages
        self._on_message = on_message
        self._failed = failed
        self._task = asyncio.create_task(self._run(), name="on_message")
        self._task.add_done_callback(self._ended)

    @property
    def is_current(self) -> bool:
        """Say whether it is `on_message` that runs just now."""
        return asyncio.current_task() is self._task

    async def finish(self, within_s: float) -> None:
        """Wait until it has ended; the caller has seen to it that no more messages come."""
        await asyncio.wait([self._task], timeout=within_s)

    async def stop(self) -> None:
        """End it, in the middle of a message if need be. Idempotent."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        with contextlib.suppress(ClientClosed):
            async for message in self._messages:
                going_on = self._on_message(message)
                if inspect.isawaitable(going_on):
                    await going_on

    def _ended(self, task: "asyncio.Task[None]") -> None:
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failed(failure)
