"""What is checked of every input: it comes back, in time, and nothing of it stays.

A finding is written to a file; `python -m tests.fuzz --replay FILE` runs it again.
"""

import gc
import hashlib
import random
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Final

from tests.fuzz.mutating import mutate
from tests.fuzz.targets import Target

SLOWEST_S: Final = 1.0
# From round to round of a thousand different inputs: room for noise, not for a byte of each.
MOST_GROWTH_BYTES: Final = 16 * 1024
_ROUNDS: Final = 10


class Finding(Exception):
    """An input that a target did not stand.

    Args:
        target: its name.
        data: the input.
        what: what happened.
    """

    def __init__(self, target: str, data: bytes, what: str) -> None:
        super().__init__(f"{target}: {what}; the input: {data[:200]!r}")
        self.target = target
        self.data = data
        self.what = what

    def save(self, folder: Path) -> Path:
        """Write the input to a file that can be replayed; return where."""
        digest = hashlib.sha256(self.data).hexdigest()[:12]
        path = folder / f"{self.target}-{digest}.bin"
        path.write_bytes(self.data)
        return path


class Watch:
    """Runs inputs and looks at what they cost.

    CPU time and not the clock's: another process must not make an input slow.
    """

    def __init__(self) -> None:
        self.inputs: Counter[str] = Counter()
        self.slowest_s = 0.0

    def run(self, target: Target, data: bytes) -> None:
        """Run one input.

        Raises:
            Finding: it raised what is not documented, or took too long.
        """
        number = self.inputs[target.name]
        self.inputs[target.name] = number + 1
        began = time.thread_time()
        try:
            target.run(data)
        except Exception as exc:
            raise Finding(target.name, data, f"{type(exc).__name__}: {exc}") from exc
        took_s = time.thread_time() - began
        self.slowest_s = max(self.slowest_s, took_s)
        if took_s > SLOWEST_S:
            raise Finding(target.name, data, f"took {took_s:.2f} s of CPU time")


def growth(target: Target, count: int) -> int:
    """Return by how many bytes memory grows over inputs that come after a warm-up.

    Each round has inputs that none had before: what is kept for each input shows in every round. A
    cache with a bound (Tornado remembers a thousand names of headers) is full after some.

    Args:
        target: run with changed samples, the same ones each time.
        count: how many of them in each round.

    Raises:
        Finding: of `Watch.run`.
    """
    watch, rng = Watch(), random.Random(count)
    grown = level = 0
    tracemalloc.start()
    try:
        for number in range(_ROUNDS):
            for _ in range(count):
                watch.run(target, mutate(target, rng.choice(target.samples), rng))
            gc.collect()
            now = tracemalloc.get_traced_memory()[0]
            grown, level = now - level, now
            if number > 0 and grown <= MOST_GROWTH_BYTES:
                break
    finally:
        tracemalloc.stop()
    return grown


def check_growth(target: Target, count: int) -> int:
    """Return `growth`, if it is as good as none.

    Raises:
        Finding: it is not.
    """
    grown = growth(target, count)
    if grown > MOST_GROWTH_BYTES:
        raise Finding(target.name, b"", f"memory grows: {grown:,} bytes over {count:,} inputs")
    return grown
