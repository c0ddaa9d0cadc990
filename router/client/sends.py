"""Sends that wait for their outcome, over all connections of a client. Pure; time is passed in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import UNSET

from router.client.frames import ErrorFrame, OutcomeFrame, SendFrame, write
from router.client.words import ClientError, NotConnected, QueueFull, Refused
from router.errors import SwitchboardError, TooLarge
from router.model import MessageId, Outcome, SendResult, UserId

Results = list[SendResult]
_LOST: Final = "the connection was lost before the node answered"
_AGAIN: Final = "an attempt of this send over an earlier connection was stored"


@dataclass(eq=False, slots=True)
class Send:
    """One send of the application.

    Args:
        users: whom it is for.
        several: whether the application gave a list.
        data: as JSON.
        settle: told the results, or the error, once at most.
        durable: whether it is stored.
        confirm: how far to wait; None for the node's default.
        key: idempotency key; a send without one is never repeated.
        ttl_s: how long it is of use, from now on; None for ever.
        expires_at: when its ttl has passed; None for never.
        timeout_s: how long the application waits.
        ref: its number, for the node's answer.
        attempts: how many connections it was written to.
    """

    users: Sequence[UserId]
    several: bool
    data: bytes
    settle: Callable[[Results | SwitchboardError], None]
    timeout_s: float
    durable: bool = False
    confirm: str | None = None
    key: str | None = None
    expires_at: float | None = None
    ref: int = field(default=0, init=False)
    attempts: int = field(default=0, init=False)

    def results(self, outcome: Outcome, reason: str) -> Results:
        """Return one outcome for everybody, made by us and not by a node."""
        return [SendResult(MessageId(""), user, outcome, reason=reason) for user in self.users]

    def frame(self, now: float) -> SendFrame:
        """Return what to say to the node; time that has passed here counts for its ttl."""
        return SendFrame(
            self.ref,
            list(self.users) if self.several else self.users[0],
            msgspec.Raw(self.data),
            self.durable,
            UNSET if self.confirm is None else self.confirm,
            UNSET if self.expires_at is None else round(self.expires_at - now, 3),
            UNSET if self.key is None else self.key,
        )


class Sends:
    """Keeps the order of sends, and repeats on a new connection what may be repeated.

    A send whose connection ended before its outcome came is written again if it has a key: the
    store knows the key, so it cannot double. Any other is `unknown`.

    Args:
        limit: how many may wait.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last_ref = 0
        self._open: dict[int, Send] = {}
        self._unwritten: dict[int, Send] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def answers_wanted(self) -> bool:
        """Say whether a node owes us an answer."""
        return len(self._open) > len(self._unwritten)

    def add(self, send: Send) -> None:
        """Take a send.

        Raises:
            QueueFull: too many wait.
        """
        if len(self._open) >= self._limit:
            raise QueueFull(self._limit)
        self._last_ref += 1
        send.ref = self._last_ref
        self._open[send.ref] = self._unwritten[send.ref] = send

    def forget(self, send: Send) -> None:
        """Nobody waits for it any more; if it was not written it never will be. Idempotent."""
        self._open.pop(send.ref, None)
        self._unwritten.pop(send.ref, None)

    def out_of_time(self, send: Send) -> Results:
        """Give up a send whose time has run out, and return what is true of it.

        Raises:
            NotConnected: it was never written.
        """
        self.forget(send)
        if not send.attempts:
            raise NotConnected(send.timeout_s)
        return send.results(Outcome.UNKNOWN, f"no answer came in {send.timeout_s:g} s")

    def unwritten(self, now: float, limit_bytes: int) -> Iterator[str]:
        """Yield what to write to the present connection, in order; each counts as written then.

        What its ttl or its size keeps from being written is settled instead.

        Args:
            now: seconds, as `Send.expires_at`.
            limit_bytes: of one frame.
        """
        while self._unwritten:
            send = self._unwritten.pop(next(iter(self._unwritten)))
            if send.expires_at is not None and send.expires_at <= now:
                self._settle(send, self._expired(send))
                continue
            text = write(send.frame(now))
            size_bytes = len(text.encode())
            if size_bytes > limit_bytes:
                self._settle(send, TooLarge("data", size_bytes, limit_bytes))
                continue
            send.attempts += 1
            yield text

    @staticmethod
    def _expired(send: Send) -> Results:
        if send.attempts:
            return send.results(Outcome.UNKNOWN, _LOST)
        return send.results(Outcome.EXPIRED, "its time passed before there was a connection")

    def disconnected(self) -> None:
        """Their connection has ended: nobody will answer on it."""
        for send in list(self._open.values()):
            if send.attempts and send.key is None:
                self._settle(send, send.results(Outcome.UNKNOWN, _LOST))
        self._unwritten = dict(self._open)

    def close(self, error: ClientError) -> None:
        """There will be no connection any more."""
        for send in list(self._open.values()):
            if send.attempts:
                self._settle(send, send.results(Outcome.UNKNOWN, str(error)))
            else:
                self._settle(send, error)

    def answered(self, frame: OutcomeFrame) -> None:
        """Take an answer; one that nobody waits for is passed over."""
        send = self._find(frame.ref)
        if send is None:
            return
        told = frame.outcomes if send.several else {send.users[0]: frame.outcome}
        self._settle(
            send,
            [
                SendResult(MessageId(frame.id), user, *self._word(send, told.get(user, ""), frame))
                for user in send.users
            ],
        )

    @staticmethod
    def _word(send: Send, word: str, frame: OutcomeFrame) -> tuple[Outcome, int, str]:
        try:
            outcome = Outcome(word)
        except ValueError:
            return Outcome.UNKNOWN, 0, f"the node's answer '{word}' is not known here"
        again = outcome is Outcome.DUPLICATE and send.attempts > 1 and not frame.reason
        return outcome, 0, _AGAIN if again else frame.reason

    def refused(self, frame: ErrorFrame) -> bool:
        """Take an error; say whether it was that of a send that waits."""
        send = self._find(frame.ref)
        if send is None:
            return False
        if send.attempts > 1:  # "nothing was sent" is true of the last attempt only
            words = f"{frame.message}; an attempt over an earlier connection may have arrived"
            self._settle(send, send.results(Outcome.UNKNOWN, words))
        else:
            self._settle(send, Refused(frame.code, frame.message, frame.field))
        return True

    def _find(self, ref: int | str | None) -> Send | None:
        send = self._open.get(ref) if isinstance(ref, int) else None
        return send if send is not None and send.attempts else None

    def _settle(self, send: Send, what: Results | SwitchboardError) -> None:
        self.forget(send)
        send.settle(what)
