"""Addresses of stores: one server, or several of which any will do to begin with."""

from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORT = 6379


def each_server(url: str, default_port: int = DEFAULT_PORT) -> list[str]:
    """Return the address of each server that a URL names, each with what stands around them.

    Args:
        url: `redis://user:password@one:7000,other:7001/0`, or one of a single server.
        default_port: of a server that is named without one.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return [url]
    login, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts and default_port == DEFAULT_PORT:
        return [url]
    servers = [host if _has_port(host) else f"{host}:{default_port}" for host in hosts.split(",")]
    return [urlunsplit(parts._replace(netloc=login + at + server)) for server in servers]


def at_server(url: str, address: str) -> str:
    """Return a URL like `url` for the server at `address`, `host:port`."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=login + at + address))


def join_address(host: str, port: int) -> str:
    """Return `host:port`; an IPv6 address in brackets, as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def printable_address(url: str) -> str:
    """Return `url` as it may be shown: without user and password."""
    return ", ".join(map(_printable, each_server(url)))


def _printable(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return join_address(parts.hostname or "localhost", parts.port or DEFAULT_PORT)


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
