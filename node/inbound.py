"""What a client's frame makes the node do."""

import asyncio
import math
from collections.abc import Callable, Sequence

from node.disconnects import POLICY, TOO_MANY
from node.frames import (
    AckFrame,
    BadFrame,
    CallFrame,
    ErrorFrame,
    InFrame,
    OutcomeFrame,
    OutcomesFrame,
    PingFrame,
    Pong,
    RefreshFrame,
    SendFrame,
    data_of,
    read,
)
from node.pace import Buckets, Limits
from node.session import ClientSession
from router.aio import Router
from router.counts import Counts
from router.errors import InvalidRequest, SwitchboardError, TooMany
from router.model import Confirm, MessageId, Offset, Outcome, UserId, check_user
from router.transport.base import Delivery


class Inbound:
    """Answers client frames; never waits, so reading from the client never does either.

    Args:
        router: sends what clients send; it must have joined.
        limits: of what they may send.
        refresh: takes a client's new token, and answers.
        call: takes what is for the application around this node, and answers.
        counts: of the process; None for its own.
    """

    def __init__(
        self,
        router: Router,
        limits: Limits,
        refresh: Callable[[ClientSession, RefreshFrame], None],
        call: Callable[[ClientSession, CallFrame], None],
        counts: Counts | None = None,
    ) -> None:
        self._router = router
        self._limits = limits
        self._refresh = refresh
        self._call = call
        self._by_user: Buckets[UserId] = Buckets()
        self.counts = counts or Counts()

    def frame(self, session: ClientSession, payload: bytes | str) -> None:
        """Take one frame of a client.

        One that makes no sense is answered by an error frame, and so is a send of a user who sends
        too many; `limits.strikes` of the one and `limits.user_refusals` of the other within ten
        seconds close the session.
        """
        session.heard = True
        try:
            self._take(session, read(session.codec, payload))
        except BadFrame as exc:
            session.send(ErrorFrame(exc.code, exc.message, exc.ref))
            if session.strikes.strike(_now(), self._limits.now.strikes):
                self.counts.limit("strikes")
                session.close(POLICY)

    def _take(self, session: ClientSession, incoming: InFrame) -> None:
        if type(incoming) is SendFrame:
            try:
                self._send(session, incoming)
            except TooMany as exc:
                self._too_many(session, exc, incoming.ref)
            except SwitchboardError as exc:
                session.send(error_frame(exc, incoming.ref))
        elif type(incoming) is PingFrame:
            session.send(Pong())
        elif type(incoming) is AckFrame:
            self._acknowledge(session, incoming)
        elif type(incoming) is RefreshFrame:
            self._refresh(session, incoming)
        elif type(incoming) is CallFrame:
            self._call(session, incoming)

    def _too_many(self, session: ClientSession, error: TooMany, ref: str | int | None) -> None:
        self.counts.limit("user_messages")
        session.send(error_frame(error, ref))
        if session.refusals.strike(_now(), self._limits.now.user_refusals):
            self.counts.limit("user_refusals")
            session.close(TOO_MANY, after_ms=_ms(error.retry_after_s))

    def _acknowledge(self, session: ClientSession, frame: AckFrame) -> None:
        session.answered()
        if (frame.offset is None) == (frame.id is None):
            raise BadFrame("invalid_request", "an ack has either an offset or an id", None)
        if frame.id is not None:
            session.acknowledge(frame.id)
            return
        try:
            session.acknowledge_up_to(Offset.parse(frame.offset or ""))
        except InvalidRequest as exc:
            raise BadFrame("invalid_request", str(exc), None) from exc

    def _send(self, session: ClientSession, frame: SendFrame) -> None:
        several = not isinstance(frame.to, str)
        default = Confirm.ACCEPTED if several else None
        confirm = default if frame.confirm is None else frame.confirm
        names = frame.to if isinstance(frame.to, list) else [frame.to]
        limits = self._limits.now
        if len(names) > limits.frame_recipients:
            self.counts.limit("frame_recipients")
            raise InvalidRequest("to", f"has at most {limits.frame_recipients:,} users")
        users = [check_user(user, "to") for user in dict.fromkeys(names)]
        session.identity.check_send(users, durable=frame.durable)
        self._ask_user(session.user, len(users))
        draft = self._router.draft(
            data_of(session.codec, frame),
            confirm,
            None,
            frame.ttl_s,
            session.user,
            frame.durable,
            frame.key,
            trace=self._router.member.traces.wanted(frame.traceparent),
        )
        answer = _Answer(session, frame.ref, users, several)
        answer.id = self._router.member.sending.submit(draft, users, answer.settled)
        answer.send_if_complete()

    def _ask_user(self, user: UserId, messages: int) -> None:
        """Raise `TooMany` for a user who sends too many, over all sessions here."""
        limits = self._limits.now
        rate, burst = limits.user_messages_per_second, limits.user_messages_burst
        after_s = self._by_user.take(user, messages, rate, burst, _now())
        if after_s:
            words = f"more than {rate:g} messages a second of this user on this node"
            raise TooMany("limits.user_messages_per_second", words, after_s)


class _Answer:
    """Collects the outcomes of one send frame, then tells the client."""

    __slots__ = ("_done", "_ref", "_session", "_several", "_wanted", "id")

    def __init__(
        self, session: ClientSession, ref: str | int | None, users: Sequence[UserId], several: bool
    ) -> None:
        self._session = session
        self._ref = ref
        self._several = several
        self._wanted = len(users)
        self._done: list[Delivery] = []
        self.id: MessageId | None = None

    def settled(self, delivery: Delivery) -> None:
        self._done.append(delivery)
        self.send_if_complete()

    def send_if_complete(self) -> None:
        """Answer once: when all outcomes are there and the message has its id."""
        if self.id is None or len(self._done) < self._wanted or self._session.closed:
            return
        first = self._done[0]
        if first.error is not None and all(delivery.error for delivery in self._done):
            self._session.send(error_frame(first.error, self._ref))
        elif self._several:
            words: dict[str, str] = {d.user: d.outcome or Outcome.BUSY for d in self._done}
            self._session.send(OutcomesFrame(self.id, words, self._ref))
        else:
            assert first.outcome is not None
            message_id = first.first or self.id
            frame = OutcomeFrame(message_id, first.user, first.outcome, self._ref, first.reason)
            self._session.send(frame)
        self._wanted = len(self._done) + 1  # never again


def error_frame(error: SwitchboardError, ref: str | int | None) -> ErrorFrame:
    """Return the frame that tells a client of an error."""
    after_ms = _ms(error.retry_after_s) if isinstance(error, TooMany) else 0
    return ErrorFrame(error.code, str(error), ref, getattr(error, "field", ""), after_ms)


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1_000)


def _now() -> float:
    return asyncio.get_running_loop().time()
