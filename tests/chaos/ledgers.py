"""Ledgers made by hand, for tests of the audit: a run in which all is well, to be broken."""

from typing import Any

import msgspec

from scripts.faults.audit import audit
from scripts.faults.book import SECOND, Book
from scripts.faults.entries import (
    Acked,
    AnyEntry,
    Closed,
    Deaf,
    Ended,
    Final,
    Got,
    Hurt,
    Opened,
    Run,
    Sample,
    Sent,
    Told,
)
from scripts.faults.logs import Line

ALICE, BOB = "alice", "bob"
N1 = "n1.aa"
RUN = Run(
    seed=7,
    seconds=60,
    nodes=2,
    users=2,
    rate=1,
    faults=[],
    clients="plain",
    started=0,
    wall_ns=0,
    lease_s=10,
    heartbeat_s=2.5,
    inbox_cap=100,
    mail_cap=50,
    timeout_s=8,
)


def at(seconds: float) -> int:
    """Return a time of the ledger."""
    return round(seconds * SECOND)


class Ledger:
    """Entries of a run of a minute, at whose end Alice is connected."""

    def __init__(self, clients: str = "plain") -> None:
        self.run = msgspec.structs.replace(RUN, clients=clients)
        self.entries: list[AnyEntry] = []
        self.lines: list[Line] = []
        self.routes: dict[str, list[str]] = {}
        self.final: dict[str, Any] = {}
        self._connections = 0
        self.open(ALICE)

    def open(
        self, user: str, when: float = 1, device: str = "web", *, routed: bool = True, **fields: Any
    ) -> int:
        """Let a client have its welcome; return the number of its connection."""
        self._connections += 1
        c = self._connections
        self.entries.append(Opened(at(when), c, user, device, "n1", f"s{c}", **fields))
        if routed:
            self.routes.setdefault(user, []).append(f"{N1}/s{c}")
        return c

    def close(self, c: int, when: float, why: str = "left") -> None:
        """Let a connection end, and its route with it."""
        self.entries.append(Closed(at(when), c, why))
        for user, fields in list(self.routes.items()):
            self.routes[user] = [field for field in fields if field != f"{N1}/s{c}"]

    def send(self, n: int = 1, when: float = 10, outcome: str = "delivered", **fields: Any) -> Sent:
        """Let a message be sent and its outcome be told 0.1 s later; "" tells none."""
        sent = Sent(at(when), n, fields.pop("user", ALICE), "sender", "router", pad="x", **fields)
        self.entries.append(sent)
        if outcome:
            self.entries.append(Told(at(when + 0.1), n, outcome, f"m{n}"))
        return sent

    def read(self, sent: Sent, when: float = 10.05, c: int = 1, **fields: Any) -> None:
        """Let a client read a message."""
        data = fields.pop("data", sent.data())
        self.entries.append(Got(at(when), c, f"m{sent.n}", sent.origin, data, **fields))

    def ack(self, when: float, c: int = 1, **fields: Any) -> None:
        """Let a client acknowledge."""
        self.entries.append(Acked(at(when), c, **fields))

    def deaf(self, start: float, end: float, c: int = 1) -> None:
        """Let a client read nothing for a while."""
        self.entries += [Deaf(at(start), c), Deaf(at(end), c, off=True)]

    def hurt(
        self, fault: str, where: str, start: float, end: float, side: str = "", **fields: Any
    ) -> None:
        """Let something be broken."""
        self.entries.append(Hurt(at(start), fault, where, at(end), side=side, **fields))

    def fill(self, length: int, mail: int = 0) -> None:
        """Let an inbox, and a mailbox, be that full."""
        self.entries.append(Sample(at(20), {N1: length}, mail))

    def end_node(self, status: int, *, meant: bool) -> None:
        """Let a node end."""
        self.entries.append(Ended(at(30), "n2", status, meant))

    def book(self) -> Book:
        """Return the book, come to rest."""
        rest: dict[str, Any] = {
            "routes": {user: fields for user, fields in self.routes.items() if fields},
            "endpoints": [N1],
            "living": [N1],
            "inboxes": {N1: 0},
            "remains": [],
            "mail": {},
            "took_s": 1.0,
            **self.final,
        }
        return Book.of(self.run, [*self.entries, Final(at(90), **rest)])

    def broken(self) -> set[str]:
        """Return the kinds of promises that the audit finds broken."""
        return {finding.kind for finding in audit(self.book(), self.lines)}
