"""What a run stands on: where each of its processes is, and how it reaches the store."""

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from node.auth.apikeys import digest_of, make
from node.auth.gate import Scope
from router.store.embedded import EmbeddedServer
from scripts.faults import sender as sending
from scripts.faults.host_store import HostServer
from scripts.faults.hosts import Hosts
from scripts.faults.links import Links
from scripts.faults.masters import Servers
from scripts.faults.options import Options
from scripts.faults.reading import reader
from scripts.faults.settings import as_environment
from scripts.faults.several import SeveralServers, start_servers
from scripts.faults.steps import CLIENTS, SENDER, STORE, node_names
from scripts.measuring.children import Children
from scripts.measuring.peer import STORE_URL
from scripts.measuring.place import HERE, Place
from scripts.measuring.proxy import Proxy
from scripts.measuring.store import Store, Stores

_FSYNC = "always"
_KEYS = "keys.toml"


class Ground(Protocol):
    """Where the processes of a run are.

    Args:
        store: the running store; None where it is several servers.
        servers: those; None where it is one.
        proxies: by who has one between itself and the store; {} where there can be none.
        links: between hosts; None where all is on one machine.
    """

    store: Store | None
    servers: Servers | None
    proxies: Mapping[str, Proxy]
    links: Links | None

    def reader(self) -> Any:
        """Return a client for who looks into the store."""

    def place(self, name: str) -> Place:
        """Return where a node, the clients or the sender are."""

    def environment(self, name: str) -> dict[str, str]:
        """Return what a node, the clients or the sender are told of all this."""


class OneMachine:
    """Everything on this machine; proxies stand between the store and who is to be cut off from it.

    Args:
        store: the running store.
        proxies: see `Ground`.
    """

    def __init__(self, store: Store, proxies: Mapping[str, Proxy]) -> None:
        self._url = store.url
        self.store: Store | None = store
        self.servers: Servers | None = None
        self.proxies = proxies
        self.links: Links | None = None

    def reader(self) -> Any:
        """See `Ground`."""
        return reader(self._url)

    def place(self, name: str) -> Place:
        """See `Ground`."""
        return HERE

    def environment(self, name: str) -> dict[str, str]:
        """See `Ground`."""
        if name == CLIENTS:
            return {}
        if name == SENDER:
            return {STORE_URL: self._url, sending.THROUGH: self.proxies[SENDER].url}
        return {STORE_URL: self.proxies[name].url}


class ManyHosts:
    """A host for the store, for each node, for all clients, and for the sender.

    Nodes that listen on more than loopback believe nobody: users have tokens, the sender has a key.

    Args:
        store: the running store.
        hosts: where everything is.
        links: between them.
        folder: for the keys of the API; what is written there are their digests.
    """

    def __init__(self, store: Store, hosts: Hosts, links: Links, folder: Path) -> None:
        address = store.server.address
        self.store: Store | None = store
        self.servers: Servers | None = None
        self.proxies: Mapping[str, Proxy] = {}
        self.links: Links | None = links
        self._looking_url = f"unix://default:{address.password}@{address.socket}"
        self._hosts = hosts
        where = hosts.places[STORE].at(address.port)
        self._store_url = f"redis://{address.login}@{where}"
        self._key = make("sender")
        file = folder / _KEYS
        file.write_text(_keys_file(self._key), encoding="utf-8")
        self._auth = as_environment(
            {"auth": {"mode": "jwt", "secret": secrets.token_hex(32)}, "api": {"keys_file": file}}
        )

    def reader(self) -> Any:
        """See `Ground`."""
        return reader(self._looking_url)

    def place(self, name: str) -> Place:
        """See `Ground`."""
        return self._hosts.places[name]

    def environment(self, name: str) -> dict[str, str]:
        """See `Ground`."""
        if name == CLIENTS:
            return self._auth
        if name == SENDER:
            return {STORE_URL: self._store_url, sending.KEY: self._key}
        here = as_environment({"node": {"host": self.place(name).host}})
        return {STORE_URL: self._store_url, **self._auth, **here}


@dataclass(frozen=True, slots=True)
class Base:
    """What a run's ground is made of.

    Args:
        store: a single server, or several.
        hosts: where everything is; None where all is on one machine.
    """

    store: Store | Servers
    hosts: Hosts | None = None


def start_store(exits: ExitStack, options: Options, stores: Stores) -> Base:
    """Start the store, on a host of its own if there are hosts.

    Args:
        exits: owns what is started.
        options: of the run.
        stores: starts it.

    Raises:
        NoHosts, ServerFailed, ServersFailed: it cannot be.
    """
    if options.several:
        return Base(start_servers(exits, options, stores))
    hosts, server = None, EmbeddedServer(stores.folder(STORE), _FSYNC)
    if options.hosts:
        hosts = exits.enter_context(Hosts((STORE, CLIENTS, SENDER, *node_names(options.nodes))))
        server = HostServer(stores.folder(STORE), _FSYNC, hosts.places[STORE])
    store = stores.run(server)
    exits.callback(stores.stop, store)  # before its host goes
    return Base(store, hosts)


async def make_ground(
    exits: AsyncExitStack,
    options: Options,
    base: Base,
    children: Children,
    folder: Path,
) -> Ground:
    """Prepare the ways to the store, so that they can be broken.

    Args:
        exits: owns the proxies.
        options: of the run.
        base: from `start_store`.
        children: owns the processes.
        folder: of the ledger.

    Raises:
        ChildFailed: it cannot be.
    """
    store, hosts = base.store, base.hosts
    if not isinstance(store, Store):
        return SeveralServers(store)
    if hosts is not None:
        links = Links(hosts, children)
        await links.start()
        return ManyHosts(store, hosts, links, folder)
    address = store.server.address
    proxies = {
        name: await exits.enter_async_context(Proxy(address.socket, address.login))
        for name in (SENDER, *node_names(options.nodes))
    }
    return OneMachine(store, proxies)


def _keys_file(key: str) -> str:
    """Return a file of the one key that there is."""
    digest = digest_of(key).hex()
    return f'[[key]]\nname = "sender"\nsha256 = "{digest}"\nscopes = ["{Scope.SEND}"]\n'
