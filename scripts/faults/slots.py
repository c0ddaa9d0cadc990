"""The nodes of a run: name, port and proxy to the store outlive their processes."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from scripts.faults.entries import Ended
from scripts.faults.ledger import Pen, now
from scripts.faults.options import Options
from scripts.faults.steps import node_names
from scripts.measuring.children import Child, ChildFailed, Children
from scripts.measuring.cluster import free_ports, start_node
from scripts.measuring.peer import STORE_URL
from scripts.measuring.proxy import Proxy
from scripts.measuring.store import Store

_FOREVER_S = 1e6
_AGAIN_S = 0.5
PREFIX = "chaos"
INBOX_CAP = 10_000
MAIL_CAP = 1_000


class Slot:
    """One node: whichever process runs as it now.

    Args:
        name: of the node.
        port: where it listens.
        proxy: between it and the store.
        children: owns its processes.
        pen: the ledger.
        env: settings that all nodes have.
    """

    def __init__(
        self,
        name: str,
        port: int,
        proxy: Proxy,
        children: Children,
        pen: Pen,
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self.port = port
        self.proxy = proxy
        self.child: Child | None = None
        self.gone = asyncio.Event()
        self._children = children
        self._pen = pen
        self._env = {**env, STORE_URL: proxy.url}
        self._starts = 0
        self._meant = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Return its process id; 0 while it has none."""
        return self.child.pid if self.child is not None else 0

    async def start(self) -> None:
        """Start a process; return when it takes sessions.

        Raises:
            ChildFailed: it does not.
        """
        self._starts += 1
        self._meant = False
        label = f"{self.name}-{self._starts}"
        child = await start_node(self._children, label, self.name, self.port, self._env)
        self.child = child
        self.gone.clear()
        self._watch = asyncio.create_task(self._watch_it(child), name=f"watch {label}")

    async def start_patiently(self, limit_s: float) -> None:
        """Start a process, again and again while the store is away.

        Raises:
            ChildFailed: it did not within `limit_s`.
        """
        give_up_at = asyncio.get_running_loop().time() + limit_s
        while True:
            try:
                await self.start()
            except ChildFailed:
                if asyncio.get_running_loop().time() > give_up_at:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    def signal(self, number: signal.Signals, *, ends: bool = False) -> bool:
        """Send it a signal; return whether there was a process to send it to.

        Args:
            number: which.
            ends: it is meant to end by it.
        """
        if self.child is None or not self.child.running():
            return False
        self._meant = self._meant or ends
        self.child.signal(number)
        return True

    async def _watch_it(self, child: Child) -> None:
        status = await child.ended(_FOREVER_S)
        self._pen.note(Ended(now(), self.name, status, self._meant))
        if self.child is child:
            self.child = None
            self.gone.set()

    async def close(self) -> None:
        """End its process, whatever state it is in."""
        if self.child is not None and self.child.running():
            self.signal(signal.SIGCONT, ends=True)
            await self._children.stop([self.child])
        if self._watch is not None:
            await self._watch


class Nodes:
    """All nodes of a run, and one more proxy for the sender; an async context manager.

    Args:
        options: how many, and how.
        store: of the run.
        children: owns the processes.
        pen: the ledger.
    """

    def __init__(self, options: Options, store: Store, children: Children, pen: Pen) -> None:
        self.slots: dict[str, Slot] = {}
        self._options = options
        self._store = store
        self._children = children
        self._pen = pen
        self._exits = AsyncExitStack()
        self.sender_proxy = self._proxy()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self.sender_proxy)
        names = node_names(self._options.nodes)
        for name, port in zip(names, free_ports(len(names)), strict=True):
            proxy = await self._exits.enter_async_context(self._proxy())
            env = settings_of(self._options)
            self.slots[name] = Slot(name, port, proxy, self._children, self._pen, env)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(slot.close() for slot in self.slots.values()))
        await self._exits.aclose()

    @property
    def ports(self) -> Sequence[int]:
        """Return where they listen."""
        return [slot.port for slot in self.slots.values()]

    @property
    def proxies(self) -> Sequence[Proxy]:
        """Return every proxy."""
        return [self.sender_proxy, *(slot.proxy for slot in self.slots.values())]

    def _proxy(self) -> Proxy:
        address = self._store.server.address
        return Proxy(address.socket, address.login)


def settings_of(options: Options) -> dict[str, str]:
    """Return the settings of nodes and senders, as the environment gives them."""
    given: dict[str, dict[str, object]] = {
        "registry": {"prefix": PREFIX, "user_ttl_s": 3 * options.sweep_s},
        "lease": {"ttl_s": options.lease_s, "heartbeat_s": options.heartbeat_s},
        "inbox": {"max_length": INBOX_CAP, "block_s": 1.0 if options.quick else 5.0},
        "mailbox": {"max_length": MAIL_CAP},
        "node": {"ping_interval_s": options.ping_s, "drain_s": options.drain_s},
        "log": {"level": "info", "format": "json"},
    }
    return {
        f"SWITCHBOARD_{section}__{key}".upper(): str(value)
        for section, values in given.items()
        for key, value in values.items()
    }
