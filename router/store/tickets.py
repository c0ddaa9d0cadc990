"""One-time tickets: who has one, under its hash, until it is taken or its time is up.

Guarantees: a ticket is taken once, by whichever process of the cluster asks first; if the reply is
lost it may be gone all the same. Source: https://redis.io/docs/latest/commands/getdel/
"""

from router.keys import Keys
from router.store.store import Store


class TicketStore:
    """The tickets of a cluster.

    Args:
        store: where to ask.
        keys: key names.
    """

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    async def put(self, ticket: str, holder: bytes, ttl_ms: int) -> None:
        """Keep a ticket.

        Args:
            ticket: its hash.
            holder: who has it.
            ttl_ms: for how long.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        await self._store.command("SET", self._keys.ticket(ticket), holder, "PX", ttl_ms, "NX")

    async def take(self, ticket: str) -> bytes | None:
        """Remove a ticket and return who has it; None if there is none.

        Args:
            ticket: its hash.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        holder: bytes | None = await self._store.command("GETDEL", self._keys.ticket(ticket))
        return holder
