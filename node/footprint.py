"""What this process takes of its machine."""

import time
from pathlib import Path
from resource import getpagesize
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_SHORTEST_S: Final = 0.5  # below it the kernel's clock ticks are coarse


class Footprint:
    """CPU and memory of this process, sampled when somebody asks."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._cpu_s = time.process_time()
        self._percent: float | None = None

    def cpu_percent(self) -> float | None:
        """Return the CPU time since this was last asked, in percent of one core.

        Asked again within half a second, it says the same once more; None before that.
        """
        now, cpu_s = time.monotonic(), time.process_time()
        if now - self._at >= _SHORTEST_S:
            self._percent = round(100 * (cpu_s - self._cpu_s) / (now - self._at), 1)
            self._at, self._cpu_s = now, cpu_s
        return self._percent

    def rss_bytes(self) -> int | None:
        """Return the memory this process holds, None where the system does not say.

        Source: proc_pid_statm(5): the second field counts resident pages.
        """
        try:
            return int(_STATM.read_bytes().split()[1]) * getpagesize()
        except OSError:  # not Linux
            return None
