"""Telling a node to leave, from anywhere: as SIGTERM would, without a way to its machine."""

from router.codec import DrainEnvelope, encode
from router.errors import InvalidRequest, SwitchboardError, UnknownNode
from router.member import Member
from router.model import Endpoint, EndpointId, check_name
from router.transport.outbox import Push


async def drain(member: Member, node: str) -> EndpointId:
    """Order one node to drain; one that does already is told again, and no harm is done.

    Args:
        member: this process.
        node: its name, or its endpoint (`name.epoch`) where two have the same name.

    Returns:
        The endpoint that was told. It has the order in its inbox; it leaves in its own time.

    Raises:
        InvalidRequest: that is no name, or two nodes have it.
        UnknownNode: no such node is alive.
        Unavailable, StoreRefused: the store is away or refuses, or the inbox is full.
    """
    check_name(node.partition(".")[0], "node")
    found = chosen(await member.leases.everybody(), node)
    failures: list[SwitchboardError] = []
    order = encode(DrainEnvelope(found.endpoint))
    result = await member.outbox.post(found.endpoint, order, failures)
    if failures:
        raise failures[0]
    if result is not Push.PUSHED and found.state != "draining":
        raise UnknownNode(node, "it has just left")
    return found.endpoint


def chosen(endpoints: list[Endpoint], node: str) -> Endpoint:
    """Return the one node that is meant; arguments and errors as `drain`."""
    named = [e for e in endpoints if e.role == "node" and node in (e.name, e.endpoint)]
    alive = [e for e in named if e.state != "lost"]
    if len(alive) > 1:
        ids = " or ".join(e.endpoint for e in alive)
        raise InvalidRequest("node", f"{len(alive)} nodes are called '{node}'; name {ids}")
    if not alive:
        reason = "its lease has ended, and others rescue what it has left" if named else ""
        raise UnknownNode(node, reason or "'switchboard nodes' lists those there are")
    return alive[0]
