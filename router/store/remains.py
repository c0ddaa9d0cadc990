"""What a dead endpoint has left in the store, and taking it over step by step.

Every step is checked against the rescuer's token, so two rescuers never undo each other's work: at
most one batch is sent on twice, and the receiving nodes drop the repeats by id.
"""

from dataclasses import dataclass
from typing import Final

from router.errors import Garbage
from router.keys import Keys
from router.model import EndpointId, UserId
from router.store import scripts
from router.store.lease import pack_mend
from router.store.registry import Registry
from router.store.resp import id_of, keyed
from router.store.store import Store

TOKEN_TTL_MS: Final = 15_000
_BATCH: Final = 512
_SLICE: Final = 500


@dataclass(frozen=True, slots=True)
class Salvage:
    """A batch of a rescued inbox.

    Args:
        position: absolute position of its first envelope.
        entries: as they lie in the list, head first; [] when nothing is left.
    """

    position: int
    entries: list[bytes]


class Remains:
    """Takes over one dead endpoint at a time.

    Args:
        store: where to ask.
        keys: key names.
        registry: removes its routes.
    """

    def __init__(self, store: Store, keys: Keys, registry: Registry) -> None:
        self._store = store
        self._keys = keys
        self._registry = registry

    async def fence(self, endpoint: EndpointId, token: str) -> bool:
        """Close the endpoint, or take its rescue over.

        Returns:
            Whether it is ours now; False when it is alive, or somebody else rescues it.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; perhaps fenced.
        """
        k = self._keys
        keys = (k.open(endpoint), k.lease(endpoint), k.inbox(endpoint), k.rescued(endpoint))
        script = scripts.FENCE.pack((*keys, k.rescuer(endpoint)), token, TOKEN_TTL_MS)
        # What stands in the place of its keys would keep everybody from ever rescuing it.
        mended, fenced = await self._store.answers((pack_mend(k, endpoint), script))
        self._store.counts.garbage += mended
        return bool(fenced == 1)

    async def read(self, endpoint: EndpointId) -> Salvage:
        """Return the next batch of the rescued inbox; it stays there until `remove`."""
        done = keyed("GET", self._keys.done(endpoint))
        batch = keyed("LRANGE", self._keys.rescued(endpoint), 0, _BATCH - 1)
        position, entries = await self._store.answers((done, batch))
        if position is not None and not position.isdigit():  # since it was fenced
            raise Garbage(f"{endpoint} has a position that is no number")
        return Salvage(int(position or 0), entries)

    async def remove(self, endpoint: EndpointId, token: str, salvage: Salvage) -> bool:
        """Remove a batch that was sent on, and keep the token; an empty one only does the latter.

        Returns:
            False when the rescue is not ours any more; nothing was removed then.
        """
        k = self._keys
        keys = (k.rescuer(endpoint), k.rescued(endpoint), k.done(endpoint))
        args = (token, TOKEN_TTL_MS, salvage.position, len(salvage.entries))
        return bool(await self._store.call(scripts.SALVAGE.pack(keys, *args)))

    async def remove_routes(self, endpoint: EndpointId) -> bool:
        """Remove the next slice of users' routes that name the endpoint.

        Returns:
            Whether there may be more.
        """
        listing = self._keys.users(endpoint)
        names = await self._store.command("ZRANGE", listing, 0, _SLICE - 1)
        if not names:
            return False
        users = [UserId(name) for each in names if (name := id_of(each)) is not None]
        await self._store.readings([self._registry.pack_forget(user, endpoint) for user in users])
        # As they were: whatever they are, they must go; but not before the routes, which may be on
        # other servers: a rescuer that dies in between leaves them to be found.
        await self._store.command("ZREM", listing, *names)
        return True

    async def bury(self, endpoint: EndpointId, token: str) -> bool:
        """Remove the last keys of the endpoint and take it off the list.

        Returns:
            False when the rescue is not ours any more, or something still waits.
        """
        k = self._keys
        keys = (k.rescuer(endpoint), k.rescued(endpoint), k.done(endpoint), k.users(endpoint))
        if not await self._store.call(scripts.BURY.pack((*keys, k.lease(endpoint)), token)):
            return False
        await self._store.command("SREM", k.endpoints, endpoint)
        return True
