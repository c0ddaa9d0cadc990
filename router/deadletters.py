"""What cannot be used is kept for inspection, capped, and never stops a loop."""

import asyncio
from typing import Any, Final

import structlog

from router.counts import Counts
from router.errors import DecodeError
from router.keys import Keys
from router.store.resp import keyed
from router.store.store import Store

MAX_DEAD_LETTERS: Final = 1_000
MAX_DEAD_LETTER_BYTES: Final = 65_536
_LOG_EVERY_S: Final = 60.0
_log = structlog.get_logger()


class DeadLetters:
    """One capped list for all endpoints; counted here, logged once a minute.

    Args:
        store: where to store them.
        keys: key names.
        counts: of the process; None for its own.
    """

    def __init__(self, store: Store, keys: Keys, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self._store = store
        self._keys = keys
        self._logged_at = float("-inf")

    def bury(self, entry: bytes, error: Exception) -> None:
        """Keep one entry.

        Args:
            entry: as it lay in the inbox; what is over 64 KiB is cut off.
            error: why it cannot be used.
        """
        self.counts.dead += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.warning(
                "inbox entry cannot be used; kept as a dead letter",
                key=self._keys.dead,
                total=self.counts.dead,
                error=str(error),
                exc_info=None if isinstance(error, DecodeError) else error,
            )
        push = keyed("RPUSH", self._keys.dead, entry[:MAX_DEAD_LETTER_BYTES])
        trim = keyed("LTRIM", self._keys.dead, -MAX_DEAD_LETTERS, -1)
        self._store.send((push, trim), _ignore)


def _ignore(_: list[Any]) -> None:
    """A dead letter that cannot be stored is counted and logged; more cannot be done."""
