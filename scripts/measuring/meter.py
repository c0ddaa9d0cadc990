"""Reads what processes and stores have used so far, from their own accounts.

CPU never comes from the wall clock. On Linux it is the process's CPU clock (nanoseconds, all
its threads, ended ones too); the ticks of /proc/PID/stat, 10 ms each, are too coarse for short
runs. Elsewhere it is `ps`, in hundredths of a second, and the report says so.
"""

import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

NANOSECONDS = 1_000_000_000
_LINUX = platform.system() == "Linux"
_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED of the kernel's posix-timers: user + system, from the scheduler


def cpu_ns(pids: Iterable[int]) -> int:
    """Return the CPU time that these processes have used together, in nanoseconds.

    Raises:
        OSError: one of them has ended.
    """
    return sum(_process_ns(pid) for pid in pids)


def cpu_source() -> str:
    """Return one line that says where `cpu_ns` reads and how finely."""
    if _LINUX:
        return "CPU clock of each process (user + system, all threads), in nanoseconds"
    return "ps, in hundredths of a second: use long runs, short ones are coarse"


def process_clock(pid: int) -> int:
    """Return the id of another process's CPU clock, as clock_getcpuclockid(3) builds it."""
    return (~pid << 3) | _PROCESS_CLOCK


def parse_ps_time(text: str) -> int:
    """Return `[[D-]H:]M:S[.hh]`, as `ps -o time=` prints it, in nanoseconds.

    Raises:
        ValueError: it is something else.
    """
    days, _, clock = text.strip().rpartition("-")
    parts = clock.split(":")
    if not 2 <= len(parts) <= 3:
        raise ValueError(f"not a CPU time: {text!r}")
    seconds = int(days or 0) * 86_400.0
    for unit, part in zip((1, 60, 3600), reversed(parts), strict=False):
        seconds += unit * float(part)
    return round(seconds * NANOSECONDS)


def _process_ns(pid: int) -> int:
    if _LINUX:
        return time.clock_gettime_ns(process_clock(pid))
    shown = subprocess.run(
        ["/bin/ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    if shown.returncode != 0:
        raise ProcessLookupError(pid)
    return parse_ps_time(shown.stdout)


@dataclass(frozen=True, slots=True)
class StoreCount:
    """What a store has handled since it started."""

    commands: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def __sub__(self, other: "StoreCount") -> "StoreCount":
        return StoreCount(
            self.commands - other.commands,
            self.bytes_in - other.bytes_in,
            self.bytes_out - other.bytes_out,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """All accounts of a cluster at one moment.

    Args:
        nodes_ns, store_ns, sender_ns, clients_ns: CPU used by the processes of each role.
        store: what its server has handled.
    """

    nodes_ns: int
    store_ns: int
    sender_ns: int
    clients_ns: int
    store: StoreCount

    def __sub__(self, other: "Reading") -> "Reading":
        return Reading(
            self.nodes_ns - other.nodes_ns,
            self.store_ns - other.store_ns,
            self.sender_ns - other.sender_ns,
            self.clients_ns - other.clients_ns,
            self.store - other.store,
        )


class StoreMeter:
    """Reads a store's statistics, less what the reading itself costs.

    Args:
        url: the store's address.
    """

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        self._readings = 0
        self._own = StoreCount()
        first = self._read()
        self._own = self._read() - first  # what one reading adds; its digits hardly change

    def read(self) -> StoreCount:
        """Return the counts so far, without those of the readings."""
        self._readings += 1
        count = self._read()
        own = self._own
        times = self._readings
        return count - StoreCount(own.commands * times, own.bytes_in * times, own.bytes_out * times)

    def version(self) -> str:
        """Return what the server calls itself; uncounted, so not to be asked during a cell."""
        info = self._redis.info("server")
        name = info.get("server_name", "redis")
        return f"{name} {info.get(f'{name}_version', info['redis_version'])}"

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _read(self) -> StoreCount:
        info = self._redis.info("stats")
        return StoreCount(
            info["total_commands_processed"],
            info["total_net_input_bytes"],
            info["total_net_output_bytes"],
        )
