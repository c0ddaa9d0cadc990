"""A user's connection to a cluster, kept up."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from router.client.arrivals import Arrivals
from router.client.backlog import Backlog
from router.client.dialling import Dialler
from router.client.handler import Handler, OnMessage
from router.client.keeper import Keeper, Token
from router.client.policy import BYE, LOST
from router.client.sender import TIMEOUT_S, Sender
from router.client.sends import Results, Sends
from router.client.words import (
    ClientClosed,
    Closed,
    Message,
    Open,
    Options,
    State,
    Waiting,
)
from router.errors import InvalidRequest
from router.model import Confirm, Offset, SendResult, UserId, check_name, check_user

_FINISH_S: Final = 5.0


class Client:
    """A user's connection to a cluster: made again whenever it is lost, until it is closed.

        async with Client("ws://127.0.0.1:8001/ws", user="alice") as client:
            await client.send("bob", "hello")
            async for message in client:
                print(message.origin, message.data)

    The application sees each durable message once and in order. One is acknowledged when the
    application has handled it: when the next one is asked for, when `on_message` has returned, or
    when the `async with` block has ended without an error.

    Args:
        urls: of the nodes, or of what stands before them: `ws://` or `wss://`. Several are tried
            in turn.
        token: says who we are; None with `user`.
        user: says so to nodes of `auth.mode = "dev"`.
        device: name of this session; each device of a user has its own place in the mailbox.
        since: offset after which to resume, `Client.offset` of an earlier run; "" to leave it to
            the node, which remembers what this device has acknowledged.
        on_message: called with each message instead of iterating. What it raises ends the client.
        on_outcome: called with the result of each send, as soon as it is known.
        on_state: called with each new state.
        on_gap: called when the node could not give everything since the last connection: messages
            may be missing before the next one.
        auto_ack: False where the application calls `ack` itself; needed when several tasks take
            messages from one client.
        options: times and bounds.
        tls: for `wss`; None for the usual checks.

    Raises:
        InvalidRequest, InvalidUser: arguments that cannot work.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: Token | None = None,
        user: str | None = None,
        device: str = "default",
        since: str = "",
        on_message: OnMessage | None = None,
        on_outcome: Callable[[SendResult], None] | None = None,
        on_state: Callable[[State], None] | None = None,
        on_gap: Callable[[], None] | None = None,
        auto_ack: bool = True,
        options: Options | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        urls = [urls] if isinstance(urls, str) else list(urls)
        _check_urls(urls)
        user = None if user is None else check_user(user)
        device = check_name(device, "device")
        if since:
            Offset.parse(since, "since")
        self._on_message = on_message
        self._on_state = on_state
        self._auto_ack = auto_ack
        self._options = options or Options()
        self._arrivals = Arrivals(self._options.remembered_ids, since)
        self._sends = Sends(self._options.max_sends)
        self._backlog = Backlog(self._options.max_messages, self._arrivals, self._sends)
        parts = (self._arrivals, self._sends, self._backlog, self._options)
        self._keeper = Keeper(
            urls,
            token,
            Dialler(user, device, *parts, tls),
            self._arrivals,
            self._options,
            enter=self._enter,
            gap=on_gap or _nothing,
            broken=self._broken,
        )
        self._sender = Sender(self._sends, self._keeper.flush, self._backlog.changed, on_outcome)
        self._state: State = Closed(BYE, "it was not started")
        self._news = asyncio.Event()
        self._staying: asyncio.Task[Closed] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._handler: Handler | None = None
        self._leaving = False
        self._failure: BaseException | None = None
        self._in_hand: Message | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._handler is None:
            self._finish()
        await self.close()
        if error is None and self._failure is not None:
            raise self._failure

    # ---- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; `async with` does it. Once only."""
        assert self._owner is None, "a client is started once"
        self._state = Waiting(0.0, "starting")
        self._staying = asyncio.create_task(self._keeper.stay(), name="connection")
        self._owner = asyncio.create_task(self._live(), name="client")
        if self._on_message is not None:
            self._handler = Handler(self, self._on_message, self._failed)

    async def close(self) -> None:
        """Acknowledge what was handled, say goodbye, and stay away. Idempotent.

        Sends that wait are told; messages that wait are dropped, and those which are durable come
        again to the next client of this device.
        """
        if self._owner is None:
            return
        self._end()
        if self._handler is not None and self._handler.is_current:
            return  # it may finish its message
        await asyncio.wait([self._owner])
        if self._handler is not None:
            await self._handler.stop()

    async def wait_open(self) -> Open:
        """Wait until there is a connection, and return its state. Cancel-safe.

        Raises:
            ClientClosed: there will be none.
        """
        while not isinstance(self._state, Open):
            if isinstance(self._state, Closed):
                raise ClientClosed(self._state)
            self._news.clear()
            await self._news.wait()
        return self._state

    async def wait_closed(self) -> Closed:
        """Wait until the client is closed, and return how. Cancel-safe.

        Raises:
            Exception: what `on_message` has raised, if that was the end.
        """
        while not isinstance(self._state, Closed):
            self._news.clear()
            await self._news.wait()
        if self._failure is not None:
            raise self._failure
        return self._state

    @property
    def state(self) -> State:
        """Return what it is doing now."""
        return self._state

    @property
    def offset(self) -> str:
        """Return the offset up to which the application has handled everything; "" for none yet."""
        return self._arrivals.handled

    # ---- messages ---------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next message; the one before counts as handled. Cancel-safe.

        Raises:
            StopAsyncIteration: the program has closed the client.
            ClientClosed: a node has, for good.
        """
        self._finish()
        message = self._in_hand = await self._backlog.get()
        if message is not None:
            return message
        if isinstance(self._state, Closed) and self._state.code != BYE:
            raise ClientClosed(self._state)
        raise StopAsyncIteration

    def _finish(self) -> None:
        message, self._in_hand = self._in_hand, None
        if message is not None and self._auto_ack:
            self._arrivals.handle(message)
            self._handled()

    def _handled(self) -> None:
        self._backlog.changed()
        self._keeper.handled()

    def ack(self, message: Message) -> None:
        """Say that a message was handled; only needed without `auto_ack`. Idempotent.

        A durable one is told to the node when all before it were handled too; one that is not, at
        once, by its id.
        """
        self._arrivals.acknowledge(message)
        self._handled()

    # ---- sends ------------------------------------------------------------------------------

    async def send(
        self,
        to: str,
        data: Any,
        *,
        durable: bool = False,
        confirm: str | Confirm | None = None,
        ttl: float | None = None,
        key: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> SendResult:
        """Send one message to one user and return what became of it.

        While there is no connection it waits for one. A send whose connection ends before its
        outcome came is repeated on the next one if that cannot double it: if it is durable or has
        a `key`. Its outcome may then be `duplicate`: the earlier attempt was stored.

        Args:
            to: whom it is for.
            data: any JSON value.
            durable: store it for a user who is away.
            confirm: how far to wait; None for the node's default.
            ttl: seconds, from now, after which the message is worthless; None for never.
            key: idempotency key; None for one of its own if it is durable, else none.
            timeout: seconds to wait for the outcome; then it is `unknown`.

        Raises:
            InvalidUser, InvalidRequest, TooLarge: a call that cannot be made.
            QueueFull: too many sends wait.
            NotConnected: no connection in time; nothing was sent.
            ClientClosed: the client is closed; nothing was sent.
            Refused: the node answered with an error; nothing was sent.

        Cancel-safe: a send that was not written yet never will be; one that was stays sent.
        """
        users = [check_user(to, "to")]
        return (await self._send(users, False, data, durable, confirm, ttl, key, timeout))[0]

    async def send_many(
        self,
        users: Iterable[str],
        data: Any,
        *,
        durable: bool = False,
        confirm: str | Confirm | None = None,
        ttl: float | None = None,
        key: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> dict[UserId, SendResult]:
        """Send one message to several users and return a result for each.

        Args:
            users: whom it is for; a repeated one counts once.
            data, durable, confirm, ttl, key, timeout: see `send`.

        Raises:
            As `send`.
        """
        targets = [check_user(user, "to") for user in dict.fromkeys(users)]
        if not targets:
            return {}
        results = await self._send(targets, True, data, durable, confirm, ttl, key, timeout)
        return {result.user: result for result in results}

    async def _send(
        self,
        users: Sequence[UserId],
        several: bool,
        data: Any,
        durable: bool,
        confirm: str | Confirm | None,
        ttl: float | None,
        key: str | None,
        timeout: float,
    ) -> Results:
        if isinstance(self._state, Closed):
            raise ClientClosed(self._state)
        return await self._sender.send(users, several, data, durable, confirm, ttl, key, timeout)

    # ---- the connection ---------------------------------------------------------------------

    async def _live(self) -> None:
        assert self._staying is not None
        await asyncio.wait([self._staying])
        closed = self._how_it_ended(self._staying)
        self._leaving = True
        try:
            await self._leave(closed)
            self._enter(closed)
        except Exception as exc:  # noqa: BLE001 - of `on_state`; raised where the program waits
            self._failure = self._failure or exc

    def _how_it_ended(self, staying: "asyncio.Task[Closed]") -> Closed:
        if staying.cancelled():
            failed = self._failure is not None
            return Closed(BYE, "on_message has failed" if failed else "closed by the program")
        self._failure = staying.exception()
        if self._failure is not None:
            return Closed(LOST, f"a fault: {self._failure!r}")
        return staying.result()

    async def _leave(self, closed: Closed) -> None:
        """Release everything, in order.

        1. Messages: those that wait are dropped if the program leaves, and the handler may finish
           the one it has in hand. 2. The connection says goodbye. 3. Sends are told.
        """
        self._backlog.end(discard=closed.code == BYE)
        if self._handler is not None and closed.code == BYE:
            await self._handler.finish(_FINISH_S)
        await self._keeper.close()
        self._sends.close(ClientClosed(closed))

    def _broken(self) -> None:
        self._sends.disconnected()
        self._backlog.changed()

    def _enter(self, state: State) -> None:
        self._state = state
        self._news.set()
        if self._on_state is not None:
            self._on_state(state)

    def _failed(self, failure: BaseException) -> None:
        self._failure = failure
        self._end()

    def _end(self) -> None:
        if self._staying is not None and not self._leaving:
            self._leaving = True
            self._backlog.end(discard=True)
            self._staying.cancel()


def _nothing() -> None:
    pass


def _check_urls(urls: Sequence[str]) -> None:
    if not urls:
        raise InvalidRequest("urls", "at least one is needed")
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise InvalidRequest("urls", f"'{url}' is no address like ws://host:port/ws")
