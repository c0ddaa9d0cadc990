"""This process's claim to be alive: epoch, lease, heartbeat, and what happens when it is fenced."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from router.codec import Lease
from router.counts import Counts
from router.errors import SwitchboardError
from router.model import EndpointId
from router.service import Services
from router.settings import LeaseSettings
from router.store.clock import StoreClock
from router.store.lease import Leases

_JITTER: Final = 0.2
_log = structlog.get_logger()


class EndpointKeeper:
    """Opens an endpoint and keeps its lease.

    An endpoint that finds itself fenced (it was paused or cut off, or the store lost its data: one
    mechanism for all) takes a new epoch. Every name it knew is then a dead name, so it can do no
    harm with them.

    Args:
        leases: the endpoints in the store.
        settings: TTL and heartbeat.
        clock: set from each heartbeat's answer.
        describe: returns what to say of this process.
        on_epoch: awaited with each new endpoint id, before anything else is done under it.
        services: gets the heartbeat; None when nobody looks at it.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        leases: Leases,
        settings: LeaseSettings,
        clock: StoreClock,
        describe: Callable[[], Lease],
        on_epoch: Callable[[EndpointId], Awaitable[None]],
        services: Services | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._leases = leases
        self._settings = settings
        self._clock = clock
        self._describe = describe
        self._on_epoch = on_epoch
        self._name = ""
        self._now = asyncio.Event()
        self._beaten_at = -math.inf
        self._heartbeat = (services or Services()).add("heartbeat", self._beat_forever)
        self.id: EndpointId | None = None
        self.epochs = 0

    @property
    def alive(self) -> bool:
        """Say whether the lease is held, as far as this process can know."""
        age_s = asyncio.get_running_loop().time() - self._beaten_at
        return self.id is not None and age_s < self._settings.ttl_s

    @property
    def heartbeat_age_s(self) -> float | None:
        """Return how long ago the lease was renewed; None before the first time."""
        age_s = asyncio.get_running_loop().time() - self._beaten_at
        return None if math.isinf(age_s) else age_s

    async def open(self, name: str) -> None:
        """Take the first epoch and start the heartbeat.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; nothing is left running.
        """
        self._name = name
        try:
            await self._next_epoch()
        except BaseException:  # a cancelled caller, too: the next one must begin afresh
            self.id = None
            raise
        self._heartbeat.start()

    def check_now(self) -> None:
        """Beat at once: something suggests that the endpoint is fenced, or the store is back."""
        self._now.set()

    async def stop(self) -> None:
        """Stop the heartbeat; the lease ends by itself, or by `close`."""
        await self._heartbeat.stop()

    async def close(self) -> int:
        """End the endpoint if its inbox is empty; see `Leases.close`."""
        return 0 if self.id is None else await self._leases.close(self.id)

    async def _next_epoch(self) -> None:
        endpoint = await self._leases.open(self._name, self._describe())
        self._beaten_at = asyncio.get_running_loop().time()
        self.epochs += 1
        self.id = endpoint
        await self._on_epoch(endpoint)

    async def _beat_forever(self) -> None:
        while True:
            pause_s = self._settings.heartbeat_s * random.uniform(1 - _JITTER, 1)
            try:
                async with asyncio.timeout(pause_s):
                    await self._now.wait()
            except TimeoutError:
                pass
            self._now.clear()
            try:
                await self._beat()
            except SwitchboardError as exc:
                _log.warning("heartbeat failed", endpoint=self.id, error=str(exc))
            except Exception:  # noqa: BLE001
                # The edge of the loop: a process without heartbeats is a dead one to its peers.
                self.counts.failed("heartbeat")
                _log.exception("heartbeat failed", endpoint=self.id)

    async def _beat(self) -> None:
        assert self.id is not None
        sent_at = asyncio.get_running_loop().time()
        store_ms = await self._leases.heartbeat(self.id, self._describe())
        if store_ms is None:
            fenced = self.id
            self.counts.fenced += 1
            await self._next_epoch()
            _log.warning("endpoint was fenced, new epoch taken", was=fenced, now=self.id)
        else:
            self._clock.set(store_ms)
            self._beaten_at = sent_at
            self.counts.heartbeat_s = asyncio.get_running_loop().time() - sent_at
