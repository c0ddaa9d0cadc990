"""The HTTP servers of a node: where they listen, what they take, how they stop."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

import tornado.web
from tornado.netutil import bind_sockets

from node.admission import Admission
from node.certificates import Certificates
from node.connections import BoundedServer
from node.peers import url_of
from node.proxies import Proxies, ThroughProxies
from node.respawn import NodePlan
from node.shared_port import begin_nothing, check_platform
from router.errors import ServerFailed
from router.service import Services
from router.settings import ApiSettings, NodeSettings, TlsSettings

_POLL_S: Final = 0.01


class Listening:
    """What a node serves, and where.

    Args:
        settings: of the node.
        api: of the API, which may have a port of its own.
        tls: the certificate that is shown; none for plain HTTP.
        admission: has the limits of connections.
        services: gets the loop that looks after the certificate.
    """

    def __init__(
        self,
        settings: NodeSettings,
        api: ApiSettings,
        tls: TlsSettings,
        admission: Admission,
        services: Services,
    ) -> None:
        self._settings = settings
        self._api = api
        self._tls = tls
        self._admission = admission
        self._services = services
        self._certificates: Certificates | None = None
        self._proxies = Proxies(settings.trusted_proxies)
        self._servers: list[BoundedServer] = []
        self._shared: tuple[BoundedServer, list[socket.socket]] | None = None
        self._public = self.address = f"{settings.host}:{settings.port}"
        self.api_address = ""

    def start(self, app: tornado.web.Application, max_body_bytes: int) -> None:
        """Serve HTTP and WebSockets at `node.host`, `node.port`.

        Args:
            app: what is served.
            max_body_bytes: of a request.

        Raises:
            ServerFailed: the port is taken, the address is not this machine's, or the certificate
                cannot be used.
        """
        wanted = self._settings
        where = self._serve(app, wanted.host, wanted.port, "node.port", max_body_bytes)
        self._public = self.address = where

    def share(self, app: tornado.web.Application, max_body_bytes: int) -> None:
        """Serve where `start` does, beside other processes that do; else as `start`.

        Its own address stays that of the API: at the shared one somebody else may answer.
        """
        check_platform()
        wanted = self._settings
        self._serve(app, wanted.host, wanted.port, "node.port", max_body_bytes, shared=True)

    def start_api(self, app: tornado.web.Application, max_body_bytes: int) -> None:
        """Serve HTTP at `api.host`, `api.port`; else as `start`."""
        wanted = self._api
        try:
            where = self._serve(app, wanted.host, wanted.port, "api.port", max_body_bytes)
        except ServerFailed:
            self.refuse_new()
            raise
        self.api_address = where
        if self._settings.reuse_port:
            self.address = where

    def _serve(
        self,
        app: tornado.web.Application,
        host: str,
        port: int,
        setting: str,
        max_body_bytes: int,
        *,
        shared: bool = False,
    ) -> str:
        certificates = self._look_after_certificates()
        try:
            sockets = bind_sockets(port, host, reuse_port=shared)
        except OSError as exc:
            raise ServerFailed(
                f"cannot listen on {host}:{port}: {exc.strerror}; choose another {setting}"
            ) from exc
        server = BoundedServer(
            ThroughProxies(app, self._proxies),
            limits=self._admission.limits,
            counts=self._admission.counts,
            max_body_bytes=max_body_bytes,
            by_address=self._bounds,
            ssl_options=None if certificates is None else certificates.context,
        )
        if certificates is not None:
            certificates.serve(server)
        server.add_sockets(sockets)
        self._servers.append(server)
        if shared:
            self._shared = server, sockets
        return f"{host}:{sockets[0].getsockname()[1]}"

    def _bounds(self, peer: str) -> bool:
        """Say whether the limits of an address hold for a peer: behind a proxy are many."""
        return self._admission.by_address and not self._proxies.trusted(peer)

    def _look_after_certificates(self) -> Certificates | None:
        if self._certificates is None and self._tls.certificate_file:
            self._certificates = Certificates(self._tls, self._services)
            self._certificates.start()
        return self._certificates

    @property
    def url(self) -> str:
        """Return where users come, and where its pages are if the API is there, too."""
        return url_of(self._public, secure=bool(self._tls.certificate_file))

    def reload_certificate(self) -> None:
        """Load the certificate again, if there is one; one that cannot be used changes nothing."""
        if self._certificates is not None:
            self._certificates.reload()

    async def leave_shared(self, within_s: float) -> None:
        """Leave a port that others share to them, so that no client notices; else do nothing.

        Returns when nobody comes any more, and those who came have had their answer.

        Args:
            within_s: how long to wait for those at most, seconds; some connect and say nothing.
        """
        if self._shared is None:
            return
        server, sockets = self._shared
        self._shared = None
        try:
            async with asyncio.timeout(within_s):
                await begin_nothing(sockets)
                server.stop()
                while server.arriving:
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            server.stop()

    def refuse_new(self) -> None:
        """Take no more connections; those that are there go on."""
        for server in self._servers:
            server.stop()

    async def close(self) -> None:
        """Take no more connections and close those of HTTP; WebSockets are for their sessions."""
        if self._certificates is not None:
            await self._certificates.stop()
        self.refuse_new()
        for server in self._servers:
            await server.close_all_connections()


def check_ports(plans: Iterable[NodePlan]) -> None:
    """Find out whether the ports are free before anything is started.

    Raises:
        ServerFailed: naming the first that is not.
    """
    for plan in plans:
        # A port for the API is left to its node: where that listens only the node needs to know.
        family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((plan.host, plan.port))
            except OSError as exc:
                raise ServerFailed(
                    f"node {plan.name} cannot listen on {plan.host}:{plan.port}: {exc.strerror}; "
                    "choose other ports with --port"
                ) from exc
