"""A mailbox as a test arranges it, past everything of ours."""

from typing import Any, Final

from router.store.scripts import ACK, LOOKUP, RESUME
from tests.support.bare_store import DAY_MS, BareStore

WEEK_MS: Final = 7 * DAY_MS


class Mail:
    """One user's mailbox in a bare store, asked with the scripts alone.

    Args:
        store: real.
    """

    def __init__(self, store: BareStore) -> None:
        self.store = store
        self.key = store.keys.key(store.user, "bob/order-1")

    def lookup(
        self,
        id: str = "m1",
        message: bytes = b"message",
        *,
        key: bool = False,
        most: int = 1_000,
        most_bytes: int = 1_000_000,
        ttl_ms: int = WEEK_MS,
        again: bool = False,
    ) -> list[Any]:
        """Look the user up; store `message` unless it is empty; return the whole reply."""
        s = self.store
        keys = (s.routes, s.mail, s.cursors, *((self.key,) if key else ()))
        limits = (most, most_bytes, ttl_ms, DAY_MS)
        reply = s.run(LOOKUP, keys, id, f"bob/{id}", message, *limits, int(again))
        return list(reply)

    def put(self, id: str, message: bytes = b"message", **how: Any) -> bytes:
        """Store a message; return its offset."""
        status, offset, *_ = self.lookup(id, message, **how)
        assert status == b"ok"
        assert offset
        return bytes(offset)

    def put_at(self, ms: int, id: str = "old") -> bytes:
        """Store a message as if that had been at `ms`; return its offset."""
        total = sum(len(fields[b"message"]) for _, fields in self.entries()) + 7
        fields = {"name": f"bob/{id}", "message": "message", "total": str(total)}
        offset: Any = self.store.redis.xadd(self.store.mail, fields, id=f"{ms}-0")  # type: ignore[arg-type]
        return bytes(offset)

    def resume(
        self, device: str = "web", since: bytes | str = "", ttl_ms: int = WEEK_MS, most: int = 32
    ) -> list[Any]:
        """Ask where a device goes on."""
        s = self.store
        return list(s.run(RESUME, (s.cursors, s.mail), device, since, ttl_ms, most))

    def ack(self, device: str, offset: bytes | str, ttl_ms: int = WEEK_MS) -> int:
        """Acknowledge for a device."""
        s = self.store
        return int(s.run(ACK, (s.cursors, s.mail), device, offset, ttl_ms))

    def entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return what the mailbox holds, oldest first."""
        found: Any = self.store.redis.xrange(self.store.mail)
        return list(found)

    def offsets(self) -> list[bytes]:
        """Return the offsets in the mailbox."""
        return [offset for offset, _ in self.entries()]

    def cursor(self, device: str) -> bytes | None:
        """Return how far a device has acknowledged."""
        value: Any = self.store.redis.hget(self.store.cursors, device)
        return None if value is None else bytes(value).split()[0]

    def devices(self) -> set[str]:
        """Return the devices that have a cursor."""
        fields: Any = self.store.redis.hkeys(self.store.cursors)
        return {field.decode() for field in fields} - {""}

    def cut(self) -> bytes | None:
        """Return how far the mailbox is noted to be cut."""
        return self.cursor("")
