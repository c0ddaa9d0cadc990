"""Addresses of stores: one server, or several of which any will do to begin with."""

from urllib.parse import urlsplit

DEFAULT_PORT = 6379


def each_server(url: str, default_port: int = DEFAULT_PORT) -> list[str]:
    """Return the address of each server that a URL names, each with what stands around them.

    Args:
        url: `redis://user:password@one:7000,other:7001/0`, or one of a single server.
        default_port: of a server that is named without one.
    """
    scheme, login, hosts, rest = _split(url)
    if scheme == "unix" or ("," not in hosts and default_port == DEFAULT_PORT):
        return [url]
    servers = [host if _has_port(host) else f"{host}:{default_port}" for host in hosts.split(",")]
    return [f"{scheme}://{login}{server}{rest}" for server in servers]


def hosts_of(url: str) -> list[str]:
    """Return the servers that a URL names, `host` or `host:port` each."""
    return _split(url)[2].split(",")


def path_of(url: str) -> str:
    """Return what stands behind the servers, up to the options."""
    return _split(url)[3].partition("?")[0].partition("#")[0]


def at_server(url: str, address: str) -> str:
    """Return a URL like `url` for the server at `address`, `host:port`."""
    scheme, login, _, rest = _split(url)
    return f"{scheme}://{login}{address}{rest}"


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


def _split(url: str) -> tuple[str, str, str, str]:
    """Return scheme, login with its `@`, servers, and all behind them; `urlsplit` takes but one."""
    scheme, _, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    login, at, hosts = rest[:end].rpartition("@")
    return scheme, login + at, hosts, rest[end:]


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
