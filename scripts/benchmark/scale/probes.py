"""Which probes there are, in their order; a new one is added here and nowhere else."""

from scripts.benchmark.scale import (
    clusters,
    failover,
    listing,
    memory,
    parts,
    rescue,
    sending,
    sockets,
    upkeep,
)
from scripts.benchmark.scale.stage import Probe

PROBES = (
    Probe("registry", "registering", memory.measure, seconds=40),
    Probe("registry", "sending", sending.measure, seconds=20),
    Probe("registry", "refreshing", upkeep.measure, seconds=15),
    Probe("registry", "listing", listing.measure, seconds=2),
    Probe("registry", "each thing alone", parts.measure, seconds=20),
    Probe("registry", "rescuing", rescue.measure, seconds=5),
    Probe("sockets", "real sockets", sockets.probe, needs_crowd=False, seconds=60),
    Probe("cluster", "a Cluster", clusters.measure, needs_crowd=False, seconds=30),
    Probe("failover", "a master killed", failover.measure, needs_crowd=False, seconds=40),
)


def named(parts: str) -> tuple[Probe, ...]:
    """Return the probes of these parts, in their order.

    Args:
        parts: names with commas between them; "" for all.

    Raises:
        ValueError: there is no such part.
    """
    if not parts:
        return PROBES
    known, wanted = {probe.part for probe in PROBES}, set(parts.split(","))
    if unknown := sorted(wanted - known):
        raise ValueError(f"'{unknown[0]}' is not one of {', '.join(sorted(known))}")
    return tuple(probe for probe in PROBES if probe.part in wanted)
