"""The chaos runner: real nodes, real clients, real faults, and a ledger of every message."""
