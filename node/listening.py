"""The HTTP servers of a node: where they listen, what they take, how they stop."""

from typing import Any, Final

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from node.proxies import Proxies, ThroughProxies
from router.errors import ServerFailed
from router.settings import NodeSettings

# Requests are small but for a list of recipients; sockets have a limit of their own.
_HEADER_BYTES: Final = 16_384


class Listening:
    """What a node serves, and where.

    Args:
        settings: of the node.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._server: HTTPServer | None = None
        self.address = f"{settings.host}:{settings.port}"

    def start(self, app: tornado.web.Application, max_body_bytes: int) -> None:
        """Serve HTTP and WebSockets at `node.host`, `node.port`.

        Args:
            app: what is served.
            max_body_bytes: of a request.

        Raises:
            ServerFailed: the port is taken, or the address is not this machine's.
        """
        wanted = self._settings
        try:
            sockets = bind_sockets(wanted.port, wanted.host)
        except OSError as exc:
            raise ServerFailed(
                f"cannot listen on {wanted.host}:{wanted.port}: {exc.strerror}; "
                "choose another node.port"
            ) from exc
        self.address = f"{wanted.host}:{sockets[0].getsockname()[1]}"
        options: dict[str, Any] = {"max_header_size": _HEADER_BYTES}
        served = ThroughProxies(app, Proxies(wanted.trusted_proxies))
        self._server = HTTPServer(served, max_body_size=max_body_bytes, **options)
        self._server.add_sockets(sockets)

    def refuse_new(self) -> None:
        """Take no more connections; those that are there go on."""
        if self._server is not None:
            self._server.stop()

    async def close(self) -> None:
        """Take no more connections and close those of HTTP; WebSockets are for their sessions."""
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
