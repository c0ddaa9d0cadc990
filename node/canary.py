"""Whether what is sent to this node comes through: a tiny envelope to its own inbox, now and then.

A process can be well and its inbox dead: a reader that hangs is no error anywhere. So the node
writes to itself and waits for it to come back by the way that all messages come.
"""

import asyncio
import random
from functools import partial
from typing import Final

import structlog

from router.codec import Answer, ReceiptEnvelope, encode
from router.member import Member
from router.model import Outcome, UserId
from router.transport.base import Delivery
from router.transport.outbox import Push

PERIOD_S: Final = 5.0
_MISSED: Final = 3
_NOBODY: Final = UserId("canary")
_log = structlog.get_logger()


class Canary:
    """Sends a receipt to ourselves every few seconds, and counts those that do not come back.

    Args:
        member: this process's part of the cluster.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._missing = 0
        self._singing = member.services.add("canary", self._sing_forever)
        self.counts = member.counts
        self._unheard_since: float | None = None

    @property
    def silent(self) -> bool:
        """Say whether several in a row have not come back though the store took them."""
        return self._missing > _MISSED

    @property
    def lag_s(self) -> float:
        """Return how long a message takes through this node's inbox, by one clock, seconds."""
        if self._unheard_since is None:
            return self.counts.canary_s
        now = asyncio.get_running_loop().time()
        return max(self.counts.canary_s, now - self._unheard_since)

    def start(self) -> None:
        """Begin to send."""
        self._singing.start()

    async def stop(self) -> None:
        """Send no more. Idempotent."""
        await self._singing.stop()

    async def _sing_forever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S * random.uniform(0.8, 1.2))
            self._sing()

    def _sing(self) -> None:
        """Send one; if the last ones are missing, have the inbox read from the start first."""
        sending, endpoint = self._member.sending, self._member.endpoint.id
        if endpoint is None or not self._member.store.up:
            self._heard()  # the store is away: nobody could come through
            return
        if self.silent:
            self.counts.canary_misses += 1
            _log.warning("nothing comes through the inbox, reading it anew", endpoint=endpoint)
            self._member.receiver.restart("what was sent to it does not come through")
        # Counted in canaries and not in seconds: after a pause of the process none is missing.
        self._missing += 1
        now = asyncio.get_running_loop().time()
        self._unheard_since = self._unheard_since or now
        settled = partial(self._settled, now)
        delivery = sending.track(_NOBODY, PERIOD_S * _MISSED, settled)
        delivery.planned((endpoint,))
        receipt = encode(ReceiptEnvelope([delivery.ref, Answer.WRITTEN, 1]))
        self._member.outbox.push(endpoint, receipt, self._pushed, delivery)

    def _pushed(self, delivery: Delivery, result: Push) -> None:
        if result is Push.PUSHED:
            delivery.pushed()
        else:
            # An inbox that stays full is not read either; a store that is full says nothing of it.
            if result is not Push.FULL or self._member.outbox.store_full:
                self._heard()
            delivery.refused(Outcome.BUSY)
        self._member.sending.changed(delivery)

    def _settled(self, sung_at: float, delivery: Delivery) -> None:
        if delivery.outcome is Outcome.WRITTEN:
            self.counts.canary_s = asyncio.get_running_loop().time() - sung_at
            self._heard()

    def _heard(self) -> None:
        self._missing = 0
        self._unheard_since = None
