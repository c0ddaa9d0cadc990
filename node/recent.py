"""What was written to which session lately, so that a repeat is dropped.

An entry is made by a socket write and by nothing else. One by message alone, or one made by a
bounce too, would swallow a message whose user moves away and back.
"""


class RecentWrites:
    """Remembers at least the last `size` writes, at most twice as many.

    Two generations: when the young one is full it becomes the old one. So an entry costs one
    insertion, and forgetting costs nothing.

    Args:
        size: how many writes are remembered for sure.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: set[tuple[str, str, str]] = set()
        self._old: set[tuple[str, str, str]] = set()

    def add(self, origin: str, message: str, session: str) -> bool:
        """Note a write.

        Args:
            origin: the user the message is from: two senders may use the same id.
            message: the message's id.
            session: the session it is written to.

        Returns:
            False if it was written to that session before.
        """
        key = (origin, message, session)
        if key in self._young or key in self._old:
            return False
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()
        self._young.add(key)
        return True

    def forget(self, origin: str, message: str, session: str) -> None:
        """Take a note back: nothing was written after all; arguments as `add`."""
        self._young.discard((origin, message, session))
