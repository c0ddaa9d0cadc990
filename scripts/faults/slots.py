"""The nodes of a run: name, place and port outlive their processes."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from scripts.faults.entries import Ended
from scripts.faults.ground import Ground
from scripts.faults.ledger import Pen, now
from scripts.faults.options import Options
from scripts.faults.settings import settings_of
from scripts.faults.steps import node_names
from scripts.measuring.children import Child, ChildFailed, Children
from scripts.measuring.cluster import free_ports, start_node
from scripts.measuring.place import Place

_FOREVER_S = 1e6
_AGAIN_S = 0.5


class Slot:
    """One node: whichever process runs as it now.

    Args:
        name: of the node.
        place, port: where it listens.
        children: owns its processes.
        pen: the ledger.
        env: its settings.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        port: int,
        children: Children,
        pen: Pen,
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self.child: Child | None = None
        self.gone = asyncio.Event()
        self._children = children
        self._pen = pen
        self._place = place
        self._port = port
        self._env = env
        self._starts = 0
        self._meant = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Return where it listens: host, colon, port."""
        return self._place.at(self._port)

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
        child = await start_node(
            self._children, label, self.name, self._port, self._env, self._place
        )
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
    """All nodes of a run; an async context manager.

    Args:
        options: how many, and how.
        ground: where they are.
        children: owns the processes.
        pen: the ledger.
    """

    def __init__(self, options: Options, ground: Ground, children: Children, pen: Pen) -> None:
        names = node_names(options.nodes)
        self.slots = {
            name: Slot(
                name,
                ground.place(name),
                port,
                children,
                pen,
                {**settings_of(options), **ground.environment(name)},
            )
            for name, port in zip(names, free_ports(len(names)), strict=True)
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(slot.close() for slot in self.slots.values()))

    @property
    def addresses(self) -> Sequence[str]:
        """Return where they listen."""
        return [slot.address for slot in self.slots.values()]
