"""What the ledger of a run is made of: one line of JSON each. Pure.

Times are nanoseconds of CLOCK_MONOTONIC, the same for all processes of a run. A connection is named
by a number that the clients give it, a message by the number that its sender gives it.
"""

from typing import Any

import msgspec

Ns = int


def position(offset: str) -> tuple[int, int]:
    """Return an offset as something that compares; one that is "" comes before all others.

    Raises:
        ValueError: it is no offset.
    """
    if not offset:
        return -1, -1
    milliseconds, _, sequence = offset.partition("-")
    return int(milliseconds), int(sequence)


class Entry(msgspec.Struct, frozen=True, tag_field="what", omit_defaults=True):
    """A line of the ledger.

    Args:
        at: when, by CLOCK_MONOTONIC.
    """

    at: Ns


class Sent(Entry, frozen=True, tag="sent"):
    """A sender makes a call.

    Args:
        n: number of the message.
        user: whom it is for.
        origin: whom it is from.
        via: how: a router, or a node's HTTP API.
        durable: it is to be kept for who is away.
        confirm: how far the sender waits.
        ttl_s: it is worthless after so long; 0 for never.
        pad: what it carries beside its number and its user.
    """

    n: int
    user: str
    origin: str
    via: str
    durable: bool = False
    confirm: str = ""
    ttl_s: float = 0.0
    pad: str = ""

    def data(self) -> dict[str, Any]:
        """Return the data of the message."""
        return {"n": self.n, "to": self.user, "pad": self.pad}


class Told(Entry, frozen=True, tag="told"):
    """A sender hears what became of its call.

    Args:
        n: number of the message.
        outcome: the word; the code of the error where the call was refused; `broken` where the
            connection that the answer was to come by has ended.
        id: of the message; "" where none was told.
        reason: the words behind it.
    """

    n: int
    outcome: str
    id: str = ""
    reason: str = ""


class Opened(Entry, frozen=True, tag="opened"):
    """A client has its welcome.

    Args:
        c: number of the connection.
        user, device: whose.
        node: which node says it is.
        session: the session's id.
        resumed, offset: what the welcome says.
        since: the offset after which the client asked to go on; "" when it did not say.
        ack: how it acknowledges; "" where it cannot.
    """

    c: int
    user: str
    device: str
    node: str
    session: str
    resumed: bool = False
    offset: str = ""
    since: str = ""
    ack: str = ""


class Got(Entry, frozen=True, tag="got"):
    """A client read a message.

    Args:
        c: number of the connection.
        id, origin, data, offset, replay: what the frame says.
        repeat: the client had it before, and did not hand it on.
    """

    c: int
    id: str
    origin: str
    data: Any
    offset: str = ""
    replay: bool = False
    repeat: bool = False


class Acked(Entry, frozen=True, tag="acked"):
    """A client's application acknowledges; noted before the frame leaves.

    Args:
        c: number of the connection.
        offset: everything up to it; "" where one message is meant.
        id: that message.
    """

    c: int
    offset: str = ""
    id: str = ""


class Deaf(Entry, frozen=True, tag="deaf"):
    """A client stops reading, or reads again.

    Args:
        c: number of the connection.
        off: it reads again.
    """

    c: int
    off: bool = False


class Closed(Entry, frozen=True, tag="closed"):
    """A connection has ended, as far as its client knows.

    Args:
        c: number of the connection.
        why: `left` (the client wanted it), `vanished` (it stopped reading and answering for ever,
            without a word), `lost`, or `goodbye` (the server's wish).
        code: of the server's close frame; 0 without one.
    """

    c: int
    why: str
    code: int = 0


class Hurt(Entry, frozen=True, tag="hurt"):
    """Something is broken on purpose, from `at` to `until`.

    Args:
        fault: which kind.
        where: what was hit.
        until: when it was whole again.
        detail: the rest, for people.
        side: of the links between hosts that were hit; "" where it was none.
        served: of a master that was hit: since when its keys were served again.
        nodes: of a master that was hit: names of the nodes that keep their lease there.
        unsafe: from `at` to `until` the store may have lost what it had acknowledged.
    """

    fault: str
    where: str
    until: Ns
    detail: str = ""
    side: str = ""
    served: Ns = 0
    nodes: list[str] = []
    unsafe: bool = False


class Waiting(Entry, frozen=True, tag="waiting"):
    """What lay in the inbox of a node that was just killed.

    Args:
        endpoint: the node's.
        messages: (number of the message, user).
    """

    endpoint: str
    messages: list[tuple[int, str]]


class Sample(Entry, frozen=True, tag="sample"):
    """How full inboxes and mailboxes are.

    Args:
        inboxes: envelopes by endpoint; only those that are not empty.
        mail: messages in the fullest mailbox.
    """

    inboxes: dict[str, int]
    mail: int = 0


class Ended(Entry, frozen=True, tag="ended"):
    """A node process has ended.

    Args:
        node: its name.
        status: exit status; the negative number of the signal that killed it.
        meant: the runner wanted it to end.
    """

    node: str
    status: int
    meant: bool


class Final(Entry, frozen=True, tag="final"):
    """What is in the store when everything has come to rest.

    Args:
        routes: user -> `endpoint/session`.
        endpoints: those that are listed.
        living: those that the running processes are.
        inboxes: envelopes that still lie in inboxes, by endpoint.
        remains: keys of endpoints that are not listed any more.
        mail: user -> messages in the mailbox.
        took_s: how long it took until the registry was right; -1 when it never was.
    """

    routes: dict[str, list[str]]
    endpoints: list[str]
    living: list[str]
    inboxes: dict[str, int]
    remains: list[str]
    mail: dict[str, int]
    took_s: float


class Run(msgspec.Struct, frozen=True):
    """What was run.

    Args:
        seed, seconds, nodes, users, rate, faults, clients: the options.
        started: when, by CLOCK_MONOTONIC.
        wall_ns: what to take off the time of day for CLOCK_MONOTONIC.
        lease_s, heartbeat_s: of an endpoint.
        inbox_cap: envelopes that an inbox may hold.
        mail_cap: messages that a mailbox may hold; 0 where there is none.
        timeout_s: how long each send waits.
        pages: users whose only client is a page in Chromium.
        return_s: how soon a node is connected to the store again when the way there is whole.
        silence_s: after how long clients give up a node of which nothing comes; 0 for never.
        store: which kind of store it was.
    """

    seed: int
    seconds: float
    nodes: int
    users: int
    rate: float
    faults: list[str]
    clients: str
    started: Ns
    wall_ns: Ns
    lease_s: float
    heartbeat_s: float
    inbox_cap: int
    mail_cap: int
    timeout_s: float
    pages: list[str] = []
    return_s: float = 0.0
    silence_s: float = 0.0
    store: str = "single"


AnyEntry = (
    Sent | Told | Opened | Got | Acked | Deaf | Closed | Hurt | Waiting | Sample | Ended | Final
)
