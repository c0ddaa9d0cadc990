"""Which probes there are, in their order; a new one is added here and nowhere else."""

from scripts.benchmark.scale import (
    clusters,
    failover,
    listing,
    memory,
    parts,
    rescue,
    sending,
    upkeep,
)
from scripts.benchmark.scale.stage import Probe

PROBES = (
    Probe("registering", memory.measure, seconds=40),
    Probe("sending", sending.measure, seconds=20),
    Probe("refreshing", upkeep.measure, seconds=15),
    Probe("listing", listing.measure, seconds=2),
    Probe("each thing alone", parts.measure, seconds=20),
    Probe("rescuing", rescue.measure, seconds=5),
    Probe("a Cluster", clusters.measure, needs_crowd=False, seconds=30),
    Probe("a master killed", failover.measure, needs_crowd=False, seconds=40),
)
