"""Requests that come through proxies: who really sent them, and how."""

import ipaddress
from collections.abc import Awaitable, Iterable
from typing import Any, Final

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

_SCHEMES: Final = ("http", "https")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The proxies whose word counts.

    Args:
        networks: their addresses or networks, `node.trusted_proxies`.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def trusted(self, peer: str) -> bool:
        """Say whether what this peer says of others counts."""
        address = _address(peer)
        return address is not None and self._holds(address)

    def client_of(self, peer: str, forwarded_for: str) -> str:
        """Return the address of whoever sent a request.

        Each proxy adds, on the right, whom it had the request from. From the right, the first who
        is no proxy of ours is the sender: what stands further left they may have made up.

        Args:
            peer: the other end of the connection.
            forwarded_for: of all headers `X-Forwarded-For`, with commas; "" for none.
        """
        found = peer
        for hop in reversed(forwarded_for.split(",")):
            if not self.trusted(found):
                break
            address = _address(hop)
            if address is None:  # none of our proxies wrote this
                break
            found = str(address)
        return found

    def scheme_of(self, peer: str, scheme: str, forwarded_proto: str) -> str:
        """Return how the sender's request came to the outermost of our proxies.

        Args:
            peer: the other end of the connection.
            scheme: how it came from there.
            forwarded_proto: of all headers `X-Forwarded-Proto`, with commas; "" for none.
        """
        told = forwarded_proto.rpartition(",")[2].strip().lower()
        return told if told in _SCHEMES and self.trusted(peer) else scheme

    def _holds(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> _Address | None:
    """Return an address as proxies write it: alone, with a port, or in brackets."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found


class ThroughProxies(HTTPServerConnectionDelegate):
    """What an HTTP server serves, told of each request who really sent it.

    Tornado's own `xheaders` believes every peer, and `X-Real-Ip` before all.

    Args:
        app: what is served.
        proxies: whose word counts.
    """

    def __init__(self, app: HTTPServerConnectionDelegate, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See `HTTPServerConnectionDelegate.start_request`."""
        served = self._app.start_request(server_conn, request_conn)
        return _Told(served, request_conn, self._proxies)

    def on_close(self, server_conn: object) -> None:
        """See `HTTPServerConnectionDelegate.on_close`."""
        self._app.on_close(server_conn)


class _Told(HTTPMessageDelegate):
    """One request; a connection may bring those of many senders one after the other."""

    def __init__(
        self, served: HTTPMessageDelegate, connection: HTTPConnection, proxies: Proxies
    ) -> None:
        self._served = served
        # Not part of HTTPConnection's interface, but where Tornado keeps what requests are told.
        self._context: Any = connection.context  # type: ignore[attr-defined]
        self._proxies = proxies
        self._direct = (self._context.remote_ip, self._context.protocol)

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """See `HTTPMessageDelegate`."""
        peer, scheme = self._direct
        told = self._proxies
        self._context.remote_ip = told.client_of(peer, headers.get("X-Forwarded-For", ""))
        proto = headers.get("X-Forwarded-Proto", "")
        self._context.protocol = told.scheme_of(peer, scheme, proto)
        return self._served.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """See `HTTPMessageDelegate`."""
        return self._served.data_received(chunk)

    def finish(self) -> None:
        """See `HTTPMessageDelegate`."""
        self._served.finish()
        self._forget()

    def on_connection_close(self) -> None:
        """See `HTTPMessageDelegate`."""
        self._served.on_connection_close()
        self._forget()

    def _forget(self) -> None:
        self._context.remote_ip, self._context.protocol = self._direct
