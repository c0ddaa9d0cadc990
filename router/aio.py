"""Router: send to users and ask the registry, from any asyncio program."""

import asyncio
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from router.codec import MessageEnvelope, encode
from router.depth import too_deep
from router.directory import Directory
from router.draining import drain
from router.errors import InvalidRequest, SwitchboardError, TooLarge
from router.kicking import kick
from router.member import Member
from router.model import (
    Confirm,
    EndpointId,
    SendResult,
    SessionId,
    UserId,
    check_user,
)
from router.results import encode_data, partial_result_of, result_of
from router.sending import Draft
from router.settings import Settings, load
from router.store.address import resolve
from router.trace import Trace
from router.transport.base import Delivery
from router.transport.outbox import Push

MAX_USERS_PER_CALL: Final = 10_000
_LEAVE_S: Final = 1.0


class Router(Directory):
    """The face of Switchboard for asyncio programs.

    Use it as an async context manager::

        async with Router.connect("redis://localhost:6379") as router:
            result = await router.send("alice", {"order": 42})

    Args:
        member: this process's part of the cluster.
        name: what its endpoint is called, should it need one; None for a name made up.
    """

    def __init__(self, member: Member, name: str | None = None) -> None:
        super().__init__(member.registry, member.leases, member.mailbox)
        self.member = member
        self._name = name or f"send-{os.getpid()}-{secrets.token_hex(2)}"
        self._max_bytes = member.settings.node.max_message_bytes
        self._max_depth = member.settings.node.max_data_depth
        self._timeout_s = member.settings.delivery.timeout_s

    @classmethod
    def connect(cls, url: str, settings: Settings | None = None) -> Self:
        """Return a Router for the store at `url`; entering it connects.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            settings: of the cluster; None for the defaults.
        """
        return cls(Member(settings or Settings(), url))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a Router for the store that `settings` names; entering it connects.

        Raises:
            ServerFailed: the store is the embedded one, and none is running.
        """
        return cls(Member(settings, resolve(settings)))

    @classmethod
    def from_config(cls, path: str | Path) -> Self:
        """Return a Router for the cluster of a config file; entering it connects.

        Raises:
            InvalidSettings: the file cannot be used.
            ServerFailed: the store is the embedded one, and none is running.
        """
        return cls.from_settings(load(Path(path)))

    async def __aenter__(self) -> Self:
        await self.member.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the endpoint back and disconnect; sends under way end as `unknown`."""
        await self.member.leave(_LEAVE_S)
        await self.member.close()

    # ---- sending ----------------------------------------------------------------------------

    async def send(
        self,
        user: str,
        data: Any,
        *,
        confirm: str | Confirm | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        origin: str = "",
        durable: bool = False,
        key: str | None = None,
        id: str | None = None,
        trace: Trace | None = None,
    ) -> SendResult:
        """Send one message to one user and return what became of it.

        Args:
            user: whom it is for.
            data: any JSON value; `msgspec.Raw` for one that is encoded already.
            confirm: how far to wait: accepted, written, delivered or acked; None for delivered, or
                the furthest that the delivery mode can know.
            timeout: seconds to wait for that; None for `delivery.timeout_s`.
            ttl: seconds after which the message is worthless; None for never.
            origin: the user it is from, shown to the recipient.
            durable: store it until each of the user's devices has acknowledged it.
            key: idempotency key: another message of the same origin to this user with the same key
                is not sent, for `mailbox.key_ttl_s`.
            id: of an earlier send, to repeat it without the user receiving it twice; a durable one
                that was acknowledged meanwhile comes again, under this id.
            trace: who watches it; None for nobody, or for the program's own OpenTelemetry context
                if `log.traces` is on.

        Raises:
            InvalidUser, InvalidRequest, TooLarge, Unsupported: a call that cannot be made.
            Unavailable, StoreRefused: the store is away or refuses; nothing was sent.

        Cancel-safe: the message stays sent; only its outcome goes unheard.
        """
        target = check_user(user)
        draft = self.draft(data, confirm, timeout, ttl, origin, durable, key, id, trace)
        if draft.confirm > Confirm.ACCEPTED:
            await self.join()
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

        def settled(delivery: Delivery) -> None:
            if not future.done():
                future.set_result(delivery)

        message_id = self.member.sending.submit(draft, (target,), settled)
        return result_of(message_id, await future)

    async def send_many(
        self,
        users: Iterable[str],
        data: Any,
        *,
        confirm: str | Confirm = Confirm.ACCEPTED,
        timeout: float | None = None,
        ttl: float | None = None,
        origin: str = "",
        durable: bool = False,
        key: str | None = None,
        trace: Trace | None = None,
    ) -> dict[UserId, SendResult]:
        """Send one message to many users; one envelope per node, not one per user.

        Args:
            users: whom it is for, at most 10,000; a repeated one counts once.
            data, confirm, timeout, ttl, origin, durable, key, trace: see `send`; the key counts for
                each user by itself.

        Returns:
            A result for each user.

        Raises:
            As `send`; a store that goes away half-way shows in the outcomes of those users.
        """
        targets = [check_user(user, "to") for user in dict.fromkeys(users)]
        if len(targets) > MAX_USERS_PER_CALL:
            raise InvalidRequest("to", f"has at most {MAX_USERS_PER_CALL:,} users")
        draft = self.draft(data, confirm, timeout, ttl, origin, durable, key, None, trace)
        if draft.confirm > Confirm.ACCEPTED:
            await self.join()
        settled: list[Delivery] = []
        done = asyncio.Event()

        def settle(delivery: Delivery) -> None:
            settled.append(delivery)
            if len(settled) == len(targets):
                done.set()

        if not targets:
            return {}
        message_id = self.member.sending.submit(draft, targets, settle)
        await done.wait()
        if all(delivery.error for delivery in settled):
            result_of(message_id, settled[0])
        settled.sort(key=lambda delivery: delivery.ref)  # the order of `users`
        return {delivery.user: partial_result_of(message_id, delivery) for delivery in settled}

    async def broadcast(self, data: Any, *, origin: str = "") -> int:
        """Send one message to every session of every user.

        Args:
            data, origin: see `send`.

        Returns:
            How many nodes have it in their inbox.

        Raises:
            As `send`, when no node has it.
        """
        draft = self.draft(data, Confirm.ACCEPTED, None, None, origin)
        message_id = secrets.token_hex(10)
        sent_at = self.member.clock.now_ms() / 1000
        envelope = encode(
            MessageEnvelope(message_id, "", draft.origin, 0, 0, sent_at, 0, None, [], draft.data)
        )
        outbox = self.member.outbox
        failures: list[SwitchboardError] = []
        futures = [outbox.post(e, envelope, failures) for e in await self.member.broadcast_to()]
        pushed = sum([await future is Push.PUSHED for future in futures])
        if failures and not pushed:
            raise failures[0]
        return pushed

    def draft(
        self,
        data: Any,
        confirm: str | Confirm | None,
        timeout: float | None,
        ttl: float | None,
        origin: str,
        durable: bool = False,
        key: str | None = None,
        id: str | None = None,
        trace: Trace | None = None,
    ) -> Draft:
        """Check a message and return it as a draft; arguments and errors as `send`."""
        self.member.sending.check_special(durable=durable, key=key)
        encoded = encode_data(data)
        if len(encoded) > self._max_bytes:
            raise TooLarge("data", len(encoded), self._max_bytes)
        if too_deep(encoded, self._max_depth):
            words = f"has more than {self._max_depth} lists and objects inside each other"
            raise InvalidRequest("data", words)
        return Draft(
            encoded,
            origin=check_user(origin, "from") if origin else "",
            confirm=self.level(confirm),
            timeout_s=self._timeout_s if timeout is None else timeout,
            ttl_s=ttl,
            id=id,
            durable=durable,
            key=key,
            trace=trace,
        )

    def level(self, confirm: str | Confirm | None) -> Confirm:
        """Return how far a send waits that asks for `confirm`; errors as `send`."""
        asked = Confirm.parse(confirm) if isinstance(confirm, str) else confirm
        return self.member.sending.level(asked)

    async def join(self) -> None:
        """Have an inbox for receipts; the first call makes it, later ones do nothing."""
        if self.member.endpoint.id is None:
            await self.member.join(self._name)

    async def kick(self, user: str, *, session: str | None = None, reason: str = "") -> int:
        """Close a user's sessions, wherever they are.

        Args:
            user: whose.
            session: only this one; None for all.
            reason: told to the client, at most 100 characters.

        Returns:
            How many were closed, as far as the nodes answered in `delivery.timeout_s`.
        """
        target = check_user(user)
        await self.join()
        only = SessionId(session) if session is not None else None
        return await kick(self.member, target, only, reason, self._timeout_s)

    async def drain(self, node: str) -> EndpointId:
        """Order a node to leave the cluster, as SIGTERM would; its sessions go to the others.

        Args:
            node: its name, or its endpoint where two have the same name.

        Returns:
            The endpoint that was told; `nodes()` shows how far it is.

        Raises:
            InvalidRequest: that is no name, or two nodes have it.
            UnknownNode: no such node is alive.
            Unavailable, StoreRefused: the store is away or refuses.
        """
        return await drain(self.member, node)
