"""The HTTP servers of a node: where they listen, what they take, how they stop."""

from typing import Any, Final

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from node.proxies import Proxies, ThroughProxies
from router.errors import ServerFailed
from router.settings import ApiSettings, NodeSettings

# Requests are small but for a list of recipients; sockets have a limit of their own.
_HEADER_BYTES: Final = 16_384


class Listening:
    """What a node serves, and where.

    Args:
        settings: of the node.
        api: of the API, which may have a port of its own.
    """

    def __init__(self, settings: NodeSettings, api: ApiSettings) -> None:
        self._settings = settings
        self._api = api
        self._proxies = Proxies(settings.trusted_proxies)
        self._servers: list[HTTPServer] = []
        self.address = f"{settings.host}:{settings.port}"
        self.api_address = ""

    def start(self, app: tornado.web.Application, max_body_bytes: int) -> None:
        """Serve HTTP and WebSockets at `node.host`, `node.port`.

        Args:
            app: what is served.
            max_body_bytes: of a request.

        Raises:
            ServerFailed: the port is taken, or the address is not this machine's.
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
        try:
            sockets = bind_sockets(port, host)
        except OSError as exc:
            raise ServerFailed(
                f"cannot listen on {host}:{port}: {exc.strerror}; choose another {setting}"
            ) from exc
        options: dict[str, Any] = {"max_header_size": _HEADER_BYTES}
        served = ThroughProxies(app, self._proxies)
        server = HTTPServer(served, max_body_size=max_body_bytes, **options)
        server.add_sockets(sockets)
        self._servers.append(server)
        return f"{host}:{sockets[0].getsockname()[1]}"

    def refuse_new(self) -> None:
        """Take no more connections; those that are there go on."""
        for server in self._servers:
            server.stop()

    async def close(self) -> None:
        """Take no more connections and close those of HTTP; WebSockets are for their sessions."""
        self.refuse_new()
        for server in self._servers:
            await server.close_all_connections()
