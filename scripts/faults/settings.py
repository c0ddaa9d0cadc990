"""What the nodes and the senders of a run are set to."""

from collections.abc import Mapping
from typing import Any

from scripts.faults.options import SENTINEL, Options
from scripts.measuring.sentinels import NAME

PREFIX = "chaos"
INBOX_CAP = 10_000
MAIL_CAP = 1_000
_MANY = 100_000


def settings_of(options: Options) -> dict[str, str]:
    """Return the settings of nodes and senders, as the environment gives them."""
    given: dict[str, dict[str, Any]] = {
        "registry": {"prefix": PREFIX, "user_ttl_s": 3 * options.sweep_s},
        "lease": {"ttl_s": options.lease_s, "heartbeat_s": options.heartbeat_s},
        "inbox": {"max_length": INBOX_CAP, "block_s": 1.0 if options.quick else 5.0},
        "mailbox": {"max_length": MAIL_CAP},
        "node": {"ping_interval_s": options.ping_s, "drain_s": options.drain_s},
        "log": {"level": "info", "format": "json"},
    }
    if options.hosts:
        given["node"]["isolated_s"] = options.lease_s / 3
        given["redis"] = {
            "connect_timeout_s": options.connect_s,
            "reply_timeout_s": options.connect_s,
        }
        # All clients come from one address, and they come at once.
        given["limits"] = {
            "address_sessions": _MANY,
            "address_handshakes_per_second": _MANY,
            "address_handshakes_burst": _MANY,
        }
    if options.several:
        given["mailbox"]["min_replicas"] = 1
        given["redis"] = {"mode": options.store, "reply_timeout_s": options.connect_s}
        if options.store == SENTINEL:
            given["redis"]["sentinel_master"] = NAME
    return as_environment(given)


def as_environment(given: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return settings, section by section, as the environment gives them."""
    return {
        f"SWITCHBOARD_{section}__{key}".upper(): str(value)
        for section, values in given.items()
        for key, value in values.items()
    }
