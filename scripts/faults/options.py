"""What a run of the chaos runner does. Pure."""

from dataclasses import dataclass

FAULTS = ("kill", "pause", "redis-restart", "redis-hang", "cut", "slow", "drain", "move")
LINK_FAULTS = ("part", "one-way", "late")
# On hosts no proxy stands before the store: the links themselves are broken.
HOST_FAULTS = (*(fault for fault in FAULTS if fault not in ("cut", "slow")), *LINK_FAULTS)
SINGLE, CLUSTER, SENTINEL = "single", "cluster", "sentinel"
STORES = (SINGLE, CLUSTER, SENTINEL)
MASTER_FAULTS = ("master-kill", "master-hang", "failover")
SLOT_MOVE = "slot-move"
# Several servers name each other themselves, so no proxy can stand before them.
_NODE_FAULTS = ("kill", "pause", *MASTER_FAULTS)
SENTINEL_FAULTS = (*_NODE_FAULTS, "drain", "move")
CLUSTER_FAULTS = (*_NODE_FAULTS, SLOT_MOVE, "drain", "move")
ALL = "all"
NONE = "none"
PLAIN, SDK = "plain", "sdk"
CLIENTS = (PLAIN, SDK)
MIN_NODES = 2
_LONGEST_PAUSE_S = 5.0  # between attempts to connect to the store
PAGES = 2  # with the client SDK, where there is a Chromium


@dataclass(frozen=True, slots=True)
class Options:
    """One run.

    Args:
        seed: of everything that is drawn.
        seconds: how long messages are sent and things are broken.
        nodes: how many.
        users: how many; some have two devices.
        rate: messages per second.
        faults: which kinds, of `FAULTS`.
        clients: which kind, of `CLIENTS`.
        pages: how many pages in Chromium are clients too, each with a user of its own.
        quick: short leases, so that what waits for the end of one is over soon.
        durable: share of the messages that are durable.
        hosts: every process is on a host of its own.
        store: which kind, of `STORES`.
    """

    seed: int = 1
    seconds: float = 120.0
    nodes: int = 4
    users: int = 200
    rate: float = 300.0
    faults: tuple[str, ...] = FAULTS
    clients: str = PLAIN
    pages: int = 0
    quick: bool = False
    durable: float = 0.5
    hosts: bool = False
    store: str = SINGLE

    @property
    def several(self) -> bool:
        """Say whether the store is several servers."""
        return self.store != SINGLE

    @property
    def replace_s(self) -> float:
        """Return after how long a master that does not answer is replaced."""
        return 2.0 if self.quick else 3.0

    @property
    def lease_s(self) -> float:
        """Return the TTL of a lease."""
        return 3.0 if self.quick else 10.0

    @property
    def heartbeat_s(self) -> float:
        """Return the time between heartbeats."""
        return 0.6 if self.quick else 2.5

    @property
    def sweep_s(self) -> float:
        """Return how long a sweep over all sessions takes."""
        return 6.0 if self.quick else 20.0

    @property
    def ping_s(self) -> float:
        """Return the time between pings to quiet clients."""
        return 2.0 if self.quick else 5.0

    @property
    def drain_s(self) -> float:
        """Return how long a node takes at most to drain."""
        return 5.0 if self.quick else 12.0

    @property
    def timeout_s(self) -> float:
        """Return how long each send waits for its outcome."""
        return 8.0

    @property
    def connect_s(self) -> float:
        """Return how long the store may take to answer where servers or links are broken."""
        return 2.0 if self.quick else 5.0

    @property
    def return_s(self) -> float:
        """Return how soon after its way is whole again a node must be connected to the store.

        A proxy holds what came meanwhile, so nothing is lost. On hosts the attempt of that moment
        is lost with its packets, and the next one comes after a pause. So it is where a master
        has been replaced: nobody is told where the other one is.
        """
        return self.connect_s + _LONGEST_PAUSE_S if self.hosts or self.several else 0.0

    @property
    def silence_s(self) -> float:
        """Return after how long clients give up a node of which nothing comes; 0 for never."""
        return 3 * self.ping_s if self.hosts else 0.0

    @property
    def rest_s(self) -> float:
        """Return within how long the registry must be right after the end: lease and sweep."""
        return self.lease_s + self.sweep_s


def known_faults(*, hosts: bool, store: str) -> tuple[str, ...]:
    """Return the kinds there are, on hosts or not, and for a kind of store."""
    if store == CLUSTER:
        return CLUSTER_FAULTS
    if store == SENTINEL:
        return SENTINEL_FAULTS
    return HOST_FAULTS if hosts else FAULTS


def parse_faults(text: str, *, hosts: bool = False, store: str = SINGLE) -> tuple[str, ...]:
    """Return the kinds that `--faults` names, in the order of the table.

    Args:
        text: as it was given.
        hosts: whether links can be broken, and proxies cannot.
        store: which kind of store is broken.

    Raises:
        ValueError: there is no such kind.
    """
    known = known_faults(hosts=hosts, store=store)
    if text == ALL:
        return known
    words = set() if text == NONE else set(text.split(","))
    unknown = sorted(words - set(known))
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not one of {', '.join((*known, ALL, NONE))}")
    return tuple(fault for fault in known if fault in words)
