"""How late the event loop is: what blocks it keeps heartbeats back, too."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from router.counts import Counts
from router.service import Services

_TICK_S: Final = 0.5
_log = structlog.get_logger()


class Pulse:
    """Measures the event loop's delay, twice a second.

    Args:
        services: gets the loop.
        limit_s: a delay beyond this is worth a heartbeat before anything else, seconds.
        on_late: called then, first of all that has waited.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        services: Services,
        limit_s: float,
        on_late: Callable[[], None],
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._limit_s = limit_s
        self._on_late = on_late
        self._measuring = services.add("pulse", self._measure_forever)
        self.late_s = 0.0
        self.latest_s = 0.0
        self._worst_s = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._measuring.start()

    async def stop(self) -> None:
        """Measure no more. Idempotent."""
        await self._measuring.stop()

    def take_worst_s(self) -> float:
        """Return the longest delay since this was last asked, seconds."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s

    async def _measure_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self.late_s = max(0.0, loop.time() - due)
            self.latest_s = max(self.latest_s, self.late_s)
            self._worst_s = max(self._worst_s, self.late_s)
            self.counts.loop_late_s.add(self.late_s)
            if self.late_s > self._limit_s:
                self._on_late()
                _log.warning("event loop was blocked, or paused", seconds=round(self.late_s, 3))
