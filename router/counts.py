"""What one process counts: plain numbers, told by the rooms and read by whoever shows them.

Pure. A message costs an addition here and there, so these are attributes and lists, not objects of
a metrics library; what they are called outside stands in `node.observe`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

from router.model import Outcome

# From half a millisecond to what a caller waits at most by default, twice.
SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5, 10)
# Up to `inbox.batch`, as it stands by default.
MESSAGES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """How often which value came, by fixed bounds.

    Args:
        bounds: upper ends, rising; a value that is a bound counts below it.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)  # the last one is for what is above them all
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value; one below 0 counts as 0."""
        self.counts[bisect_left(self.bounds, value)] += 1
        if value > 0:
            self.total += value

    def add_since(self, times: Sequence[float], now: float) -> None:
        """Count how long ago each of `times` was at `now`; as `add`, in one go."""
        bounds, counts = self.bounds, self.counts
        for at in times:
            counts[bisect_left(bounds, now - at)] += 1
        self.total += max(0.0, now * len(times) - sum(times))

    @property
    def count(self) -> int:
        """Return how many values came."""
        return sum(self.counts)

    def rising(self) -> list[tuple[float, int]]:
        """Return each bound with how many values are not above it; the last bound is infinity."""
        below, rows = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            below += count
            rows.append((bound, below))
        return rows

    def quantile(self, share: float) -> float | None:
        """Return below which bound `share` (0 to 1) of the values lie; None without values."""
        wanted = share * self.count
        for bound, below in self.rising():
            if below and below >= wanted:
                return bound
        return None


class Counts:
    """The numbers of one process since it started. They only rise, unless it says otherwise.

    Every room of a process has the same one; a room made without one counts for itself.

    Args:
        timing: whether to measure times, too; they are for the metrics alone.

    Sending, in messages for one user each:
        sends: asked for.
        outcomes: what became of them, one number for each outcome.
        refusals: ended in an error, and were not sent: the store is away or refuses.
        outcome_s: from the call to its outcome, seconds; one clock.
        receipts_lost: answers to senders that were given up while the store was away, envelopes.
        lookups: users looked up in the store; the others were in the cache.
        cached: users found in the cache.
        pushes: envelopes handed over for an inbox.
        detours: pushes refused because the endpoint was closed, and sent elsewhere.

    Receiving:
        received: messages taken from the inbox, envelopes.
        batch: how many entries came at once.
        delivered: messages for one user written to at least one socket, as they came.
        written_s: from the sender's clock at the send to the write by ours, seconds.
        replayed: messages read from mailboxes and written.
        repeats: messages not written to a session that had them already.
        dropped: messages for one user that no session took, all too slow or closing.
        expired: messages for one user whose time had run out.
        sent_on: copies sent on to where their user is now.
        dead: entries that could not be used and were kept as dead letters.

    Sessions:
        opened: handshakes that became sessions.
        closed: sessions that ended, by the close code this side chose; 0 when it chose none.
        refused: handshakes refused, by the error's code.
        registered: registrations of a session, the repeated ones included.
        unregistered: registrations removed by the session's own end.
        limits: how often which limit was run into; the names are those of `limit`'s callers.

    The cluster:
        rescues: dead endpoints cleaned up by this process.
        fences: endpoints fenced by this process.
        fenced: how often this process found itself fenced.
        sent_away: sessions sent elsewhere because the store was out of reach.
        canary_misses: times that nothing came through the own inbox, which was then read anew.
        canary_s: how long the last canary took through the own inbox, seconds; rises and falls.
        loop_late_s: how late the event loop was, seconds, twice a second.
        failures: faults that no room expected, each logged, by room.

    The store:
        round_trips: answers waited for, one for all commands that were sent together.
        unanswered: writes to which no answer was asked.
        store_errors: error replies, by their first word, of those that are known; else `other`.
        store_lost: connections lost, by link.
        garbage: values there that are none of ours, and were passed over or removed.
        heartbeat_s: how long the store took for the last heartbeat, seconds; rises and falls.
    """

    __slots__ = (
        "batch",
        "cached",
        "canary_misses",
        "canary_s",
        "closed",
        "dead",
        "delivered",
        "detours",
        "dropped",
        "expired",
        "failures",
        "fenced",
        "fences",
        "garbage",
        "heartbeat_s",
        "limits",
        "lookups",
        "loop_late_s",
        "opened",
        "outcome_s",
        "outcomes",
        "pushes",
        "receipts_lost",
        "received",
        "refusals",
        "refused",
        "registered",
        "repeats",
        "replayed",
        "rescues",
        "round_trips",
        "sends",
        "sent_away",
        "sent_on",
        "store_errors",
        "store_lost",
        "timing",
        "unanswered",
        "unregistered",
        "written_s",
    )

    def __init__(self, *, timing: bool = True) -> None:
        self.timing = timing
        self._start_sending()
        self.received = self.delivered = self.replayed = self.repeats = 0
        self.dropped = self.expired = self.sent_on = self.dead = 0
        self.batch = Histogram(MESSAGES)
        self.written_s = Histogram(SECONDS)
        self.opened = self.registered = self.unregistered = 0
        self.closed: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.limits: Counter[str] = Counter()
        self.rescues = self.fences = self.fenced = self.sent_away = self.canary_misses = 0
        self.canary_s = 0.0
        self.loop_late_s = Histogram(SECONDS)
        self.failures: Counter[str] = Counter()
        self.round_trips = self.unanswered = 0
        self.store_errors: Counter[str] = Counter()
        self.store_lost: Counter[str] = Counter()
        self.heartbeat_s = 0.0
        self.garbage = 0

    def _start_sending(self) -> None:
        self.sends = self.refusals = self.receipts_lost = 0
        self.lookups = self.cached = self.pushes = self.detours = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.outcome_s = Histogram(SECONDS)

    def limit(self, name: str) -> None:
        """Count that the limit `name` was run into: a word of ours, never one from outside."""
        self.limits[name] += 1

    def failed(self, room: str) -> None:
        """Count a fault that `room` did not expect."""
        self.failures[room] += 1
