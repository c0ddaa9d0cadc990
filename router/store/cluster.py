"""The store on a Redis Cluster: a link to each master, each command to whoever has its key.

All keys of one command are in one slot (`router.keys`), so nothing else has to change.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hiredis import ReplyError

from router.errors import SwitchboardError, Unavailable
from router.store.connect import Connector
from router.store.link import Link
from router.store.resp import Command
from router.store.store import Store
from router.store.topology import Topology
from router.store.trouble import Meaning, Trouble
from router.urls import at_server, join_address

MakeLink = Callable[[Connector], Link]


class ClusterConnector(Connector):
    """Opens connections to the masters of one Cluster.

    Args:
        url: of one of its servers, or of several with commas between them.
        more: see `Connector`.
    """

    def __init__(self, url: str, *more: Any) -> None:
        super().__init__(url, *more)
        self.topology = Topology(self)

    def at(self, address: str) -> Connector:
        """Return a connector to the server at `address`, `host:port`."""
        url = at_server(self.url, address)

        async def where() -> str:
            return url

        return self.aimed(address, where)

    def towards(self, key: Callable[[], str]) -> Connector:
        """Return a connector to the master that holds a key; see `Connector.towards`.

        The Cluster is asked before each connection: the last one may have ended since another
        master has the key.
        """

        async def where() -> str:
            await self.topology.load()
            master = self.topology.master_of(key())
            if not master:
                raise Unavailable(self.address, "no master holds the slot")
            return at_server(self.url, master)

        return self.aimed(self.address, where)

    async def _there(self) -> str:
        """Return the address of any master: of the first, for what may run anywhere."""
        await self.topology.load()
        return at_server(self.url, self.topology.masters[0])


class Cluster(Store):
    """See `Store` for what is promised.

    Args:
        connector: of the Cluster; its topology is shared by all that have the same one.
        make_link: returns a link, not open yet, whose connections a connector opens.
    """

    follows = True

    def __init__(self, connector: ClusterConnector, make_link: MakeLink) -> None:
        self.counts = connector.counts
        self.address = connector.address
        self._connector = connector
        self._topology = connector.topology
        self._make_link = make_link
        self._links: dict[str, Link] = {}
        # One that never opens: where commands go whose key nobody has.
        self._nowhere = make_link(connector.aimed(connector.address, _no_master))
        self._young: dict[Link, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened = False

    @property
    def up(self) -> bool:
        """See `Store.up`."""
        return any(link.up for link in self._links.values())

    def reaches(self, key: str) -> bool:
        """See `Store.reaches`."""
        return self.link_of(key).up

    def place(self, key: str) -> str:
        """See `Store.place`."""
        return self._topology.master_of(key)

    async def open(self) -> None:
        """See `Store.open`; every master must answer."""
        await self._topology.open()
        try:
            links = {master: self._new_link(master) for master in self._topology.masters}
            self._links = links
            opening = [link.open() for link in links.values()]
            found = await asyncio.gather(*opening, return_exceptions=True)
            for failure in found:
                if isinstance(failure, BaseException):
                    raise failure
        except BaseException:
            await self._close_all()
            await self._topology.close()
            raise
        self._opened = True
        self._topology.watch(self._changed, self._missing)
        self._changed()  # while we connected

    async def close(self) -> None:
        """See `Store.close`."""
        if self._opened:
            self._opened = False
            self._topology.unwatch(self._changed, self._missing)
            await self._close_all()
            await self._topology.close()

    async def _close_all(self) -> None:
        for opening in self._young.values():
            opening.cancel()
        # Not those that are being ended: cancelled, they would keep their connections.
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._young.clear()
        links, self._links = self._links, {}
        for link in links.values():
            await link.end()

    def tell(self, command: Command) -> bool:
        """See `Store.tell`; the answer is looked at, since it may say where the key is by now."""
        reaches = self.reaches(command.key)
        if reaches:
            self.send((command,), _ignore)
        return reaches

    async def each(self, packed: bytes) -> dict[str, Any]:
        """See `Store.each`."""
        found = {}
        for address, link in sorted(self._links.items()):
            reply = (await link.ask(packed, 1))[0]
            self._refuse_errors((reply,))
            found[address] = reply
        return found

    # ---- links: see `flight.Links` ------------------------------------------------------------

    def link_of(self, key: str) -> Link:
        """See `Links.link_of`; what may run anywhere goes to the first that is up."""
        if not key:
            return next((link for link in self._links.values() if link.up), self._nowhere)
        return self._links.get(self._topology.master_of(key), self._nowhere)

    def redirected(self, error: ReplyError) -> Link:
        """See `Links.redirected`: `ASK 3999 127.0.0.1:6381`."""
        return self._link_at(_address_in(error, self.address))

    def coming(self, link: Link) -> bool:
        """See `Links.coming`."""
        return link in self._young

    def heard(self, link: Link, trouble: Trouble, error: ReplyError) -> None:
        """See `Links.heard`."""
        if trouble.meaning is Meaning.MOVED:
            address = _address_in(error, link.address)
            self._link_at(address)
            self._topology.moved(int(str(error).split()[1]), address)
        elif trouble.meaning is Meaning.UNAVAILABLE:
            self._topology.doubt()
        if trouble.elsewhere:
            link.leave(str(error))

    def _link_at(self, address: str) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = self._new_link(address)
            self._young[link] = self._begin(self._open(address, link))
        return link

    def _new_link(self, address: str) -> Link:
        return self._make_link(self._connector.at(address))

    async def _open(self, address: str, link: Link) -> None:
        """Open one more link; where nobody answers, forget it: who needs it asks for it again."""
        try:
            await link.open()
        except SwitchboardError:
            if self._links.get(address) is link:
                del self._links[address]
            self._topology.doubt()
        finally:
            del self._young[link]
            if self._links.get(address) is not link:  # it is wanted no longer
                self._begin(link.end())

    def _changed(self) -> None:
        """Have a link to every master, and none to others."""
        masters = self._topology.masters
        for master in masters:
            self._link_at(master)
        for address in self._links.keys() - masters:
            link = self._links.pop(address)
            if link not in self._young:  # else whoever opens it sees to it
                self._begin(link.end())

    def _missing(self) -> bool:
        return any(
            master not in self._links or not self._links[master].up
            for master in self._topology.masters
        )

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name="cluster link")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.counts.failed("cluster link")
            self._topology.doubt()


async def _no_master() -> str:
    raise AssertionError("nobody opens this link")


def _address_in(error: ReplyError, asked: str) -> str:
    """Return the address in a MOVED or an ASK; without a host it is that of whoever said so."""
    host, _, port = str(error).split()[2].rpartition(":")
    known = host if host not in ("", "?") else asked.rpartition(":")[0].strip("[]")
    return join_address(known, int(port))


def _ignore(_: list[Any]) -> None:
    """What became of it is of no interest."""
