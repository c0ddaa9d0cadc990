"""Keeps a connection: dials, runs it, waits, and dials again."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence

from router.client.arrivals import Arrivals
from router.client.connection import Connection
from router.client.dialling import Dialler, Refusal
from router.client.policy import LOST, Ending, comes_back, failures_after, wait_s
from router.client.words import Closed, Connecting, Open, Options, State, Waiting

Token = str | Callable[[], Awaitable[str]]
"""What says who we are, or a function that is asked for it before each connection, and again
when the token of one ends."""


class Keeper:
    """The one connection of a client, over time.

    Args:
        urls: tried in turn.
        token: for the handshake; None for none.
        dialler: makes connections.
        arrivals: knows where to resume.
        options: of the client.
        enter: told each new state.
        gap: told when messages may be missing.
        broken: told when a connection, or the try to make one, has ended.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: Token | None,
        dialler: Dialler,
        arrivals: Arrivals,
        options: Options,
        *,
        enter: Callable[[State], None],
        gap: Callable[[], None],
        broken: Callable[[], None],
    ) -> None:
        self._urls = urls
        self._token = token
        self._dialler = dialler
        self._arrivals = arrivals
        self._options = options
        self._enter = enter
        self._gap = gap
        self._broken = broken
        self._connection: Connection | None = None

    def flush(self) -> None:
        """There is something to send."""
        if self._connection is not None:
            self._connection.flush()

    def handled(self) -> None:
        """There is something to acknowledge."""
        if self._connection is not None:
            self._connection.handled()

    async def stay(self) -> Closed:
        """Connect again and again; return how it has ended for good.

        Cancelling it leaves the connection open: `close` it then.
        """
        failures = 0
        for url in itertools.cycle(self._urls):
            ending = await self._connect(url)
            self._connection = None
            self._broken()
            if not comes_back(ending, fresh_token=callable(self._token)):
                return Closed(ending.code, ending.reason)
            failures = failures_after(ending, failures, self._options)
            pause_s = wait_s(ending, failures, self._options, random.random())
            self._enter(Waiting(pause_s, ending.reason))
            await asyncio.sleep(pause_s)
        raise AssertionError

    async def close(self) -> None:
        """Acknowledge what was handled, and say goodbye."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self, url: str) -> Ending:
        self._enter(Connecting(url))
        try:
            token = await self._fresh_token()
        except Exception as exc:  # noqa: BLE001 - the program's own function; asked again later
            return Ending(LOST, f"the token function has failed: {exc!r}")
        try:
            connection = await self._dialler.dial(url, self._arrivals.since, token)
        except Refusal as exc:
            return exc.ending
        self._connection = connection
        self._welcomed(connection)
        ending = await connection.run(self._fetch if callable(self._token) else None)
        connection.abort()
        return ending

    def _welcomed(self, connection: Connection) -> None:
        welcome = connection.welcome
        gap = self._arrivals.welcomed(resumed=welcome.resumed, offset=welcome.offset)
        self._enter(Open(welcome.session, welcome.node, welcome.resumed, welcome.offset))
        if gap:
            self._gap()
        connection.handled()  # the node before may not have noted the last ones down

    async def _fresh_token(self) -> str | None:
        return await self._fetch() if callable(self._token) else self._token

    async def _fetch(self) -> str:
        assert callable(self._token)
        async with asyncio.timeout(self._options.dial_timeout_s):
            return await self._token()
