"""How much an inbox may hold, in tests that look at its length alone."""

from router.store.inbox import Room


def room(length: int) -> Room:
    return Room(max_length=length, max_bytes=2**30, unweighed=length)
