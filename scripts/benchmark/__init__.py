"""The benchmark: what a routed message costs, beside two yardsticks, in one run."""
