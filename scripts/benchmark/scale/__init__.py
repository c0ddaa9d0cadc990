"""The scale bench: what a registry of a million users costs, each figure beside its aim."""
