"""A wire that is kept up: reconnects with jittered backoff, loads the scripts, tells its owner."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
from hiredis import ReplyError

from router.counts import Counts
from router.errors import StoreRefused, SwitchboardError, Unavailable
from router.store import scripts
from router.store.connect import Connector, is_garbage, is_noscript, is_passing, translate
from router.store.resp import NO_REPLY, Argument, pack
from router.store.trouble import trouble_of
from router.store.wire import Done, Wire

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
# How long a command is repeated that the store will take in a moment (TRYAGAIN).
_REPEAT_FOR_S: Final = 2.0
_REPEAT_PAUSE_S: Final = 0.2
_LAST_REPLIES_S: Final = 0.1
_log = structlog.get_logger()


def _ignore(*_: object) -> None:
    """Do nothing: the owner has no interest in this event."""


class ReplyLost(Unavailable):
    """The connection went away before the reply came: the command may or may not have run."""


class Link:
    """One connection to the store for as long as its owner wants it.

    Args:
        connector: opens the connections.
        name: for the log, and `CLIENT LIST` on the server.
        setup: packed commands that each new connection begins with, and how many; all must answer
            without an error.
        on_up: called after each successful (re)connect, set-up included.
        on_down: called when a connection is lost, after every waiting command was told.
        on_push: takes RESP3 push messages.
        reply_timeout_s: see `Wire`; None for the connector's.
    """

    def __init__(
        self,
        connector: Connector,
        name: str,
        *,
        setup: tuple[bytes, int] = (b"", 0),
        on_up: Callable[[], None] = _ignore,
        on_down: Callable[[], None] = _ignore,
        on_push: Callable[[list[Any]], None] = _ignore,
        reply_timeout_s: float | None = None,
    ) -> None:
        self._connector = connector
        self._name = name
        self._setup = setup
        self._on_up = on_up
        self._on_down = on_down
        self._on_push = on_push
        self._reply_timeout_s = reply_timeout_s or connector.reply_timeout_s
        self._wire: Wire | None = None
        self._leaving: Wire | None = None
        self._lost = asyncio.Event()
        self._keeper = connector.services.add(f"link {name}", self._keep)
        self._reason = "not connected yet"
        self._pause_s = _FIRST_PAUSE_S
        self._up_at = 0.0

    @property
    def up(self) -> bool:
        """Say whether commands can be sent now; False from the first who hears of a loss on."""
        return self._wire is not None and not self._wire.lost

    @property
    def address(self) -> str:
        """Return where the store is, without its password."""
        return self._connector.address

    @property
    def counts(self) -> Counts:
        """Return what the process counts."""
        return self._connector.counts

    async def open(self) -> None:
        """Connect for the first time and stay connected from then on.

        Raises:
            Unavailable, StoreRefused: the first connection failed; nothing is left running.
        """
        await self._connect()
        self._keeper.start()

    async def close(self) -> None:
        """Close the connection; what still waits for replies is told that they are lost."""
        await self._keeper.stop()
        if self._wire is not None:
            await self._end(self._wire, "closed by us")

    def abort(self, reason: str) -> None:
        """Give the present connection up; the link connects again."""
        if self._wire is not None:
            _log.warning("store connection given up", link=self._name, reason=reason)
            self._wire.abort(reason)

    def send(self, data: bytes, count: int, done: Done) -> None:
        """Send packed commands without waiting; see `Wire.send`. While down, `done` gets None."""
        if self._wire is None:
            done(None)
        else:
            self._wire.send(data, count, done)

    def write(self, data: bytes) -> None:
        """Send packed commands whose answers come as push messages; while down do nothing."""
        if self._wire is not None:
            self._wire.write(data)

    def tell(self, data: bytes) -> bool:
        """Send one packed command that is not answered; return whether the link was up."""
        if self._wire is None:
            return False
        self._wire.write(NO_REPLY + data)
        return True

    def expect(self, count: int, done: Done) -> None:
        """Announce who takes the first replies to the bytes of the next `send`; see `Wire.expect`.

        The link must be up.
        """
        assert self._wire is not None
        self._wire.expect(count, done)

    async def ask(self, data: bytes, count: int) -> list[Any]:
        """Send packed commands and return their replies, errors among them as `ReplyError`.

        A script the store has forgotten is loaded again and everything sent once more, since a
        NOSCRIPT ran nothing. What the store will take in a moment is repeated for two seconds at
        most. Commands beside such a one in `data` must therefore bear repeating.

        Raises:
            Unavailable: the link is down; nothing was sent.
            ReplyLost: the connection went away; some may have run.

        Cancel-safe: the replies are dropped when they come.
        """
        replies = await self._ask_once(data, count)
        if any(is_noscript(reply) for reply in replies):
            await self._ask_once(scripts.LOAD_ALL, len(scripts.ALL))
            replies = await self._ask_once(data, count)
        if any(is_passing(reply) for reply in replies):
            replies = await self._repeat(data, count, replies)
        return replies

    async def answers(self, data: bytes, count: int) -> list[Any]:
        """Send packed commands and return their replies, none of which is an error.

        Raises:
            Unavailable, ReplyLost: as `ask`.
            StoreRefused: the first reply that is an error; the other commands have run.
        """
        replies = await self.ask(data, count)
        self._refuse_errors(replies)
        return replies

    async def readings(self, data: bytes, count: int) -> list[Any]:
        """As `answers`, but what holds another type than ours is counted, and its reply is None.

        So one key that somebody has spoilt costs none of the others that are read beside it.
        """
        replies = await self.ask(data, count)
        for i, reply in enumerate(replies):
            if is_garbage(reply):
                self._connector.counts.garbage += 1
                replies[i] = None
        self._refuse_errors(replies)
        return replies

    async def call(self, data: bytes) -> Any:
        """Send one packed command and return its reply; raises as `answers`."""
        return (await self.answers(data, 1))[0]

    async def command(self, *args: Argument) -> Any:
        """Pack one command, then as `call`."""
        return await self.call(pack(*args))

    def explain(self, error: ReplyError) -> SwitchboardError:
        """Return the error of ours that an error reply on this link stands for.

        If it says that the store may be elsewhere by now, the connection is given up, in a moment:
        what was sent beside it has its replies by then.
        """
        wire = self._wire
        if trouble_of(str(error)).elsewhere and wire is not None and wire is not self._leaving:
            self._leaving = wire
            asyncio.get_running_loop().call_later(_LAST_REPLIES_S, self._leave, wire, str(error))
        return translate(error, self.address)

    def _leave(self, wire: Wire, reason: str) -> None:
        if wire is self._wire:
            self.abort(reason)

    async def _repeat(self, data: bytes, count: int, replies: list[Any]) -> list[Any]:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _REPEAT_FOR_S
        while any(is_passing(reply) for reply in replies) and loop.time() < give_up_at:
            await asyncio.sleep(random.uniform(0, _REPEAT_PAUSE_S))
            replies = await self._ask_once(data, count)
        return replies

    def _refuse_errors(self, replies: list[Any]) -> None:
        """Raise the first reply that is an error as one of ours."""
        for reply in replies:
            if type(reply) is ReplyError:
                raise self.explain(reply)

    async def _ask_once(self, data: bytes, count: int) -> list[Any]:
        if self._wire is None:
            raise Unavailable(self.address, self._reason)
        future: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()

        def done(replies: list[Any] | None) -> None:
            if not future.done():
                future.set_result(replies)

        self._wire.send(data, count, done)
        replies = await future
        if replies is None:
            raise ReplyLost(self.address, self._reason)
        return replies

    async def _connect(self) -> None:
        connection = await self._connector.connect()
        self._lost.clear()
        counts = self._connector.counts
        wire = Wire(connection, self._on_push, self._went, self._reply_timeout_s, counts)
        self._wire = wire
        data, count = self._setup
        data += pack("CLIENT", "SETNAME", f"switchboard-{self._name}")
        try:
            replies = await self._ask_once(scripts.LOAD_ALL + data, len(scripts.ALL) + count + 1)
            self._refuse_errors(replies)
        except BaseException:
            await self._end(wire, "set-up failed")
            raise
        self._up_at = asyncio.get_running_loop().time()
        self._on_up()

    async def _end(self, wire: Wire, reason: str) -> None:
        """Abort a wire and see it gone: connection_lost comes in the loop's next round."""
        wire.abort(reason)
        while not wire.lost:
            await asyncio.sleep(0)

    def _went(self, reason: str) -> None:
        self._wire = None
        self._reason = reason
        self._lost.set()
        self._on_down()

    async def _keep(self) -> None:
        """Connect again whenever the connection is lost, each time after a random pause.

        The pauses grow with each attempt. A connection that was soon lost again counts as one that
        failed: a store that takes connections and drops them is not stormed.
        """
        while True:
            await self._lost.wait()
            self._connector.counts.store_lost[self._name] += 1
            _log.warning("store connection lost", link=self._name, reason=self._reason)
            if asyncio.get_running_loop().time() - self._up_at > _LONGEST_PAUSE_S:
                self._pause_s = _FIRST_PAUSE_S
            while not self.up:
                await asyncio.sleep(random.uniform(0, self._pause_s))
                await self._connector.turn()
                self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
                try:
                    await self._connect()
                except SwitchboardError as exc:
                    self._reason = getattr(exc, "reason", None) or str(cast(StoreRefused, exc))
                except Exception as exc:  # noqa: BLE001
                    # The edge of the loop: a link that nobody keeps would be down for ever.
                    self._connector.counts.failed("link")
                    _log.exception("store connection failed", link=self._name)
                    self._reason = repr(exc)
            _log.info("store connection up again", link=self._name)
