"""The shortest account of a message: each step with its time and place. Pure."""

from collections.abc import Iterator, Sequence

from scripts.faults.book import NEVER, SECOND, Book, Message
from scripts.faults.entries import Ns
from scripts.faults.logs import Line

_MARGIN_NS = 3 * SECOND
_MOST_LINES = 40
Step = tuple[Ns, str, str]
"""When, where, what."""


def account(book: Book, n: int, lines: Sequence[Line]) -> list[str]:
    """Return what happened to message `n`, in the order in which it happened."""
    message = book.messages[n]
    last = max([message.sent.at, *(t.at for t in message.told), *(g.at for _, g in message.got)])
    start, end = message.sent.at - _MARGIN_NS, last + _MARGIN_NS
    steps = [
        *_message_steps(message),
        *_session_steps(book, message, start, end),
        *_fault_steps(book, n, start, end),
        *_log_steps(book, message, lines, start, end),
    ]
    steps.sort()
    left_out = len(steps) - _MOST_LINES
    told = [
        f"{(at - book.run.started) / SECOND:9.3f} s  {where:<12} {what}"
        for at, where, what in steps[:_MOST_LINES]
    ]
    return [*told, f"... and {left_out} more"] if left_out > 0 else told


def _message_steps(message: Message) -> Iterator[Step]:
    sent = message.sent
    kind = "durable" if sent.durable else "not durable"
    what = f"sent to {sent.user} from {sent.origin}, {kind}, confirm={sent.confirm}"
    yield sent.at, sent.via, f"{what}, ttl={sent.ttl_s:g} s" if sent.ttl_s else what
    for told in message.told:
        yield told.at, sent.via, f"told '{told.outcome}' {told.reason} (id {told.id})".strip()
    for session, got in message.got:
        marks = " ".join(
            word for word, on in (("replay", got.replay), ("repeat", got.repeat)) if on
        )
        where = f"{session.opened.user}/{session.opened.device}"
        offset = f", offset {got.offset}" if got.offset else ""
        what = f"read on {session.opened.node}, session {session.opened.session}{offset} {marks}"
        yield got.at, where, what.strip()


def _session_steps(book: Book, message: Message, start: Ns, end: Ns) -> Iterator[Step]:
    for session in book.users.get(message.sent.user, ()):
        if session.opened.at > end or session.ended_at < start:
            continue
        opened, where = session.opened, f"{session.opened.user}/{session.opened.device}"
        yield opened.at, where, f"welcomed by {opened.node}, session {opened.session}"
        for deaf in session.deaf:
            if start <= deaf.at <= end:
                yield deaf.at, where, "reads again" if deaf.off else "stops reading"
        if session.ended_at != NEVER and session.closed is not None:
            code = f" ({session.closed.code})" if session.closed.code else ""
            what = f"session {opened.session} on {opened.node} ended: {session.closed.why}{code}"
            yield session.ended_at, where, what


def _fault_steps(book: Book, n: int, start: Ns, end: Ns) -> Iterator[Step]:
    for hurt in book.hurts:
        if hurt.at <= end and start <= hurt.until:
            lasted = (hurt.until - hurt.at) / SECOND
            yield hurt.at, hurt.where, f"-- {hurt.fault} {hurt.detail} (whole after {lasted:.1f} s)"
    for waiting in book.waiting:
        if any(number == n for number, _ in waiting.messages):
            yield waiting.at, waiting.endpoint, "it lies in the inbox of this dead endpoint"


def _log_steps(
    book: Book, message: Message, lines: Sequence[Line], start: Ns, end: Ns
) -> Iterator[Step]:
    words = {told.id for told in message.told if told.id}
    words |= {session.opened.session for session in book.users.get(message.sent.user, ())}
    words.add(f"user={message.sent.user} ")
    for line in lines:
        if not start <= line.at <= end:
            continue
        if line.level not in ("", "info", "debug") or any(word in line.text for word in words):
            yield line.at, line.process, f"log: {line.text[:160]}"
