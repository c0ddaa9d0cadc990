"""The steps of messages that somebody watches: kept in the store for a minute, or told as spans.

`router.watching` says when which step is noted.
"""

import pkgutil
import secrets
from collections.abc import Collection
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
import structlog

from router.errors import InvalidSettings
from router.keys import Keys
from router.store.clock import StoreClock
from router.store.resp import keyed
from router.store.store import Store
from router.trace import Trace

STEPS_TTL_S: Final = 60
MAX_STEPS: Final = 200
_MAX_DETAIL: Final = 300
# Found by its name and not imported: what it stands on is an extra that few install.
_SPANS: Final = "router.spans:OtelSpans"
_log = structlog.get_logger()


class Step(StrEnum):
    """What happens to a message, in this order; several of one kind where it has several copies."""

    ACCEPTED = "accepted"
    LOOKED_UP = "looked_up"
    PUSHED = "pushed"
    TAKEN = "taken"
    WRITTEN = "written"
    PROVED = "proved"
    SETTLED = "settled"


_RANK: Final = {step: rank for rank, step in enumerate(Step)}


class Noted(msgspec.Struct, frozen=True):
    """One step as it is kept.

    Args:
        at: seconds since 1970 by the store's clock, as its node knows it: to some milliseconds.
        node: name of the node, or of the sender, that noted it.
        step: see `Step`.
        detail: more words for people.
    """

    at: float
    node: str
    step: Step
    detail: str


class SendSpan(Protocol):
    """The span of one send, open."""

    trace: Trace
    """What goes with the message, so that its other spans become children of this one."""

    def end(self, outcomes: list[str], pushed_at: float | None) -> None:
        """End it.

        Args:
            outcomes: one word for each user.
            pushed_at: when the last copy was pushed, seconds since 1970; None for never.
        """


class Spans(Protocol):
    """Makes spans of steps; see `router.spans`."""

    def begin(self, trace: Trace | None, message: str, users: int) -> SendSpan | None:
        """Begin the span of a send; None if nobody wants it.

        Args:
            trace: what the caller said; None for what the program's own context says.
            message: its id.
            users: for how many users.
        """

    def told(self, name: str, trace: Trace, began: float, ended: float) -> None:
        """Tell of something that is over; times in seconds since 1970."""


def otel_spans() -> Spans:
    """Return what makes spans with OpenTelemetry.

    Raises:
        InvalidSettings: its library is not installed.
    """
    try:
        made: Spans = pkgutil.resolve_name(_SPANS)()
    except ModuleNotFoundError as exc:
        mend = "pip install 'switchboard[traces]'"
        raise InvalidSettings([f"log.traces needs the package {exc.name}: {mend}"]) from exc
    return made


class Traces:
    """Notes the steps of watched messages, and finds them again.

    Args:
        store: where they are kept.
        keys: key names.
        clock: the store's time.
        spans: makes spans as well; None for nobody.
        user: whose messages are logged, step by step; "" for nobody's.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        clock: StoreClock,
        spans: Spans | None = None,
        user: str = "",
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self.spans = spans
        self.user = user
        self.node = ""

    def wanted(self, header: str | None, *, noted: bool = False) -> Trace | None:
        """Return who watches a message; None for nobody.

        Args:
            header: a `traceparent` from outside; heard only if spans are made, or steps are kept.
            noted: whether to keep its steps.
        """
        if not noted and (header is None or self.spans is None):
            return None
        found = Trace.parse(header or "", noted=noted)
        if found is None and noted:
            found = Trace(secrets.token_hex(16), secrets.token_hex(8), sampled=False, noted=True)
        return found

    def concerns(self, origin: str, users: Collection[str] | None) -> bool:
        """Say whether a message is logged: it is from or to `user`; None stands for everybody."""
        return bool(self.user) and (origin == self.user or users is None or self.user in users)

    def log(self, message: str, step: Step, detail: str) -> None:
        """Log one step of a message of `user`; what is in it is nobody's business."""
        _log.info("message", user=self.user, message=message, step=step.value, detail=detail)

    def note(self, trace: Trace, step: Step, detail: str) -> None:
        """Keep one step, if they are kept; returns at once. With the store away it is lost."""
        if not trace.noted:
            return
        noted = Noted(self._clock.now_ms() / 1000, self.node, step, detail[:_MAX_DETAIL])
        key = self._keys.steps(trace.id)
        push = keyed("RPUSH", key, msgspec.json.encode(noted))
        trim = keyed("LTRIM", key, 0, MAX_STEPS - 1)
        self._store.send((push, trim, keyed("PEXPIRE", key, STEPS_TTL_S * 1000)), _ignore)

    async def read(self, trace: str) -> list[Noted]:
        """Return the steps of one trace, in order; [] for none, or after a minute.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        entries = await self._store.command("LRANGE", self._keys.steps(trace), 0, MAX_STEPS - 1)
        steps: list[Noted] = []
        for entry in entries:
            try:
                steps.append(msgspec.json.decode(entry, type=Noted))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # somebody else's hand
        return sorted(steps, key=lambda step: (step.at, _RANK[step.step]))


def _ignore(_: list[Any]) -> None:
    """A step that cannot be kept is lost; the message is not."""
