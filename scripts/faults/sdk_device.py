"""One device of a user on the client SDK: what its application sees goes into the ledger."""

import asyncio
from collections.abc import Callable, Sequence

from router.client import Client, Message, Open, Options, State
from scripts.faults.connection import LOST
from scripts.faults.entries import Acked, Closed, Deaf, Got, Opened
from scripts.faults.ledger import Pen, now

_ACK = "manual"  # as far as nodes know: the SDK acknowledges what its application has handled


class SdkDevice:
    """A device that leaves everything to the SDK; what `device.Device` is for a plain client.

    It keeps one `Client` for the whole run, since that is what remembers repeats. So it never
    leaves by itself; being asked to move or to vanish does nothing to it.

    Args:
        user, name: which it is.
        nodes: their addresses.
        numbers: gives connections their numbers.
        pen: the ledger.
        ping_s: time between its pings on a quiet connection.
        token: says who it is; "" where nodes believe everybody.
    """

    def __init__(
        self,
        user: str,
        name: str,
        nodes: Sequence[str],
        *,
        numbers: Callable[[], int],
        pen: Pen,
        ping_s: float,
        token: str,
    ) -> None:
        self.user = user
        self.name = name
        self.met = False
        self.address = ""
        self._numbers = numbers
        self._pen = pen
        self._number = 0
        self._open = False
        self._reading = asyncio.Event()
        self._reading.set()
        self._client = Client(
            [f"ws://{address}/ws" for address in nodes],
            user=None if token else user,
            token=token or None,
            device=name,
            on_state=self._entered,
            options=Options(ping_interval_s=ping_s, retry_base_s=0.1, retry_cap_s=2.0),
        )

    @property
    def live(self) -> bool:
        """Say whether it has a connection with a welcome."""
        return isinstance(self._client.state, Open)

    async def live_on(self) -> None:
        """Be connected and take messages, until cancelled."""
        async with self._client as client:
            async for message in client:
                self._take(message)
                await self._reading.wait()

    def calm(self) -> None:
        """Take messages again."""
        self._hear(listen=True)

    def leave(self) -> None:
        """Do nothing; see the class."""

    go = vanish = leave

    async def move(self) -> None:
        """Do nothing; see the class."""

    async def deaf(self, seconds: float) -> None:
        """Take no messages for a while."""
        self._hear(listen=False)
        await asyncio.sleep(seconds)
        self._hear(listen=True)

    def _hear(self, *, listen: bool) -> None:
        if listen != self._reading.is_set():
            self._pen.note(Deaf(now(), self._number, off=listen))
            (self._reading.set if listen else self._reading.clear)()

    def _entered(self, state: State) -> None:
        if isinstance(state, Open):
            self.met = True
            self._number = self._numbers()
            since = self._client.offset
            self._pen.note(
                Opened(
                    now(),
                    self._number,
                    self.user,
                    self.name,
                    state.node,
                    state.session,
                    state.resumed,
                    state.offset,
                    since,
                    _ACK,
                )
            )
        elif self._open:
            self._pen.note(Closed(now(), self._number, LOST))
        self._open = isinstance(state, Open)

    def _take(self, message: Message) -> None:
        number, at = self._number, now()
        got = Got(
            at, number, message.id, message.origin, message.data, message.offset, message.replay
        )
        self._pen.note(got)
        self._pen.note(Acked(at, number, message.offset, message.id))
