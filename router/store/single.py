"""The store on one server: every command takes the same connection."""

from typing import Any

from hiredis import ReplyError

from router.errors import StoreRefused, SwitchboardError
from router.store.link import Link
from router.store.resp import Command
from router.store.store import Store
from router.store.trouble import Meaning, Trouble, trouble_of


class Single(Store):
    """See `Store` for what is promised.

    Args:
        link: the connection, which belongs to this store from now on.
    """

    follows = False

    def __init__(self, link: Link) -> None:
        self._link = link
        self.counts = link.counts
        self.address = link.address

    @property
    def up(self) -> bool:
        """See `Store.up`."""
        return self._link.up

    def reaches(self, key: str) -> bool:
        """See `Store.reaches`."""
        return self._link.up

    def place(self, key: str) -> str:
        """See `Store.place`."""
        return ""

    async def open(self) -> None:
        """See `Store.open`."""
        await self._link.open()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._link.close()

    def tell(self, command: Command) -> bool:
        """See `Store.tell`; the server is not asked for an answer, which saves both a wake-up."""
        return self._link.tell(command.packed)

    async def each(self, packed: bytes) -> dict[str, Any]:
        """See `Store.each`."""
        return {self.address: await self.call(Command("", packed))}

    def link_of(self, key: str) -> Link:
        """See `Links.link_of`."""
        return self._link

    def redirected(self, error: ReplyError) -> Link:
        """See `Links.redirected`: it can only be told once more."""
        return self._link

    def coming(self, link: Link) -> bool:
        """See `Links.coming`."""
        return False

    def heard(self, link: Link, trouble: Trouble, error: ReplyError) -> None:
        """See `Links.heard`."""
        if trouble.elsewhere:
            link.leave(str(error))

    def explain(self, error: ReplyError) -> SwitchboardError:
        """See `Store.explain`; who sends us elsewhere is part of a Cluster."""
        if trouble_of(str(error)).meaning in (Meaning.MOVED, Meaning.ASK):
            return StoreRefused(f'it is part of a Cluster ({error}): set redis.mode = "cluster"')
        return super().explain(error)
