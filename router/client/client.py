"""A user's connection to a cluster, kept up."""

import ssl
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from router.client.arrivals import Arrivals
from router.client.backlog import Backlog
from router.client.dialling import Dialler, check_urls
from router.client.handler import Handler, OnMessage
from router.client.keeper import Keeper, Token
from router.client.life import Life
from router.client.policy import BYE
from router.client.sender import TIMEOUT_S, Sender
from router.client.sends import Results, Sends
from router.client.words import (
    ClientClosed,
    Closed,
    Message,
    Open,
    Options,
    State,
)
from router.model import Confirm, Offset, SendResult, UserId, check_name, check_user


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
        token: says who we are; a function is asked for one before each connection, and before it
            ends, so that the session goes on; None with `user`.
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
        check_urls(urls)
        user = None if user is None else check_user(user)
        device = check_name(device, "device")
        if since:
            Offset.parse(since, "since")
        self._on_message = on_message
        self._auto_ack = auto_ack
        self._options = options or Options()
        self._arrivals = Arrivals(self._options.remembered_ids, since)
        self._sends = Sends(self._options.max_sends)
        self._backlog = Backlog(self._options.max_messages, self._arrivals, self._sends)
        parts = (self._arrivals, self._sends, self._backlog, self._options)
        self._life = Life(self._backlog, self._sends, on_state)
        self._keeper = Keeper(
            urls,
            token,
            Dialler(user, device, *parts, tls),
            self._arrivals,
            self._options,
            enter=self._life.enter,
            gap=on_gap or _nothing,
            broken=self._broken,
        )
        self._sender = Sender(self._sends, self._keeper.flush, self._backlog.changed, on_outcome)
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
        if error is None and self._on_message is None:
            self._finish()
        await self.close()
        if error is None and self._life.failure is not None:
            raise self._life.failure

    # ---- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; `async with` does it. Once only."""
        self._life.start(self._keeper, None if self._on_message is None else self._handle)

    def _handle(self) -> Handler:
        assert self._on_message is not None
        return Handler(self, self._on_message, self._life.fail)

    async def close(self) -> None:
        """Acknowledge what was handled, say goodbye, and stay away. Idempotent.

        Sends that wait are told; messages that wait are dropped, and those which are durable come
        again to the next client of this device. Called by `on_message` it returns at once, and the
        client is closed when `on_message` has returned.
        """
        await self._life.close()

    async def wait_open(self) -> Open:
        """Wait until there is a connection, and return its state. Cancel-safe.

        Raises:
            ClientClosed: there will be none.
        """
        return await self._life.wait_open()

    async def wait_closed(self) -> Closed:
        """Wait until the client is closed, and return how. Cancel-safe.

        Raises:
            Exception: what `on_message` has raised, if that was the end.
        """
        return await self._life.wait_closed()

    @property
    def state(self) -> State:
        """Return what it is doing now."""
        return self._life.state

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
        if isinstance(self._life.state, Closed) and self._life.state.code != BYE:
            raise ClientClosed(self._life.state)
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
        if isinstance(self._life.state, Closed):
            raise ClientClosed(self._life.state)
        return await self._sender.send(users, several, data, durable, confirm, ttl, key, timeout)

    def _broken(self) -> None:
        self._sends.disconnected()
        self._backlog.changed()


def _nothing() -> None:
    pass
