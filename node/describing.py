"""What a node says of itself with each heartbeat."""

import asyncio
import os

from msgspec.structs import replace

from node.footprint import Footprint
from node.hub import Hub
from node.pulse import Pulse
from node.rates import Rate
from node.session import ClientSession
from router.codec import Lease
from router.member import Member
from router.vitals import Vitals


class Describing:
    """Makes the lease of a node.

    Args:
        member: this process's part of the cluster.
        hub: the sessions.
        pulse: how late the event loop is.
    """

    def __init__(self, member: Member, hub: Hub[ClientSession], pulse: Pulse) -> None:
        self._member = member
        self._hub = hub
        self._pulse = pulse
        self._footprint = Footprint()
        self._received = Rate()
        self._delivered = Rate()

    def lease(self, address: str, *, draining: bool) -> Lease:
        """Return what to say now.

        Args:
            address: where the node serves.
            draining: whether it is leaving.
        """
        now = asyncio.get_running_loop().time()
        counts = self._member.counts
        delivered = counts.delivered + counts.replayed
        return Lease(
            role="node",
            pid=os.getpid(),
            address=address,
            state="draining" if draining else "live",
            sessions=len(self._hub),
            received=counts.received,
            delivered=delivered,
            received_per_second=self._received.sample(counts.received, now),
            delivered_per_second=self._delivered.sample(delivered, now),
            vitals=self._vitals(),
        )

    def _vitals(self) -> Vitals:
        return replace(
            self._member.vitals(),
            users=self._hub.users,
            cpu_percent=self._footprint.cpu_percent(),
            rss_bytes=self._footprint.rss_bytes(),
            lag_ms=round(1000 * self._pulse.take_worst_s(), 1),
        )
