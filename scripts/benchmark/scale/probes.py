"""Which probes there are, in their order; a new one is added here and nowhere else."""

from scripts.benchmark.scale import memory
from scripts.benchmark.scale.stage import Probe

PROBES = (Probe("filling the registry", memory.measure, seconds=60),)
