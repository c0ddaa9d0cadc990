"""A ledger, sorted by what its entries speak of. Pure but for `read`."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scripts.faults.entries import (
    Acked,
    AnyEntry,
    Closed,
    Deaf,
    Ended,
    Final,
    Got,
    Hurt,
    Ns,
    Opened,
    Run,
    Sample,
    Sent,
    Told,
    Waiting,
)
from scripts.faults.ledger import read_entries, read_run

NEVER: Ns = 2**63
SECOND: Ns = 1_000_000_000


@dataclass(slots=True)
class Session:
    """One connection of a client, from its welcome to its end."""

    opened: Opened
    closed: Closed | None = None
    deaf: list[Deaf] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    acked: list[Acked] = field(default_factory=list)

    @property
    def ended_at(self) -> Ns:
        """Return when it ended; `NEVER` while it goes on."""
        return NEVER if self.closed is None else self.closed.at

    @property
    def device(self) -> tuple[str, str]:
        """Return whose it is."""
        return self.opened.user, self.opened.device

    def heard(self, start: Ns, end: Ns) -> bool:
        """Say whether it was there and reading from `start` to `end`."""
        if not (self.opened.at <= start and end <= self.ended_at):
            return False
        reading = True
        for turn in self.deaf:
            if turn.at > end:
                break
            if turn.at >= start and not turn.off:
                return False
            reading = turn.off
        return reading


@dataclass(slots=True)
class Message:
    """One call of a sender and everything that came of it."""

    sent: Sent
    told: list[Told] = field(default_factory=list)
    got: list[tuple[Session, Got]] = field(default_factory=list)

    @property
    def word(self) -> str:
        """Return its outcome; "" when nothing was ever told."""
        return self.told[0].outcome if self.told else ""

    @property
    def told_at(self) -> Ns:
        """Return when its outcome was told; `NEVER` when none was."""
        return self.told[0].at if self.told else NEVER


@dataclass(slots=True)
class Book:
    """Everything that the ledger of a run says.

    Args:
        run: what was run.
        stray: receipts that belong to no message that was sent, or to no connection.
        nameless: answers to calls that nobody made.
    """

    run: Run
    messages: dict[int, Message] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    devices: dict[tuple[str, str], list[Session]] = field(default_factory=dict)
    users: dict[str, list[Session]] = field(default_factory=dict)
    hurts: list[Hurt] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    final: Final | None = None
    stray: list[Got] = field(default_factory=list)
    nameless: list[Told] = field(default_factory=list)

    def at_rest(self, user: str) -> list[Session]:
        """Return the sessions that a user has when everything has come to rest."""
        rest_at = NEVER if self.final is None else self.final.at
        return [session for session in self.users.get(user, ()) if session.ended_at >= rest_at]

    @classmethod
    def of(cls, run: Run, entries: Iterable[AnyEntry]) -> "Book":
        """Return the book of a run; entries of one process are in the order it wrote them."""
        book = cls(run)
        kinds: dict[type, list[AnyEntry]] = defaultdict(list)
        for entry in entries:
            kinds[type(entry)].append(entry)
        for entry in kinds[Sent]:
            assert isinstance(entry, Sent)
            book.messages[entry.n] = Message(entry)
        for entry in kinds[Told]:
            assert isinstance(entry, Told)
            book._told(entry)
        for entry in kinds[Opened]:
            assert isinstance(entry, Opened)
            book._open(Session(entry))
        for kind in (Closed, Deaf, Acked, Got):
            for entry in kinds[kind]:
                book._of_session(entry)
        for entry in (e for kind in (Hurt, Waiting, Sample, Ended, Final) for e in kinds[kind]):
            book._of_run(entry)
        return book

    @classmethod
    def read(cls, folder: Path) -> "Book":
        """Return the book of the ledger in a folder.

        Raises:
            Unreadable: there is none, or not all of it can be read.
        """
        return cls.of(read_run(folder), read_entries(folder))

    def _told(self, entry: Told) -> None:
        message = self.messages.get(entry.n)
        if message is None:
            self.nameless.append(entry)
        else:
            message.told.append(entry)

    def _open(self, session: Session) -> None:
        self.sessions[session.opened.c] = session
        self.devices.setdefault(session.device, []).append(session)
        self.users.setdefault(session.opened.user, []).append(session)

    def _of_session(self, entry: AnyEntry) -> None:
        assert isinstance(entry, Closed | Deaf | Acked | Got)
        session = self.sessions.get(entry.c)
        if session is None:
            if isinstance(entry, Got):
                self.stray.append(entry)
        elif isinstance(entry, Closed):
            session.closed = entry
        elif isinstance(entry, Deaf):
            session.deaf.append(entry)
        elif isinstance(entry, Acked):
            session.acked.append(entry)
        else:
            session.got.append(entry)
            self._receipt(session, entry)

    def _receipt(self, session: Session, entry: Got) -> None:
        n = entry.data.get("n") if isinstance(entry.data, dict) else None
        message = self.messages.get(n) if isinstance(n, int) else None
        if message is None:
            self.stray.append(entry)
        else:
            message.got.append((session, entry))

    def _of_run(self, entry: AnyEntry) -> None:
        if isinstance(entry, Hurt):
            self.hurts.append(entry)
        elif isinstance(entry, Waiting):
            self.waiting.append(entry)
        elif isinstance(entry, Sample):
            self.samples.append(entry)
        elif isinstance(entry, Ended):
            self.ended.append(entry)
        elif isinstance(entry, Final):
            self.final = entry
