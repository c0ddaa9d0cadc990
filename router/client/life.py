"""The life of a client: started, kept connected, closed; and what it is doing now."""

import asyncio
from collections.abc import Callable
from typing import Final

from router.client.backlog import Backlog
from router.client.handler import Handler
from router.client.keeper import Keeper
from router.client.policy import BYE, LOST
from router.client.sends import Sends
from router.client.words import ClientClosed, Closed, Open, State, Waiting

_FINISH_S: Final = 5.0


class Life:
    """Owns the tasks of a client, and sees to it that it ends in order, whoever ends it.

    Args:
        backlog: ended with the client.
        sends: the same.
        on_state: of the program; None for nobody.
    """

    def __init__(
        self, backlog: Backlog, sends: Sends, on_state: Callable[[State], None] | None
    ) -> None:
        self._backlog = backlog
        self._sends = sends
        self._on_state = on_state
        self._news = asyncio.Event()
        self._handler: Handler | None = None
        self._staying: asyncio.Task[Closed] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._leaving = False
        self.state: State = Closed(BYE, "it was not started")
        self.failure: BaseException | None = None

    def enter(self, state: State) -> None:
        """It is doing something else now."""
        self.state = state
        self._news.set()
        if self._on_state is not None:
            self._on_state(state)

    def start(self, keeper: Keeper, handle: Callable[[], Handler] | None) -> None:
        """Begin to connect. Once only.

        Args:
            keeper: of the connection.
            handle: begins to hand messages to the program's `on_message`; None without one.
        """
        assert self._owner is None, "a client is started once"
        self.state = Waiting(0.0, "starting")
        self._staying = asyncio.create_task(keeper.stay(), name="connection")
        self._owner = asyncio.create_task(self._live(keeper, self._staying), name="client")
        if handle is not None:
            self._handler = handle()

    def fail(self, failure: BaseException) -> None:
        """Note what the program's `on_message` has raised, and end."""
        self.failure = failure
        self._end()

    async def close(self) -> None:
        """End, and wait until that is done; from within `on_message` it is not waited for."""
        if self._owner is None:
            return
        self._end()
        if self._handler is not None and self._handler.is_current:
            return  # it may finish its message
        await asyncio.wait([self._owner])
        if self._handler is not None:
            await self._handler.stop()

    async def wait_open(self) -> Open:
        """See `Client.wait_open`."""
        while not isinstance(self.state, Open):
            if isinstance(self.state, Closed):
                raise ClientClosed(self.state)
            self._news.clear()
            await self._news.wait()
        return self.state

    async def wait_closed(self) -> Closed:
        """See `Client.wait_closed`."""
        while not isinstance(self.state, Closed):
            self._news.clear()
            await self._news.wait()
        if self.failure is not None:
            raise self.failure
        return self.state

    def _end(self) -> None:
        if self._staying is not None and not self._leaving:
            self._leaving = True
            self._backlog.end(discard=True)
            self._staying.cancel()

    async def _live(self, keeper: Keeper, staying: "asyncio.Task[Closed]") -> None:
        await asyncio.wait([staying])
        closed = self._how_it_ended(staying)
        self._leaving = True
        try:
            await self._leave(keeper, closed)
            self.enter(closed)
        except Exception as exc:  # noqa: BLE001 - of `on_state`; raised where the program waits
            self.failure = self.failure or exc

    def _how_it_ended(self, staying: "asyncio.Task[Closed]") -> Closed:
        if staying.cancelled():
            failed = self.failure is not None
            return Closed(BYE, "on_message has failed" if failed else "closed by the program")
        self.failure = staying.exception()
        if self.failure is not None:
            return Closed(LOST, f"a fault: {self.failure!r}")
        return staying.result()

    async def _leave(self, keeper: Keeper, closed: Closed) -> None:
        """Release everything, in order.

        1. Messages: those that wait are dropped if the program leaves, and the handler may finish
           the one it has in hand. 2. The connection says goodbye. 3. Sends are told.
        """
        self._backlog.end(discard=closed.code == BYE)
        if self._handler is not None and closed.code == BYE:
            await self._handler.finish(_FINISH_S)
        await keeper.close()
        self._sends.close(ClientClosed(closed))
