"""A processor for the stores alone: else the slow log, which goes by the clock, tells of others.

A store that takes its turns before all others (SCHED_RR) would not do: Linux gives a twentieth of
each second to whoever starves, in one piece of up to 50 ms
(https://docs.kernel.org/scheduler/sched-rt-group.html, "Setup").
"""

import asyncio
import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_FIRST: Final = -20  # the nicest to itself
_LOOK_S: Final = 0.02


class Apart:
    """While it lasts, stores have the first processor, this program and its children the others.

    Use it as an asynchronous context manager, before anything is started. Where a program may not
    choose, or there is one processor, nothing changes.

    Attributes:
        apart: whether every store that was moved is by itself, and is served first there.
    """

    def __init__(self) -> None:
        self.apart = False
        self._all: set[int] = set()
        self._stores: list[int] = []
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if len(usable) > 1:
            self._all = usable
            os.sched_setaffinity(0, usable - {min(usable)})
            self.apart = True
            self._looking = asyncio.create_task(self._look_forever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
            os.sched_setaffinity(0, self._all)

    def move(self, pid: int) -> None:
        """Give the processor to a store: to the thread that runs commands, not to its helpers."""
        if not self._all:
            return
        try:
            os.sched_setaffinity(pid, {min(self._all)})
            self._stores.append(pid)
            policy = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(pid, policy, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, pid, _FIRST)
        except OSError:
            self.apart = False

    async def _look_forever(self) -> None:
        """Move the child that rewrites a store's file away: it begins where the store is."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for child in (child for store in self._stores for child in _children_of(store)):
                with contextlib.suppress(OSError):  # it has ended
                    os.sched_setaffinity(child, self._all - {min(self._all)})


def _children_of(pid: int) -> list[int]:
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in told.split()]
