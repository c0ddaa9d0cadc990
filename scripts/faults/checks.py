"""The promises, each checked against a ledger. Pure.

Each check takes the book and yields what breaks one promise. None of them may be made weaker so
that a run passes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.faults.book import NEVER, SECOND, Book, Message, Session
from scripts.faults.entries import position
from scripts.faults.options import SDK
from scripts.faults.outages import Outages

# Words that say: no client of the user has it, and none will have it from this send.
NEGATIVE = frozenset({"offline", "dropped", "expired", "busy", "unavailable", "store_refused"})
ABSENT = frozenset({"offline", "queued"})
KEPT = frozenset({"queued", "delivered", "acked", "written", "accepted", "duplicate"})
DOUBTFUL = frozenset({"unknown", "broken", "unavailable", "store_refused", "busy"})
WORDS = KEPT | NEGATIVE | DOUBTFUL
# How much longer a session must have lived for it to have been there throughout: its client hears
# of a close that the server chose a moment after the server has forgotten the session.
_GRACE_NS = SECOND
# With the SDK the ledger is written by the application, which reads a message after the WebSocket
# stack that has proved its receipt.
_APPLICATION_NS = 5 * SECOND
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise.

    Args:
        kind: which; a key of `CHECKS`.
        text: what was found.
        n: number of the message it speaks of; None where it is none.
    """

    kind: str
    text: str
    n: int | None = None


def misdelivered(book: Book) -> Iterator[str | tuple[str, int]]:
    """A message is written to nobody but its user, as it was sent."""
    for got in book.stray:
        yield f"connection {got.c} read {got.id} ({got.data!r:.80}), which nobody sent to it"
    for message in book.messages.values():
        for session, got in message.got:
            if session.opened.user != message.sent.user:
                yield f"it was read by {session.opened.user}", message.sent.n
            elif got.data != message.sent.data() or got.origin != message.sent.origin:
                yield "it was read with other content than was sent", message.sent.n


def no_outcome(book: Book) -> Iterator[str | tuple[str, int]]:
    """Every send ends in exactly one outcome."""
    for told in book.nameless:
        yield f"an outcome ({told.outcome}) was told for message {told.n}, which nobody sent"
    for message in book.messages.values():
        if len(message.told) != 1:
            yield f"it has {len(message.told)} outcomes", message.sent.n
        elif message.word not in WORDS:
            reason = message.told[0].reason
            yield f"its outcome is '{message.word}': {reason}", message.sent.n


def false_delivered(book: Book) -> Iterator[tuple[str, int]]:
    """`delivered` and `acked` are said only of what a client of the user had by then."""
    for message in book.messages.values():
        if message.word not in {"delivered", "acked"}:
            continue
        by = message.told_at + (_APPLICATION_NS if book.run.clients == SDK else 0)
        had = [(s, got) for s, got in message.got if got.at <= by]
        if not had:
            yield f"'{message.word}', but no client had read it", message.sent.n
        elif message.word == "acked" and not any(
            _acknowledged(session, got.id, got.offset, by) for session, got in had
        ):
            yield "'acked', but no client had acknowledged it", message.sent.n


def _acknowledged(session: Session, id: str, offset: str, by: int) -> bool:
    return any(
        ack.at <= by and (ack.id == id or (ack.offset and position(ack.offset) >= position(offset)))
        for ack in session.acked
    )


def false_absent(book: Book) -> Iterator[tuple[str, int]]:
    """`offline` and `queued` are not said while a session of the user is live throughout."""
    outages = Outages(book)
    for message in book.messages.values():
        if message.word not in ABSENT:
            continue
        start, end = message.sent.at, message.told_at + _GRACE_NS
        for session in book.users.get(message.sent.user, ()):
            node = session.opened.node
            gone = outages.cut_off(node, start, end) or outages.unheard(node, start, end)
            if session.heard(start, end) and not gone:
                text = f"'{message.word}', but session {session.opened.session} on {node} was live"
                yield text, message.sent.n
                break


def false_negative(book: Book) -> Iterator[tuple[str, int]]:
    """What was called `offline`, `dropped`, `expired` or refused is received by nobody."""
    for message in book.messages.values():
        if message.word in NEGATIVE and message.got:
            user = message.got[0][0].opened.user
            yield f"'{message.word}', but {user} has read it", message.sent.n


def unexplained(book: Book) -> Iterator[tuple[str, int]]:
    """`unknown` and errors are told only where something was broken or the user's clients moved."""
    outages = Outages(book)
    for message in book.messages.values():
        if message.word in DOUBTFUL and not outages.explain(message):
            reason = message.told[0].reason
            yield f"'{message.word}' ({reason}), but nothing was broken", message.sent.n


def lost(book: Book) -> Iterator[tuple[str, int]]:
    """A durable message reaches every device of its user that comes back.

    One of which its sender heard nothing certain may be lost with a master, though a device has it.
    """
    outages = Outages(book)
    for message in book.messages.values():
        if not message.sent.durable or not (message.word in KEPT or message.got):
            continue
        if message.word not in KEPT and outages.unsafe(message.sent.at, message.told_at):
            continue
        had = {session.device for session, _ in message.got}
        for device in _owed(book, message):
            if device not in had:
                yield f"'{message.word}', but {'/'.join(device)} never got it", message.sent.n


def _owed(book: Book, message: Message) -> Iterator[tuple[str, str]]:
    """Yield the devices that are there at the end and that a durable message is for."""
    first = min(
        (session.opened.at for session in book.users.get(message.sent.user, ())), default=NEVER
    )
    for session in book.at_rest(message.sent.user):
        begun = book.devices[session.device][0].opened.at
        # A device that is the first of its user gets what was stored before, too.
        if begun <= message.sent.at or begun == first:
            yield session.device


def false_resumed(book: Book) -> Iterator[str]:
    """Within the mailbox's limits a device that says where to go on can go on there.

    Unless the message it names may have been lost with a master.
    """
    outages = Outages(book)
    for session in book.sessions.values():
        opened = session.opened
        if not opened.since or opened.resumed or _overtaken(book, session):
            continue
        stored_at = position(opened.since)[0] * _MS - book.run.wall_ns
        if not outages.unsafe(stored_at, stored_at):
            yield f"{opened.user}/{opened.device} could not go on (session {opened.session})"


def _overtaken(book: Book, session: Session) -> bool:
    """Say whether another connection of the device had got further before this one was welcomed.

    What it acknowledged there may be gone, and nobody misses it.
    """
    opened = session.opened
    return any(
        got.offset and got.at < opened.at and position(got.offset) > position(opened.since)
        for other in book.devices[session.device]
        for got in other.got
    )


def doubled(book: Book) -> Iterator[str]:
    """The repeat filter hands every message on once."""
    for device, sessions in book.devices.items():
        count = Counter(
            (got.origin, got.id) for session in sessions for got in session.got if not got.repeat
        )
        for (_, message), times in count.items():
            if times > 1:
                yield f"{'/'.join(device)} was handed {message} {times} times"


def offsets_fell(book: Book) -> Iterator[str]:
    """Offsets rise within a connection; with the SDK for as long as the application runs."""
    for device, sessions in book.devices.items():
        last = ""
        for session in sessions:
            if book.run.clients != SDK:
                last = ""
            for got in session.got:
                if got.offset and position(got.offset) <= position(last):
                    which = f"{'/'.join(device)}, session {session.opened.session}"
                    yield f"{which}: {got.offset} after {last}"
                last = got.offset or last
