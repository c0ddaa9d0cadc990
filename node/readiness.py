"""Whether a node should be given new sessions."""

from node.auth import Gate
from node.canary import Canary
from node.drain import Drain
from router.member import Member


class Readiness:
    """Asks the rooms of a node whether they are well.

    Args:
        member: of the cluster.
        drain: of the node.
        canary: in its inbox.
        gate: that users come through.
    """

    def __init__(self, member: Member, drain: Drain, canary: Canary, gate: Gate) -> None:
        self._member = member
        self._drain = drain
        self._canary = canary
        self._gate = gate

    def why_not(self) -> str | None:
        """Return why no new session should come here; None when they may."""
        if self._drain.begun:
            return "the node is draining"
        if not self._member.store.up:
            return "the store is not available"
        if not self._member.endpoint.alive:
            return "the node's lease has ended"
        failing = self._member.services.failing()
        if failing:
            return f"{' and '.join(failing)} ended unexpectedly and will be started again"
        if self._canary.silent:
            return "what is sent to this node does not come through its inbox"
        return self._gate.not_ready()
