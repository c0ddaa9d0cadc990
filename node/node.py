"""The composition root of a node: builds and wires everything; starts and stops it in order."""

from collections.abc import Callable
from typing import Any, Self

from node.acknowledging import Acknowledging
from node.admission import Admission
from node.auth import Authenticate, Gate, choose
from node.auth.tickets import Tickets
from node.calls import Calls, OnMessage
from node.canary import Canary
from node.delivery import NodeDelivery
from node.describing import Describing
from node.drain import Drain, ignore_order
from node.expiry import Expiry
from node.feed import Feed
from node.frames import OutFrame, Welcome
from node.handlers import api
from node.handlers.feed import FeedContext
from node.handlers.served import Served
from node.handlers.ws import WebSocketContext
from node.hub import Hub
from node.inbound import Inbound
from node.isolation import Isolation
from node.listening import Listening
from node.observe.metrics import Metrics
from node.pace import Limits
from node.peers import Peers
from node.presence import Presence
from node.pulse import Pulse
from node.readiness import Readiness
from node.replay import Replays
from node.session import ClientSession
from router.aio import Router
from router.codec import Lease
from router.member import Member
from router.model import START, EndpointId, Offset
from router.settings import Settings
from router.store.address import resolve
from router.store.tickets import TicketStore


class Node:
    """One process that holds WebSockets.

    Inside your own Tornado application::

        node = await Node.start(settings)
        app = tornado.web.Application([*node.routes(), (r"/", MainHandler)], **node.app_settings())

    Args:
        settings: of the cluster and this node.
        url: of the store.
        authenticate: says who a handshake comes from; None for what `auth.mode` says.
        on_message: answers what clients send to the application itself; None for nobody.
        on_drain: called, perhaps more than once, when an operator wants this node to leave: call
            `stop`, and end the process. None to ignore that, with a line in the log.

    Raises:
        InvalidSettings: what `auth.mode` needs is not there.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        authenticate: Authenticate | None = None,
        on_message: OnMessage | None = None,
        on_drain: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self.hub: Hub[ClientSession] = Hub()
        self.member = Member(
            settings,
            url,
            describe=self._describe,
            on_epoch=self._fenced,
            on_store_back=self._store_back,
        )
        self.router = Router(self.member, settings.node.name)
        self.counts = self.member.counts
        self.gate = choose(settings.auth, authenticate, settings.api, self.counts)
        self.limits = Limits(settings.limits)
        self.admission = Admission(self.limits, self.counts, self.hub, settings.auth.mode)
        self.listening = Listening(
            settings.node, settings.api, settings.tls, self.admission, self.member.services
        )
        self.replays = Replays(self.member.mailbox, self.member.clock, self.counts)
        self.delivery = NodeDelivery(
            self.hub, self.member.receipts, self.member.clock, self.replays.catch_up, self.counts
        )
        self.acknowledging = Acknowledging(self.member.store, self.member.mailbox, self.counts)
        self.member.receiver.recipient = self.delivery
        self.member.receiver.on_drain = on_drain or ignore_order
        self.presence = Presence(
            self.member,
            self.hub,
            self.replays,
            self._welcome,
            refresh_s=settings.registry.user_ttl_s / 3,
            check_s=settings.node.ping_interval_s,
        )
        self.rescuer = self.member.make_rescuer()
        self.calls = Calls(on_message, self.counts)
        self.tickets = Tickets(TicketStore(self.member.store, self.member.keys))
        self._watch_over()
        leases = self.member.leases
        self.feed = Feed(leases.everybody, self.member.services, settings.node.ping_interval_s)
        self._served = self._make_served(self.gate)

    @property
    def address(self) -> str:
        """Return where it listens: host, colon, port."""
        return self.listening.address

    @property
    def api_address(self) -> str:
        """Return where the API listens: host, colon, port; "" where the rest does."""
        return self.listening.api_address

    def _make_sockets(self, gate: Gate) -> WebSocketContext:
        return WebSocketContext(
            gate=gate,
            tickets=self.tickets,
            admission=self.admission,
            accepting=self.not_ready,
            presence=self.presence,
            inbound=Inbound(
                self.router, self.limits, self.expiry.refresh, self.calls.take, self.counts
            ),
            expiry=self.expiry,
            on_ack=self._acknowledged,
            max_waiting_bytes=self._settings.node.max_waiting_bytes,
            counts=self.counts,
        )

    def _make_served(self, gate: Gate) -> Served:
        settings = self._settings
        metrics = self._make_metrics()
        of_api = api.context(self.router, gate, self.tickets, self.not_ready, metrics, self.limits)
        looking = FeedContext(gate, self.feed, settings.node.max_waiting_bytes)
        return Served(settings, self._make_sockets(gate), of_api, looking)

    def _make_metrics(self) -> Metrics | None:
        if not self._settings.node.metrics:
            return None
        return Metrics(
            self.member,
            sessions=lambda: len(self.hub),
            inbox_lag_s=lambda: self.canary.lag_s,
            not_ready=self.not_ready,
            draining=lambda: self.drain.begun,
        )

    def _watch_over(self) -> None:
        """Make what looks after this node from within, and what ends it in order."""
        member, wanted = self.member, self._settings.node
        peers = Peers(member.leases, lambda: member.endpoint.id, self._settings.tls)
        self.canary = Canary(member)
        self.isolation = Isolation(member, self.hub, peers, wanted.isolated_s)
        leeway_s = self._settings.auth.leeway_s
        self.expiry = Expiry(self.gate, leeway_s, member.services, self.counts, self.tickets)
        late_s = self._settings.lease.ttl_s / 2
        self.pulse = Pulse(member.services, late_s, member.endpoint.check_now, self.counts)
        self._describing = Describing(member, self.hub, self.pulse)
        self.drain = Drain(
            member,
            self.hub,
            peers,
            self.presence,
            self.replays,
            self.acknowledging,
            self.rescuer,
            drain_s=wanted.drain_s,
        )
        self._readiness = Readiness(member, self.drain, self.canary, self.gate)

    @classmethod
    async def start(
        cls,
        settings: Settings,
        url: str | None = None,
        authenticate: Authenticate | None = None,
        on_message: OnMessage | None = None,
        on_drain: Callable[[], None] | None = None,
    ) -> Self:
        """Return a node that is connected and registered, for an application of your own.

        Args:
            settings, authenticate, on_message, on_drain: see the class.
            url: of the store; None for what `settings` name.

        Raises:
            Unavailable, StoreRefused, ServerFailed: the store is away or will not do.
            InvalidSettings: what `auth.mode` needs is not there.
        """
        node = cls(settings, url or resolve(settings), authenticate, on_message, on_drain)
        await node.open()
        return node

    async def open(self) -> None:
        """Connect and register this node; raises as `start`."""
        await self.member.open()
        try:
            await self.router.join()
        except BaseException:
            await self.member.close()
            raise
        self.presence.start()
        self.rescuer.start()
        self.canary.start()
        self.isolation.start()
        self.pulse.start()
        self.feed.start()
        self.expiry.start()

    def routes(self) -> list[Any]:
        """Return the Tornado routes for where users come; `/` is left to you.

        They are the WebSocket and the API; of the API only tickets and health when it has a port of
        its own, see `listen_api`.
        """
        return self._served.routes()

    def app_settings(self) -> dict[str, Any]:
        """Return what `tornado.web.Application` must be told for these routes."""
        return self._served.app_settings()

    def listen(self) -> None:
        """Serve HTTP and WebSockets at `node.host`, `node.port`, unless that port is shared.

        Raises:
            ServerFailed: the port is taken, the address is not this machine's, or the certificate
                cannot be used.
        """
        if not self._settings.node.reuse_port:
            self.listening.start(self._served.public(), api.MAX_BODY_BYTES)
        self.listen_api()

    def listen_shared(self) -> None:
        """Serve there if that port is shared, once the node is ready. Raises as `listen`."""
        if self._settings.node.reuse_port:
            self.listening.share(self._served.public(), api.MAX_BODY_BYTES)

    def listen_api(self) -> None:
        """Serve the API at a port of its own, if it has one; as `listen` does, and raises."""
        if (apart := self._served.apart()) is not None:
            self.listening.start_api(apart, api.MAX_BODY_BYTES)

    def not_ready(self) -> str | None:
        """Return why no new session should come here; None when they may."""
        return self._readiness.why_not()

    async def stop(self, *, all_leave: bool = False) -> None:
        """Leave the cluster, within `node.drain_s`; see `Drain.run`. Then disconnect.

        Args:
            all_leave: every other node leaves, too, so sessions need not be spread over time.
        """
        await self.canary.stop()
        await self.isolation.stop()
        await self.drain.run(self.listening, all_leave=all_leave)
        await self.rescuer.stop()  # again, for a drain that ran out of time
        await self.replays.stop()
        await self.presence.stop(0.0)
        await self.pulse.stop()
        await self.feed.stop()
        await self.expiry.stop()
        await self.calls.stop()
        await self.close_server()
        await self.member.close()

    async def close_server(self) -> None:
        """Stop listening and close what HTTP connections are left."""
        await self.listening.close()

    def _welcome(self, session: ClientSession) -> OutFrame:
        return Welcome(
            session=session.id,
            user=session.user,
            node=self._settings.node.name,
            device=session.device,
            resumed=session.place.whole,
            offset=str(session.place.position or START),
            max_message_bytes=self._settings.node.max_message_bytes,
        )

    def _acknowledged(self, session: ClientSession, offset: Offset) -> None:
        self.acknowledging.add(session.user, session.device, offset)

    def _describe(self) -> Lease:
        return self._describing.lease(self.address, draining=self.drain.begun)

    async def _fenced(self, was: EndpointId) -> None:
        # The sockets first: what lay in the old inbox then finds them under their new routes.
        self.presence.register_all(then=lambda: self.rescuer.rescue_own(was))

    def _store_back(self) -> None:
        self.rescuer.store_was_away()
        self.presence.store_back()
