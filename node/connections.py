"""An HTTP server that bounds how many connections there are, and how long each may take.

Tornado has one time for the header of a connection's first request and for the silence before its
next, and no bound on how many connections there are. WebSockets are not among them: a connection
leaves the server when it becomes one.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakSet

from tornado.http1connection import HTTP1ConnectionParameters
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError

from node.admission import network_of
from node.pace import Limits
from router.counts import Counts


class BoundedServer(HTTPServer):
    """Tornado's server, with bounds.

    A new connection is worth more than one that waits for a request: when there are too many, the
    one that has waited longest is closed, so whoever only holds connections keeps nobody out.

    Args:
        app: what is served.
        limits: in force.
        counts: of the process.
        max_body_bytes: of a request.
        by_address: says whether the bound of an address holds for this peer.
    """

    def initialize(  # type: ignore[override]
        self,
        app: HTTPServerConnectionDelegate,
        *,
        limits: Limits,
        counts: Counts,
        max_body_bytes: int,
        by_address: Callable[[str], bool],
        **options: Any,
    ) -> None:
        """See `tornado.util.Configurable`."""
        super().initialize(app, max_body_size=max_body_bytes, **options)
        self._limits = limits
        self._counts = counts
        self._max_body_bytes = max_body_bytes
        self._bounds_address = by_address
        self._of_network: Counter[str] = Counter()
        # Both in the order in which they began: to wait for a request, and to be in one.
        self._waiting: dict[Any, float] = {}
        self._busy: dict[Any, float] = {}
        self._secure: WeakSet[SSLIOStream] = WeakSet()

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """See `TCPServer.handle_stream`; a connection too many is closed."""
        if isinstance(stream, SSLIOStream):
            self._secure.add(stream)
        network = network_of(address[0]) if address else ""
        bounded = bool(network) and self._bounds_address(address[0])
        limits = self._limits.now
        if bounded and self._of_network[network] >= limits.address_sessions:
            self._counts.limit("address_sessions")
            stream.close()
            return
        if len(self._connections) >= limits.http_connections:
            self._counts.limit("http_connections")
            if not self._make_room(stream.io_loop.time()):
                stream.close()
                return
        # Each has its own, since the time for a header is another one after the first request.
        self.conn_params = _Parameters(
            network if bounded else "",
            max_header_size=limits.header_bytes,
            header_timeout=limits.header_s,
            body_timeout=limits.body_s,
            max_body_size=self._max_body_bytes,
        )
        if bounded:
            self._of_network[network] += 1
        super().handle_stream(stream, address)

    async def close_all_connections(self) -> None:
        """See `HTTPServer.close_all_connections`; what still lingers over TLS ends, too.

        The loop knows a plain connection and closes it when it ends itself. Of one over TLS only
        its stream knows: whoever is gone without a word, or reads nothing, would leave it open.
        """
        await super().close_all_connections()
        for stream in list(self._secure):
            stream.close()

    def _make_room(self, now: float) -> bool:
        """Close a connection for another; return whether there was one that may be closed."""
        if self._waiting:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
        elif self._busy:
            oldest, began = next(iter(self._busy.items()))
            if now - began < self._limits.now.idle_s:
                return False
            del self._busy[oldest]  # takes its answer too slowly
        else:
            return False
        oldest.stream.close()
        return True

    @property
    def arriving(self) -> bool:
        """Say whether somebody has connected and not asked yet, or asked and has no answer yet."""
        return bool(self._busy) or any(not each.params.requests for each in self._waiting)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See `HTTPServer.start_request`; called before the header has come."""
        connection: Any = server_conn
        self._busy.pop(connection, None)
        self._waiting[connection] = connection.stream.io_loop.time()
        if connection.params.requests:
            connection.params.header_timeout = self._limits.now.idle_s
        return _Watched(super().start_request(server_conn, request_conn), self, connection)

    def header_came(self, connection: Any) -> None:
        """Note that a request has begun."""
        connection.params.requests += 1
        self._waiting.pop(connection, None)
        self._busy[connection] = connection.stream.io_loop.time()

    def cut(self, connection: Any) -> None:
        """Note that a request came to no end: Tornado closes it when its body has had its time."""
        began = self._busy.get(connection)
        if began is not None and self._late(connection, began, self._limits.now.body_s):
            self._counts.limit("body_s")

    def on_close(self, server_conn: object) -> None:
        """See `HTTPServer.on_close`; also called when a connection becomes a WebSocket."""
        super().on_close(server_conn)
        connection: Any = server_conn
        params: _Parameters = connection.params
        began = self._waiting.pop(connection, None)
        self._busy.pop(connection, None)
        if isinstance(connection.stream.error, UnsatisfiableReadError):
            self._counts.limit("header_bytes")
        elif began is not None and not params.requests:
            if self._late(connection, began, self._limits.now.header_s):
                self._counts.limit("header_s")
        if params.network:
            self._of_network[params.network] -= 1
            if self._of_network[params.network] <= 0:
                del self._of_network[params.network]

    @staticmethod
    def _late(connection: Any, began: float, limit_s: float) -> bool:
        # A timer may fire a little early by the clock it is compared with here.
        return bool(connection.stream.io_loop.time() - began >= 0.9 * limit_s)


class _Parameters(HTTP1ConnectionParameters):
    """Of one connection: what Tornado asks for, how many requests came, and whose it is."""

    def __init__(self, network: str, **options: Any) -> None:
        super().__init__(**options)
        self.network = network
        self.requests = 0


class _Watched(HTTPMessageDelegate):
    """One request; tells its server when the header is there, and when the rest never came."""

    def __init__(self, served: HTTPMessageDelegate, server: BoundedServer, connection: Any) -> None:
        self._served = served
        self._server = server
        self._connection = connection

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """See `HTTPMessageDelegate`."""
        self._server.header_came(self._connection)
        return self._served.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """See `HTTPMessageDelegate`."""
        return self._served.data_received(chunk)

    def finish(self) -> None:
        """See `HTTPMessageDelegate`."""
        self._served.finish()

    def on_connection_close(self) -> None:
        """See `HTTPMessageDelegate`."""
        self._server.cut(self._connection)
        self._served.on_connection_close()
