"""Loops with an owner: one that ends is noticed, counted and started again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
_WELL_S: Final = 30.0  # what ran this long was well: the next end counts as the first
_log = structlog.get_logger()


class Service:
    """One loop that shall run until it is stopped.

    Whatever ends it, an error or a cancellation by somebody else, it is started again after a
    pause that doubles, with jitter. The owner is no task itself, so there is none above it that
    could die in silence.

    Args:
        name: for the log, and for the words of a node that is not ready.
        run: the loop; it must bear being cancelled anywhere and begun again.
    """

    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.failures = 0
        self._run = run
        self._wanted = False
        self._in_a_row = 0
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None
        self._restart: asyncio.TimerHandle | None = None

    @property
    def failing(self) -> bool:
        """Say whether it should run and does not."""
        return self._wanted and (self._task is None or self._task.done())

    def start(self) -> None:
        """Run from now on; while it runs already, do nothing."""
        if not self._wanted:
            self._wanted = True
            self._in_a_row = 0
            self._launch()

    async def stop(self) -> None:
        """Stop; when this returns the loop has ended. Idempotent."""
        self._wanted = False
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _launch(self) -> None:
        self._restart = None
        self._began = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._until_it_ends(), name=self.name)
        self._task.add_done_callback(self._ended)

    async def _until_it_ends(self) -> None:
        await self._run()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if not self._wanted:
            return
        loop = asyncio.get_running_loop()
        self.failures += 1
        self._in_a_row = 1 if loop.time() - self._began >= _WELL_S else self._in_a_row + 1
        longest_s = min(_FIRST_PAUSE_S * 2.0 ** min(self._in_a_row, 20), _LONGEST_PAUSE_S)
        pause_s = longest_s * random.uniform(0.5, 1)
        self._restart = loop.call_later(pause_s, self._launch)
        _log.error(
            "a service has ended and is started again",
            service=self.name,
            pause_s=round(pause_s, 3),
            exc_info=error,
        )


class Services:
    """Every loop of one process, so that somebody can say whether they all run."""

    def __init__(self) -> None:
        self._all: list[Service] = []

    def add(self, name: str, run: Callable[[], Awaitable[None]]) -> Service:
        """Return a new service, not started yet; arguments as `Service`."""
        service = Service(name, run)
        self._all.append(service)
        return service

    def remove(self, service: Service) -> None:
        """Look at a service no longer; it is stopped."""
        self._all.remove(service)

    @property
    def failures(self) -> int:
        """Return how often any of them has ended."""
        return sum(service.failures for service in self._all)

    def restarts(self) -> dict[str, int]:
        """Return how often which of them has ended; several of one name count together."""
        ended: dict[str, int] = {}
        for service in self._all:
            ended[service.name] = ended.get(service.name, 0) + service.failures
        return ended

    def failing(self) -> list[str]:
        """Return the names of those that should run and do not."""
        return [service.name for service in self._all if service.failing]
