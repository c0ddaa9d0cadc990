"""The ground of runs whose store is several servers, to which everybody connects straight."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from scripts.faults.links import Links
from scripts.faults.masters import Servers
from scripts.faults.options import CLUSTER, Options
from scripts.faults.reading import reader_of
from scripts.faults.steps import CLIENTS, STORE
from scripts.measuring.peer import STORE_URL
from scripts.measuring.place import HERE, Place
from scripts.measuring.proxy import Proxy
from scripts.measuring.redis_cluster import RedisCluster
from scripts.measuring.sentinels import Sentinels
from scripts.measuring.store import Store, Stores


class SeveralServers:
    """Everything on this machine, and no proxy: servers tell each other's addresses themselves.

    Args:
        servers: of the store; they run.
    """

    def __init__(self, servers: Servers) -> None:
        self.store: Store | None = None
        self.servers: Servers | None = servers
        self.proxies: Mapping[str, Proxy] = {}
        self.links: Links | None = None

    def reader(self) -> Any:
        """See `ground.Ground`."""
        assert self.servers is not None
        return reader_of(self.servers)

    def place(self, name: str) -> Place:
        """See `ground.Ground`."""
        return HERE

    def environment(self, name: str) -> dict[str, str]:
        """See `ground.Ground`."""
        assert self.servers is not None
        return {} if name == CLIENTS else {STORE_URL: self.servers.url}


def start_servers(exits: ExitStack, options: Options, stores: Stores) -> Servers:
    """Start three masters with a replica each, or a master with a replica and three Sentinels.

    Args:
        exits: owns what is started.
        options: of the run.
        stores: starts them.

    Raises:
        ServersFailed: they do not come together.
    """
    folder, replace_ms = stores.folder(STORE), round(options.replace_s * 1000)
    servers: Servers
    if options.store == CLUSTER:
        servers = RedisCluster(folder, node_timeout_ms=replace_ms)
    else:
        servers = Sentinels(folder, down_after_ms=replace_ms)
    exits.callback(servers.stop)
    servers.start()
    return servers
