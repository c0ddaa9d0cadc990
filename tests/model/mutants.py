"""Rules of the protocol, each left out once; the model must notice every time.

The name stands where the rule does, and is looked for in `rules.broken`.
"""

from collections.abc import Mapping
from typing import Final

MUTANTS: Final[Mapping[str, tuple[str, ...]]] = {
    # the inbox
    "relative_trim": ("loop", "zombie"),
    "pop_first": ("crash",),
    "push_blind": ("zombie",),
    "range_without_head": ("loop",),
    "trim_without_open": ("zombie",),
    "trim_before_resend": ("crash",),
    "peek_without_position": ("loop",),
    # the registry
    "unregister_user": ("stale",),
    "bounce_keeps_route": ("stale",),
    "index_without_open": ("crash",),
    "sweep_only_pings": ("rollback",),
    "refresh_ignores_mail": ("durable",),
    "heartbeat_without_open": ("rollback-epoch",),
    # what was written to whom
    "ring_by_node": ("moves", "users"),
    "write_before_welcome": ("welcome",),
    "welcome_before_register": ("welcome",),
    # what the sender is told
    "delivered_on_write": ("stale",),
    "offline_from_cache": ("zombie-cached",),
    "offline_before_trim": ("crash", "stale"),
    "offline_any_hop": ("crash",),
    "offline_after_retry": ("twice",),
    "reread_is_first": ("moves-conn",),
    "silence_is_offline": ("receipts",),
    # rescue
    "fence_no_rename": ("crash",),
    "no_token": ("rescue",),
    "no_token,relative_rescue_trim": ("rescue",),
    # the mailbox
    "lookup_two_steps": ("durable-moves",),
    "no_gap_fill": ("durable",),
    "live_before_replay": ("durable-moves", "durable"),
    "cursor_on_write": ("durable-moves",),
    "replay_from_cursor": ("durable-zombie",),
    "trim_to_highest_cursor": ("devices",),
    "resumed_always": ("new-device",),
    "resume_holds_nothing": ("new-device",),
    "offsets_from_counter": ("rollback-durable",),
    # a planned leave
    "close_unchecked": ("drain",),
    "drain_leaves_routes": ("drain",),
    # group commit
    "cache_overtakes": ("group",),
    "behind_shares_answer": ("group-absent",),
    "freed_unsorted": ("group-absent", "group"),
    "leftover_last": ("group",),
}
"""Mutant, or several joined by commas -> the configurations that are tried until one notices."""
