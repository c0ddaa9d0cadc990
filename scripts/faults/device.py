"""One device of a user: it connects, comes back, leaves for a while, and drops repeats."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from random import Random

from scripts.faults.connection import GOODBYE, LEFT, Connection, Ending, connect
from scripts.faults.entries import position
from scripts.faults.ledger import Pen

_REMEMBERED = 2_000  # ids whose repeats are dropped
_WELCOME_S = 6.0
_AWAY_S = (0.5, 5.0)
_LONGEST_PAUSE_S = 1.0


class Device:
    """See the module.

    Args:
        user, name: which it is.
        nodes: their addresses.
        ack: `auto`, `manual`, or "" where there are no durable messages.
        resumes: it says from which offset to go on; else the node's cursor for it decides.
        home_s: seconds for which it stays connected before it leaves for a while, on average.
        rng: its own.
        numbers: gives connections their numbers.
        pen: the ledger.
        linger_s: how long a socket stays open after its client has vanished.
        silence_s: see `connection.Connection`.
        token: says who it is; "" where nodes believe everybody.
    """

    def __init__(
        self,
        user: str,
        name: str,
        nodes: Sequence[str],
        *,
        ack: str,
        resumes: bool,
        home_s: float,
        rng: Random,
        numbers: Callable[[], int],
        pen: Pen,
        linger_s: float,
        silence_s: float,
        token: str,
    ) -> None:
        self.user = user
        self.name = name
        self.ack = ack
        self.token = token
        self.connection: Connection | None = None
        self._nodes = nodes
        self._resumes = resumes
        self._home_s = home_s
        self._rng = rng
        self._numbers = numbers
        self._pen = pen
        self._linger_s = linger_s
        self._silence_s = silence_s
        self._offset = ""
        self._had: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._calm = asyncio.Event()
        self._moving = False
        self._stays_away = False

    @property
    def met(self) -> bool:
        """Say whether it has been connected once."""
        return self.connection is not None

    @property
    def address(self) -> str:
        """Return the address of the node it was connected to last; "" for none."""
        return "" if self.connection is None else self.connection.address

    @property
    def live(self) -> bool:
        """Say whether it has a connection with a welcome."""
        return self.connection is not None and self.connection.live

    def begin(self, offset: str) -> None:
        """See `connection.Owner.begin`."""
        if offset and position(offset) > position(self._offset):
            self._offset = offset

    def new(self, origin: str, id: str, offset: str) -> bool:
        """See `connection.Owner.new`."""
        key = (origin, id)
        self.begin(offset)
        if key in self._had:
            return False
        self._had[key] = None
        if len(self._had) > _REMEMBERED:
            self._had.popitem(last=False)
        return True

    async def live_on(self) -> None:
        """Be connected most of the time, until cancelled."""
        while True:
            await self._connect()
            ending = await self._stay()
            await self._pause(ending)

    def calm(self) -> None:
        """Come back and stay from now on."""
        self._calm.set()
        if self.connection is not None:
            self.connection.hear(listen=True)

    # ---- what is done to it -----------------------------------------------------------------

    def leave(self) -> None:
        """Go, and come back after a while."""
        if self.connection is not None:
            self.connection.leave()

    def go(self) -> None:
        """Go, and stay away until everybody is called back."""
        self._stays_away = True
        self.leave()

    def vanish(self) -> None:
        """Be gone without a word, and come back with a new connection."""
        if self.connection is not None and self.connection.live:
            self.connection.vanish(self._linger_s)

    async def move(self) -> None:
        """Connect to another node before the old connection is left."""
        old = self.connection
        if old is None or not old.live or self._moving or self._calm.is_set():
            return
        self._moving = True
        try:
            others = [address for address in self._nodes if address != old.address]
            fresh = await self._open(self._rng.choice(others))
        except OSError:
            return
        finally:
            self._moving = False
        self.connection = fresh
        old.leave()

    async def deaf(self, seconds: float) -> None:
        """Read nothing for a while."""
        connection = self.connection
        if connection is None or not connection.live or self._calm.is_set():
            return
        connection.hear(listen=False)
        await asyncio.sleep(seconds)
        connection.hear(listen=True)

    # ---- its own life -----------------------------------------------------------------------

    async def _connect(self) -> None:
        pause_s = 0.05
        while not self.live:
            try:
                self.connection = await self._open(self._rng.choice(self._nodes))
            except OSError:
                await asyncio.sleep(self._rng.uniform(pause_s / 2, pause_s))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _open(self, address: str) -> Connection:
        query = f"&ack={self.ack}" if self.ack else ""
        since = self._offset if self._resumes else ""
        if since:
            query += f"&since={since}"
        return await connect(
            self._numbers, self, address, query, since, self._pen, _WELCOME_S, self._silence_s
        )

    async def _stay(self) -> Ending:
        """Wait until there is no connection any more; sometimes leave by itself."""
        while True:
            connection = self.connection
            assert connection is not None
            try:
                async with asyncio.timeout(self._rng.expovariate(1 / self._home_s)):
                    ending = await asyncio.shield(connection.ended)
            except TimeoutError:
                if not self._calm.is_set():
                    self.leave()
                continue
            if connection is self.connection:
                return ending

    async def _pause(self, ending: Ending) -> None:
        """Wait as long as a client does before it comes back."""
        if self._stays_away:
            await self._calm.wait()
            return
        if ending.why == LEFT:
            seconds = self._rng.uniform(*_AWAY_S)
        elif ending.why == GOODBYE:
            seconds = ending.again_s
        else:
            seconds = self._rng.uniform(0.02, 0.4)
        try:
            async with asyncio.timeout(seconds):
                await self._calm.wait()
        except TimeoutError:
            pass
