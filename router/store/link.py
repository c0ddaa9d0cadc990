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
from router.store.answers import ReplyLost
from router.store.connect import Connector, translate
from router.store.resp import NO_REPLY, pack
from router.store.wire import Done, Wire
from router.urls import join_address

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_LAST_REPLIES_S: Final = 0.1
_log = structlog.get_logger()


def _ignore(*_: object) -> None:
    """Do nothing: the owner has no interest in this event."""


def _address_of(connection: Any) -> str:
    """Return where a connection leads, `host:port`; "" for a unix socket."""
    host = getattr(connection, "host", "")
    return join_address(host, connection.port) if host else ""


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
        self._there = ""
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
    def reason(self) -> str:
        """Return why it is down, when it is."""
        return self._wire.reason if self._wire is not None else self._reason

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
        self._connector.watch(self._must_be_at)

    async def close(self) -> None:
        """Close the connection; what still waits for replies is told that they are lost."""
        await self._connector.unwatch(self._must_be_at)
        await self._keeper.stop()
        if self._wire is not None:
            await self._end(self._wire, "closed by us", last_words=True)

    async def end(self) -> None:
        """Close it for good: nobody looks after it any more."""
        await self.close()
        self._connector.services.remove(self._keeper)

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

    def leave(self, reason: str) -> None:
        """Give the present connection up in a moment: what was sent on it has its replies by then.

        The store may be elsewhere by now.
        """
        wire = self._wire
        if wire is not None and wire is not self._leaving:
            self._leaving = wire
            asyncio.get_running_loop().call_later(_LAST_REPLIES_S, self._leave, wire, reason)

    def _must_be_at(self, address: str) -> None:
        if self._wire is not None and self._there != address:
            self.leave(f"{address} is the master by now")

    def _leave(self, wire: Wire, reason: str) -> None:
        if wire is self._wire:
            self.abort(reason)

    async def ask(self, data: bytes, count: int) -> list[Any]:
        """Send packed commands and return their replies, errors among them as `ReplyError`.

        Raises:
            Unavailable: the link is down; nothing was sent.
            ReplyLost: the connection went away; some may have run.

        Cancel-safe: the replies are dropped when they come.
        """
        if self._wire is None:
            raise Unavailable(self.address, self.reason)
        future: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()

        def done(replies: list[Any] | None) -> None:
            if not future.done():
                future.set_result(replies)

        self._wire.send(data, count, done)
        replies = await future
        if replies is None:
            raise ReplyLost(self.address, self.reason)
        return replies

    async def _connect(self) -> None:
        connection = await self._connector.connect()
        self._there = _address_of(connection)
        self._lost.clear()
        counts = self._connector.counts
        wire = Wire(connection, self._on_push, self._went, self._reply_timeout_s, counts)
        self._wire = wire
        data, count = self._setup
        data += pack("CLIENT", "SETNAME", f"switchboard-{self._name}")
        try:
            replies = await self.ask(scripts.LOAD_ALL + data, len(scripts.ALL) + count + 1)
            for reply in replies:
                if type(reply) is ReplyError:
                    raise translate(reply, self.address)
        except BaseException:
            await self._end(wire, "set-up failed")
            raise
        self._up_at = asyncio.get_running_loop().time()
        self._on_up()

    async def _end(self, wire: Wire, reason: str, *, last_words: bool = False) -> None:
        """Abort a wire and see it gone: connection_lost comes in the loop's next round."""
        wire.abort(reason, deliver=last_words)
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
            _log.warning("store connection lost", link=self._name, reason=self.reason)
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
