"""The HTTP servers of a node: where they listen, what they take, how they stop."""

import socket
from collections.abc import Iterable

import tornado.web
from tornado.netutil import bind_sockets

from node.admission import Admission
from node.certificates import Certificates
from node.connections import BoundedServer
from node.peers import url_of
from node.proxies import Proxies, ThroughProxies
from node.respawn import NodePlan
from router.errors import ServerFailed
from router.service import Services
from router.settings import ApiSettings, NodeSettings, TlsSettings


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
        self.address = f"{settings.host}:{settings.port}"
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
        self.address = self._serve(app, wanted.host, wanted.port, "node.port", max_body_bytes)

    def start_api(self, app: tornado.web.Application, max_body_bytes: int) -> None:
        """Serve HTTP at `api.host`, `api.port`; else as `start`."""
        wanted = self._api
        try:
            where = self._serve(app, wanted.host, wanted.port, "api.port", max_body_bytes)
        except ServerFailed:
            self.refuse_new()
            raise
        self.api_address = where

    def _serve(
        self, app: tornado.web.Application, host: str, port: int, setting: str, max_body_bytes: int
    ) -> str:
        certificates = self._look_after_certificates()
        try:
            sockets = bind_sockets(port, host)
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
        """Return where its pages are."""
        return url_of(self.address, secure=bool(self._tls.certificate_file))

    def reload_certificate(self) -> None:
        """Load the certificate again, if there is one; one that cannot be used changes nothing."""
        if self._certificates is not None:
            self._certificates.reload()

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
