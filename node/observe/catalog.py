"""Every metric of a node: its name, kind, unit, label and meaning, and where its number is; pure.

One table. The collector shows it, `docs/operations.md` tells it, and a test compares the two. Names
and units follow https://prometheus.io/docs/practices/naming/. The values of a label come from
closed sets of ours: never a user, a session, or anything else from outside.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from node import disconnects
from node.observe.metric import Kind, Metric, State, Value
from router.counts import Counts
from router.store.trouble import TROUBLES

PREFIX: Final = "switchboard_"


def _count(
    name: str,
    unit: str,
    help: str,
    read: Callable[[Counts], Value] | None = None,
    label: str = "",
) -> Metric:
    """Return a counter; without `read` it is the number of that name."""
    found: Callable[[Counts], Value] = read or (lambda counts: getattr(counts, name))
    return Metric(PREFIX + name, Kind.COUNTER, unit, help, lambda state: found(state.counts), label)


def _gauge(name: str, unit: str, help: str, read: Callable[[State], Value]) -> Metric:
    return Metric(PREFIX + name, Kind.GAUGE, unit, help, read)


def _histogram(name: str, unit: str, help: str, read: Callable[[Counts], Value]) -> Metric:
    return Metric(PREFIX + name, Kind.HISTOGRAM, unit, help, lambda state: read(state.counts))


def _all(known: Iterable[str], counted: Mapping[str, int]) -> Mapping[str, float]:
    """Return a number for each known value, also for those that have not come yet."""
    return {**dict.fromkeys(known, 0), **counted}


def _closed(counts: Counts) -> Mapping[str, float]:
    return _all(_CODES, {str(code or "client"): n for code, n in counts.closed.items()})


_CODES: Final = (
    "client",
    *(str(v.code) for v in vars(disconnects).values() if isinstance(v, disconnects.Disconnect)),
)

_SENDING: Final = (
    _count("sends", "messages", "Messages this process was asked to send, one for each user."),
    _count(
        "outcomes",
        "messages",
        "What became of messages sent here, one for each user.",
        lambda c: {outcome.value: n for outcome, n in c.outcomes.items()},
        "outcome",
    ),
    _count(
        "send_errors",
        "messages",
        "Messages that ended in an error and were not sent: the store was away or refused.",
        lambda c: c.refusals,
    ),
    _histogram(
        "outcome_seconds",
        "seconds",
        "From the call to its outcome, by one clock.",
        lambda c: c.outcome_s,
    ),
    _gauge(
        "waiting_sends", "messages", "Sends that wait for their outcome now.", lambda s: s.waiting
    ),
    _count("lookups", "users", "Users looked up in the store, not found in the cache."),
    _count("cache_hits", "users", "Users found in the cache of look-ups.", lambda c: c.cached),
    _count("pushes", "envelopes", "Envelopes handed over to be pushed into an inbox."),
    _count(
        "detours",
        "messages",
        "Pushes refused because the user's node was gone, and sent elsewhere.",
    ),
    _count("receipts_lost", "envelopes", "Answers to senders given up while the store was away."),
)
_RECEIVING: Final = (
    _count("received", "envelopes", "Envelopes with a message taken from this node's inbox."),
    _histogram(
        "batch_messages", "envelopes", "Envelopes taken from the inbox at once.", lambda c: c.batch
    ),
    _gauge(
        "inbox_messages",
        "envelopes",
        "Envelopes that wait in this node's inbox now.",
        lambda s: s.inbox,
    ),
    _gauge(
        "inbox_lag_seconds",
        "seconds",
        "How long a probe of the node's own took through its inbox, or waits there by now.",
        lambda s: s.inbox_lag_s,
    ),
    _count(
        "canary_misses", "times", "Times nothing came through the inbox, which was then read anew."
    ),
    _count(
        "delivered", "messages", "Messages, one for each user, written to a socket as they came."
    ),
    _histogram(
        "send_to_write_seconds",
        "seconds",
        "From the send, by the sender's clock, to the write, by this node's.",
        lambda c: c.written_s,
    ),
    _count("replayed", "messages", "Durable messages read from mailboxes and written."),
    _count(
        "repeats_dropped", "messages", "Repeats that were not written again.", lambda c: c.repeats
    ),
    _count(
        "dropped",
        "messages",
        "Messages, one for each user, that no session took: too slow or closing.",
    ),
    _count(
        "expired", "messages", "Messages, one for each user, whose time had run out on arrival."
    ),
    _count("sent_on", "messages", "Copies sent on to the node where their user was by then."),
    _count(
        "dead_letters",
        "entries",
        "Entries that could not be used and were put aside.",
        lambda c: c.dead,
    ),
)
_SESSIONS: Final = (
    _gauge("sessions", "sessions", "Open WebSocket sessions.", lambda s: s.sessions),
    _count("sessions_opened", "sessions", "Sessions opened.", lambda c: c.opened),
    _count(
        "sessions_closed",
        "sessions",
        "Sessions closed, by the code this node closed with; `client` for all other ends.",
        _closed,
        "code",
    ),
    _count(
        "slow_consumers_closed",
        "sessions",
        "Sessions closed because their client did not read fast enough.",
        lambda c: c.closed[disconnects.SLOW.code],
    ),
    _count(
        "sessions_sent_away",
        "sessions",
        "Sessions sent to other nodes, this one being cut off.",
        lambda c: c.sent_away,
    ),
    _count(
        "handshakes_refused",
        "handshakes",
        "WebSocket handshakes refused, by the code of the error.",
        lambda c: c.refused,
        "code",
    ),
    _count(
        "registrations",
        "sessions",
        "Sessions written to the registry, the refreshed ones included.",
        lambda c: c.registered,
    ),
    _count(
        "unregistrations",
        "sessions",
        "Sessions removed from the registry at their end.",
        lambda c: c.unregistered,
    ),
    _count(
        "limits_hit",
        "times",
        "Times a limit was run into, by its name.",
        lambda c: c.limits,
        "limit",
    ),
)
_CLUSTER: Final = (
    _gauge(
        "ready", "0 or 1", "1 while new sessions may come here, else 0.", lambda s: float(s.ready)
    ),
    _gauge(
        "draining", "0 or 1", "1 while this node is leaving, else 0.", lambda s: float(s.draining)
    ),
    _gauge(
        "heartbeat_age_seconds",
        "seconds",
        "Since this node last renewed its lease.",
        lambda s: s.heartbeat_age_s,
    ),
    _count("rescues", "endpoints", "Dead endpoints that this node took over to the end."),
    _count("fences", "endpoints", "Endpoints that this node found dead and closed."),
    _count("fenced", "times", "Times this node found itself closed by others, and began anew."),
    _count(
        "failures",
        "faults",
        "Faults nobody expected, each in the log, by where they happened.",
        lambda c: c.failures,
        "room",
    ),
    Metric(
        f"{PREFIX}service_restarts",
        Kind.COUNTER,
        "times",
        "Loops inside the node that ended and were started again.",
        lambda s: s.restarts,
        "service",
    ),
    _histogram(
        "event_loop_lag_seconds",
        "seconds",
        "How late the event loop was, looked at twice a second.",
        lambda c: c.loop_late_s,
    ),
)
_STORE: Final = (
    _gauge(
        "store_up", "0 or 1", "1 while the store is connected, else 0.", lambda s: float(s.store_up)
    ),
    _count(
        "store_round_trips",
        "round trips",
        "Answers of the store waited for, one for all commands together.",
        lambda c: c.round_trips,
    ),
    _count(
        "store_unanswered_writes",
        "writes",
        "Writes to the store that ask for no answer.",
        lambda c: c.unanswered,
    ),
    _count(
        "store_errors",
        "replies",
        "Error replies of the store, by their first word.",
        lambda c: _all((*TROUBLES, "other"), c.store_errors),
        "kind",
    ),
    _count(
        "store_connections_lost",
        "connections",
        "Connections to the store that were lost, by their use.",
        lambda c: c.store_lost,
        "link",
    ),
    _count(
        "store_garbage",
        "values",
        "Values in the store that are none of ours, and were passed over or removed.",
        lambda c: c.garbage,
    ),
    _gauge(
        "store_heartbeat_seconds",
        "seconds",
        "How long the store took to answer the last heartbeat.",
        lambda s: s.counts.heartbeat_s,
    ),
)
_BUILD: Final = (
    Metric(
        f"{PREFIX}build_info",
        Kind.GAUGE,
        "1",
        "Always 1; its labels say what runs here.",
        lambda s: 1.0,
        "version, mode",
    ),
)

METRICS: Final = (*_SENDING, *_RECEIVING, *_SESSIONS, *_CLUSTER, *_STORE, *_BUILD)
