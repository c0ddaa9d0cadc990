"""One process as a member of a cluster: every part of the router, wired.

The faces (`router.aio`, `router.sync`) and the node stand on this.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from router.codec import Lease
from router.counts import Counts
from router.deadletters import DeadLetters
from router.endpoint import EndpointKeeper
from router.errors import SwitchboardError
from router.forwarding import Forwarder
from router.keys import Keys
from router.model import EndpointId
from router.receipts import Receipts
from router.receiving import Receiver
from router.rescue import Rescuer
from router.seals import Seals
from router.sending import Sending
from router.service import Services
from router.settings import Settings
from router.store.clock import StoreClock
from router.store.connect import Connector, check_version
from router.store.inbox import Room
from router.store.lease import Leases
from router.store.mailbox import Mailbox
from router.store.modes import make_connector, make_store
from router.store.registry import Registry
from router.store.remains import Remains
from router.store.resp import keyless, pack
from router.store.rights import rights_probe
from router.tracing import Traces, otel_spans
from router.transport.base import Transport
from router.transport.choose import Parts, make_transport
from router.transport.outbox import Outbox, SealedOutbox
from router.vitals import UNKNOWN, Vitals
from router.watching import Arrivals

_EMPTY_POLL_S: Final = 0.02


def sender_lease(vitals: Vitals = UNKNOWN) -> Lease:
    """Return what a process without sockets says of itself."""
    return Lease("sender", os.getpid(), "", "live", 0, 0, 0, 0.0, 0.0, vitals)


async def _nothing(_: EndpointId) -> None:
    """A process without sockets has nothing to register again."""


class Member:
    """Everything one process needs to send, to receive and to ask the registry.

    `open` connects; `join` makes it an endpoint with an inbox, which only those need that hold
    sockets or wait for receipts.

    Args:
        settings: of the cluster.
        url: of the store, `redis://`, `rediss://` or `unix://`.
        describe: returns what to say of this process with each heartbeat; None for one that only
            sends.
        on_epoch: awaited with the endpoint that was fenced when a later epoch has been taken:
            sessions must be registered again, and that endpoint rescued.
        on_store_back: called when the connection to the store is there again.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        *,
        describe: Callable[[], Lease] | None = None,
        on_epoch: Callable[[EndpointId], Awaitable[None]] = _nothing,
        on_store_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.keys = Keys(settings.registry.prefix)
        self._on_epoch = on_epoch
        self._on_store_back = on_store_back
        self._opened = False
        self._joining = asyncio.Lock()
        self.services = Services()
        self.counts = Counts(timing=settings.node.metrics)
        connector = make_connector(url, settings.redis, self.services, self.counts)
        self.clock = StoreClock()
        self.store = make_store(connector, "commands", on_up=self._store_up)
        self.registry = Registry(self.store, self.keys, settings.registry)
        self.seals = Seals.of(settings.redis)
        self.mailbox = Mailbox(self.store, self.keys, settings.mailbox, self.seals)
        self.leases = Leases(self.store, self.keys, settings.lease)
        waiting = settings.delivery.max_waiting
        room = Room.of(settings.inbox, settings.node.max_message_bytes)
        pushes = (self.store, self.keys, room, 5 * waiting, self.counts)
        self.outbox = SealedOutbox(self.seals, *pushes) if self.seals.on else Outbox(*pushes)
        spans = otel_spans() if settings.log.traces else None
        self.traces = Traces(self.store, self.keys, self.clock, spans, settings.log.trace_user)
        self.sending = Sending(self.clock, waiting, self.counts, self.traces)
        self.receipts = Receipts(self.outbox, self.sending.receipts, self.counts)
        self.endpoint = EndpointKeeper(
            self.leases,
            settings.lease,
            self.clock,
            describe or (lambda: sender_lease(self.vitals())),
            self._epoch,
            self.services,
            self.counts,
        )
        self.dead = DeadLetters(self.store, self.keys, self.counts)
        self.forwarder = Forwarder(self.registry, self.outbox, self.counts)
        self.receiver = self._make_receiver(connector)
        self.transport = self._make_transport(connector)
        self.sending.transport = self.transport

    def _make_receiver(self, connector: Connector) -> Receiver:
        return Receiver(
            connector,
            self.keys,
            self.settings.inbox,
            self.forwarder,
            self.dead,
            self.receipts,
            self.sending.receipts,
            self.endpoint.check_now,
            self.counts,
            Arrivals(self.traces),
            self.seals,
        )

    def _make_transport(self, connector: Connector) -> Transport:
        parts = Parts(
            connector,
            self.store,
            self.keys,
            self.registry,
            self.mailbox,
            self.outbox,
            self.sending.changed,
            self.receiver.deliver,
            self.receiver.flush,
        )
        return make_transport(self.settings, parts)

    def make_rescuer(self) -> Rescuer:
        """Return what takes over the dead; who starts it must be an endpoint."""
        return Rescuer(
            self.leases,
            Remains(self.store, self.keys, self.registry),
            self.forwarder,
            self.receipts,
            self.dead,
            self.endpoint,
            self.settings.lease,
            self.services,
            self.counts,
            self.seals,
        )

    def vitals(self) -> Vitals:
        """Return how this process is doing, as far as its counters tell."""
        counts = self.counts
        return Vitals(
            rescues=counts.rescues,
            fences=counts.fences,
            outcomes=tuple(counts.outcomes.values()),
            written=tuple(counts.written_s.counts),
        )

    async def open(self) -> None:
        """Connect, and check that the store will do.

        Raises:
            Unavailable: nobody answers at the address.
            StoreRefused: too old, or a right is missing; naming it.
        """
        try:
            await self.store.open()
            await self._check_store()
            await self.transport.open()
        except BaseException:
            await self.close()
            raise
        self._opened = True

    async def join(self, name: str) -> EndpointId:
        """Become an endpoint called `name` and read its inbox; later calls do nothing.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        async with self._joining:
            if self.endpoint.id is None:
                self.traces.node = name
                await self.endpoint.open(name)
        assert self.endpoint.id is not None
        return self.endpoint.id

    async def leave(self, deadline_s: float) -> int:
        """Stop being an endpoint: empty the inbox, then close it.

        Args:
            deadline_s: how long to go on with what still arrives.

        Returns:
            How many envelopes stayed in the inbox; 0 when all were dealt with.
        """
        left = 0
        if self.endpoint.id is not None:
            await self.endpoint.stop()
            try:
                async with asyncio.timeout(deadline_s):
                    while left := await self.endpoint.close():
                        await asyncio.sleep(_EMPTY_POLL_S)
            except (TimeoutError, SwitchboardError):
                pass
            self.endpoint.id = None
        return left

    async def close(self) -> None:
        """Disconnect. Whoever still waits for an outcome hears `unknown` when its time is up."""
        await self.endpoint.stop()
        await self.receiver.close()
        await self.transport.close()
        await self.store.close()
        self._opened = False

    async def broadcast_to(self) -> Sequence[EndpointId]:
        """Return the endpoints that may hold sessions."""
        endpoints = await self.leases.everybody()
        return [endpoint.endpoint for endpoint in endpoints if endpoint.role == "node"]

    async def _epoch(self, endpoint: EndpointId) -> None:
        fenced = self.sending.own
        self.sending.own = endpoint
        self.receipts.own = endpoint
        await self.receiver.open(endpoint)
        if fenced is not None:
            await self._on_epoch(fenced)

    def _store_up(self) -> None:
        if self._opened:
            self.endpoint.check_now()
            self.transport.store_is_back()
            self.receipts.store_is_back()
            self._on_store_back()

    async def _check_store(self) -> None:
        for info in (await self.store.each(pack("INFO", "server"))).values():
            check_version(info)
        replies = await self.store.answers([*rights_probe(self.keys), keyless("TIME")])
        seconds, microseconds = replies[-1]
        self.clock.set(int(seconds) * 1000 + int(microseconds) // 1000)
