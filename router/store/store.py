"""The port to the store: commands by key go out, one answer for each comes back.

Guarantees of every implementation: each command gets exactly one answer, in the order asked. An
answer is final: a script that the store had forgotten has been loaded, what passes in a moment has
been repeated for two seconds (an error reply says that the command has not run, so that is safe),
and whoever has a key by now has been asked. Nothing that may have run is ever repeated. Commands
of one key run in the order in which they were sent, unless one had to be repeated.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from hiredis import ReplyError

from router.counts import Counts
from router.errors import SwitchboardError
from router.store.answers import Answered, NoReply
from router.store.connect import is_garbage, translate
from router.store.flight import Flight
from router.store.link import Link
from router.store.resp import Argument, Command, keyed
from router.store.trouble import Trouble


class Store(ABC):
    """One way to the store for as long as its owner wants it."""

    counts: Counts
    """What the process counts."""
    address: str
    """Where the store is, without its password."""
    follows: bool
    """See `flight.Links.follows`."""

    @property
    @abstractmethod
    def up(self) -> bool:
        """Say whether any command can be sent now."""

    @abstractmethod
    def reaches(self, key: str) -> bool:
        """Say whether a command for `key` can be sent now."""

    @abstractmethod
    def place(self, key: str) -> str:
        """Return which server holds `key`, as far as is known; "" for the only one."""

    @abstractmethod
    async def open(self) -> None:
        """Connect for the first time and stay connected from then on.

        Raises:
            Unavailable, StoreRefused: the first connection failed; nothing is left running.
        """

    @abstractmethod
    async def close(self) -> None:
        """Disconnect; what still waits for answers gets a `NoReply`."""

    @abstractmethod
    def tell(self, command: Command) -> bool:
        """Send one command whose answer is of no interest; return whether it went out."""

    @abstractmethod
    def link_of(self, key: str) -> Link:
        """See `flight.Links.link_of`."""

    @abstractmethod
    def redirected(self, error: ReplyError) -> Link:
        """See `flight.Links.redirected`."""

    @abstractmethod
    def coming(self, link: Link) -> bool:
        """See `flight.Links.coming`."""

    @abstractmethod
    def heard(self, link: Link, trouble: Trouble, error: ReplyError) -> None:
        """See `flight.Links.heard`."""

    @abstractmethod
    async def each(self, command: bytes) -> dict[str, Any]:
        """Ask every server that holds keys the same; return the answers by address.

        Raises:
            Unavailable, StoreRefused: one of them is away or refuses.
        """

    def send(self, commands: Sequence[Command], done: Answered, replicas: int = 0) -> None:
        """Send commands without waiting.

        Args:
            commands: at least one.
            done: see `Answered`; it may be called before this returns.
            replicas: how many replicas shall have what was written before an answer counts; where
                they do not have it in time, the answer is in a `Thin`.
        """
        Flight(self, commands, done, replicas).start()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies, errors among them as `ReplyError`.

        Raises:
            Unavailable: nothing ran of the first command that has no reply.
            ReplyLost: it may have run.

        Cancel-safe: the replies are dropped when they come.
        """
        replies = await self.tries(commands)
        for reply in replies:
            if type(reply) is NoReply:
                raise reply.error
        return replies

    async def tries(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return what came of each: a reply, a `ReplyError` or a `NoReply`.

        Cancel-safe: the replies are dropped when they come.
        """
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

        def done(replies: list[Any]) -> None:
            if not future.done():
                future.set_result(replies)

        self.send(commands, done)
        return await future

    async def answers(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies, none of which is an error.

        Raises:
            Unavailable, ReplyLost: as `ask`.
            StoreRefused: the first reply that is an error; the other commands have run.
        """
        replies = await self.ask(commands)
        self._refuse_errors(replies)
        return replies

    async def readings(self, commands: Sequence[Command]) -> list[Any]:
        """As `answers`, but what holds another type than ours is counted, and its reply is None.

        So one key that somebody has spoilt costs none of the others that are read beside it.
        """
        replies = await self.ask(commands)
        for i, reply in enumerate(replies):
            if is_garbage(reply):
                self.counts.garbage += 1
                replies[i] = None
        self._refuse_errors(replies)
        return replies

    async def call(self, command: Command) -> Any:
        """Send one command and return its reply; raises as `answers`."""
        return (await self.answers((command,)))[0]

    async def command(self, name: str, key: str, *args: Argument) -> Any:
        """Pack one command, then as `call`."""
        return await self.call(keyed(name, key, *args))

    def explain(self, error: ReplyError) -> SwitchboardError:
        """Return the error of ours that an error reply stands for."""
        return translate(error, self.address)

    def _refuse_errors(self, replies: Sequence[Any]) -> None:
        """Raise the first reply that is an error as one of ours."""
        for reply in replies:
            if type(reply) is ReplyError:
                raise self.explain(reply)
