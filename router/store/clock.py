"""The store's time, so that no two processes' clocks are ever compared with each other."""

import asyncio


class StoreClock:
    """Estimates the store's time from the last answer that carried it.

    The error is at most the round trip of that answer plus the drift since, so milliseconds.
    """

    def __init__(self) -> None:
        self._offset_ms: float | None = None

    @property
    def known(self) -> bool:
        """Say whether the store has told its time yet."""
        return self._offset_ms is not None

    def set(self, store_ms: int) -> None:
        """Take the store's time, milliseconds since 1970, as of now."""
        self._offset_ms = store_ms - asyncio.get_running_loop().time() * 1000

    def now_ms(self) -> int:
        """Return the store's time in milliseconds since 1970; 0 while it is not known."""
        if self._offset_ms is None:
            return 0
        return int(self._offset_ms + asyncio.get_running_loop().time() * 1000)
