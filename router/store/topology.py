"""Which master of a Redis Cluster holds which slot, and keeping that up to date.

Nothing is polled while all is well: a MOVED, a lost connection or a CLUSTERDOWN says that what is
known may be wrong, and while a master that is needed cannot be reached, somebody is asked again and
again. Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from redis.crc import key_slot

from router.errors import StoreRefused, SwitchboardError, Unavailable
from router.store.connect import Connector
from router.urls import at_server, each_server, join_address, printable_address

SLOTS: Final = 16_384
# At least so far apart are two questions; a migration moves slot after slot.
_AT_MOST_EVERY_S: Final = 0.1
# As often somebody is asked while a master cannot be reached: its replica may have its place. Each
# question is a connection, and a thousand processes ask.
_AGAIN_S: Final = 1.0
_log = structlog.get_logger()


def slot_of(key: str) -> int:
    """Return the slot of a key, by its hash tag if it has one."""
    return int(key_slot(key.encode()))


def parse_slots(reply: Sequence[Any], asked: str) -> list[str]:
    """Return the master of each slot, `host:port`, from a reply to CLUSTER SLOTS; "" for none.

    Args:
        reply: see https://redis.io/docs/latest/commands/cluster-slots/.
        asked: host of the server that was asked, for masters that have no name of their own.
    """
    masters = [""] * SLOTS
    for first, last, master, *_ in reply:
        host = master[0].decode() if master[0] else asked
        address = join_address(host if host != "?" else asked, master[1])
        masters[first : last + 1] = [address] * (last + 1 - first)
    return masters


class Topology:
    """The masters of one Cluster.

    Args:
        connector: opens connections to its servers.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._seeds = each_server(connector.url)
        self._masters: list[str] = [""] * SLOTS
        self._wanted = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []
        self._missing: list[Callable[[], bool]] = []
        self._users = 0
        self._loading: asyncio.Task[None] | None = None
        self._following = connector.services.add("topology", self._follow)

    @property
    def masters(self) -> list[str]:
        """Return the address of every master that holds a slot, sorted."""
        return sorted(set(self._masters) - {""})

    def master_of(self, key: str) -> str:
        """Return the address of the master that holds a key; "" when nobody is known to."""
        return self._masters[slot_of(key)]

    def watch(self, changed: Callable[[], None], missing: Callable[[], bool]) -> None:
        """Call `changed` after each change; ask again and again while `missing` says True."""
        self._watchers.append(changed)
        self._missing.append(missing)

    def unwatch(self, changed: Callable[[], None], missing: Callable[[], bool]) -> None:
        """Undo `watch`."""
        self._watchers.remove(changed)
        self._missing.remove(missing)

    async def open(self) -> None:
        """Ask for the first time, and follow changes from now on; each user opens it once.

        Raises:
            Unavailable: no server answers, or they know of no master.
            StoreRefused: what answers is no Cluster, or refuses us.
        """
        if self._users == 0:
            await self.load()
            self._following.start()
        self._users += 1

    async def close(self) -> None:
        """Stop following when the last user has closed it."""
        self._users = max(0, self._users - 1)
        if self._users == 0:
            await self._following.stop()

    def doubt(self) -> None:
        """Note that what is known may be wrong; somebody is asked soon."""
        self._wanted.set()

    def moved(self, slot: int, address: str) -> None:
        """Take what a MOVED has said, and ask about the others."""
        if self._masters[slot] != address:
            self._masters[slot] = address
            self._changed()
        self.doubt()

    async def load(self) -> None:
        """Ask any server that answers; raises as `open`."""
        known = [at_server(self._connector.url, address) for address in self.masters]
        others = [url for url in self._seeds if url not in known]
        random.shuffle(known)
        failure: SwitchboardError = Unavailable(self._connector.address, "it knows of no master")
        for url in (*known, *others):
            try:
                reply = await self._connector.query(url, "CLUSTER", "SLOTS")
            except Unavailable as exc:
                failure = exc
                continue
            except StoreRefused as exc:
                if "cluster support disabled" in str(exc):
                    problem = f'{printable_address(url)} is no Cluster: set redis.mode = "single"'
                    raise StoreRefused(problem) from exc
                raise
            masters = parse_slots(reply, printable_address(url).rpartition(":")[0].strip("[]"))
            if any(masters):
                self._take(masters)
                return
        raise failure

    def _take(self, masters: list[str]) -> None:
        if masters != self._masters:
            self._masters = masters
            _log.info("cluster topology", masters=self.masters, slots=SLOTS - masters.count(""))
            self._changed()
        elif any(says() for says in self._missing):
            self._changed()  # a link may have been forgotten, since nobody answered

    def _changed(self) -> None:
        for watcher in list(self._watchers):
            watcher()

    async def _follow(self) -> None:
        while True:
            missing = any(says() for says in self._missing)
            try:
                async with asyncio.timeout(_AGAIN_S * random.uniform(0.5, 1) if missing else None):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.load()
            except SwitchboardError as exc:
                _log.warning("cluster topology not known", error=str(exc))
                self._wanted.set()
                await asyncio.sleep(_AGAIN_S * random.uniform(0.5, 1))
            await asyncio.sleep(_AT_MOST_EVERY_S * random.uniform(0.5, 1))
