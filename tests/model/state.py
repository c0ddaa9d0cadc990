"""What the model knows at one moment, as immutable tuples.

`State` is everything: what lies in the store, what each process remembers, what is under way
between them, and what only the model itself knows (who really has what). Steps never change a
state; they change a `Draft` of it (draft.py), which is frozen into the next state.
"""

from typing import Any, Final, NamedTuple

# Where an inbox's reader is (router/store/inbox.py): asking for the position, about to peek, about
# to read the range, sending on what found nobody, about to trim.
ASK, PEEK, RANGE, SEND_ON, TRIM = "ask", "peek", "range", "send on", "trim"
STOPPED = "stopped"  # a draining node that sends on what is left, as a rescuer
# Where a rescuer is (router/rescue.py); it shares ASK, RANGE, SEND_ON and TRIM with the reader.
ROUTES, BURY, UNLIST = "routes", "bury", "unlist"
# How far a session has come (node/presence.py, node/session.py).
INDEX, REGISTER, IN_VAIN, REFUSED, RESUME, WELCOME, REPLAY, REPLAYING, LIVE = (
    "index",
    "register",
    "register in vain",  # the endpoint is fenced
    "refused",  # the next epoch registers it
    "resume",
    "welcome",
    "replay",
    "replaying",
    "live",
)
# What became of one entry of a batch.
HERE, GONE, PUSH, SENT, OFFLINE, UNSURE = "here", "gone", "push", "sent", "offline", "unsure"
SETTLED: Final = frozenset({HERE, SENT, OFFLINE, UNSURE})
# How far a send has come.
START, ABSENT, PUSHING, WAITING = "start", "absent", "pushing", "waiting"
UP, PAUSED, DRAINING, DEAD = "up", "paused", "draining", "dead"

Route = tuple[str, str, int]  # user, endpoint, session
Request = tuple[Any, ...]  # a script's name and arguments, still on its way to the store
Step = tuple[Any, ...]  # a step's name and what it was about


class Message(NamedTuple):
    """One message for one user; the same id for two users is one message to both."""

    id: str
    user: str
    durable: bool


class Copy(NamedTuple):
    """An envelope: which message, its offset and the one before it (0 if not durable), hops."""

    message: int
    offset: int
    prev: int
    hop: int


class Item(NamedTuple):
    """An entry of a batch, and how far its reader has come with it."""

    copy: Copy
    sure: bool  # the first and only copy, read once: `offline` may be said of it
    fate: str
    closed: str = ""  # whose routes are to be removed before looking up
    to: tuple[str, ...] = ()  # endpoints still to be pushed to
    pushed: bool = False


class Endpoint(NamedTuple):
    """What the store keeps of an endpoint."""

    name: str
    open: bool = True
    lease: bool = True
    inbox: tuple[Copy, ...] = ()
    done: int = 0
    rescued: tuple[Copy, ...] = ()
    rescuer: str = ""
    users: frozenset[str] = frozenset()
    listed: bool = True


class Session(NamedTuple):
    """One socket as its node sees it."""

    id: int
    client: int
    user: str
    linked: bool = True  # False: the client is gone, and the node has not noticed
    phase: str = INDEX
    welcomed: bool = False
    last: int = 0  # `position`: last offset written, or where it resumed
    wanted: int = 0  # newest offset known of, to be replayed
    unproved: tuple[int, ...] = ()  # messages written, and no pong yet
    replay: tuple[tuple[int, int], ...] = ()  # what was read from the mailbox
    behind: tuple[tuple[int, int], ...] = ()  # what waits behind the welcome
    ack: int = 0  # offset whose acknowledgement has not reached the store
    doubted: bool = False  # the sweep found something wrong, and has not registered it again


class Rescue(NamedTuple):
    """A rescue under way; the token is the rescuer's name."""

    endpoint: str
    at: str = ASK
    position: int = 0
    batch: tuple[Item, ...] = ()


class Node(NamedTuple):
    """What a process remembers."""

    name: str
    endpoint: str
    state: str = UP
    at: str = PEEK
    position: int = 0
    high: int = 0  # highest position handed out
    batch: tuple[Item, ...] = ()
    ring: frozenset[tuple[str, int]] = frozenset()
    sessions: tuple[Session, ...] = ()
    goodbyes: tuple[Route, ...] = ()  # routes to be removed
    rescue: Rescue | None = None


class Send(NamedTuple):
    """A sender's ledger of one message for one user (router/transport/base.py: Delivery)."""

    phase: str = START
    targets: tuple[str, ...] = ()  # planned and not pushed
    refused: tuple[str, ...] = ()  # not open: routes to be removed, then looked up afresh
    planned: frozenset[str] = frozenset()
    pushed: bool = False  # at least one copy, for certain
    open_copies: int = 0  # unpushed + unanswered
    heard: str = ""
    sure: bool = True
    cached: bool = False
    word: str = ""
    offset: int = 0
    prev: int = 0
    # Sessions that were reachable when the send began and ever since: `offline` would be a lie.
    witnesses: frozenset[int] | None = None


class Client(NamedTuple):
    """One device of one user, and what it really has."""

    session: int | None = None
    node: str = ""
    last: int = 0  # last offset that came over this connection
    offsets: frozenset[int] = frozenset()
    base: int = 0  # it was told that what lies before may be missing
    promised: bool = False  # it was welcomed: from then on everything waits for it
    reachable: bool = False  # welcomed, and its endpoint not fenced since


class Router(NamedTuple):
    """A Router that groups its sends (router/transport/routed.py, outbox.py)."""

    next: int = 0
    asking: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    answer: tuple[tuple[str, tuple[str, ...]], ...] | None = None  # the look-up's, on its way back
    cache: tuple[tuple[str, tuple[str, ...]], ...] = ()
    queue: tuple[tuple[str, int], ...] = ()  # endpoint, message
    flight: tuple[tuple[str, int], ...] = ()
    rest: tuple[tuple[str, int], ...] = ()  # only in a mutant


class Budget(NamedTuple):
    """How many faults of each kind may still happen."""

    kill: int = 0
    pause: int = 0
    lose: int = 0  # a reply is lost; the request runs now, later or never
    reconnect: int = 0  # of a reader
    leave: int = 0  # a client goes without a word
    token: int = 0  # a rescuer's token ends while it is at work
    drain: int = 0
    rollback: int = 0
    receipt: int = 0  # a receipt is lost


class Snapshot(NamedTuple):
    """What the store goes back to."""

    endpoints: tuple[Endpoint, ...]
    routes: frozenset[Route]
    mail: tuple[tuple[int, int], ...]
    newest: int
    trimmed: int
    cursors: tuple[int, ...]


class State(NamedTuple):
    """Everything at one moment."""

    endpoints: tuple[Endpoint, ...]
    nodes: tuple[Node, ...]
    sends: tuple[Send, ...]
    clients: tuple[Client, ...]
    routes: frozenset[Route]
    budget: Budget
    mail: tuple[tuple[int, int], ...] = ()  # offset, message
    log: tuple[int, ...] = ()  # messages in the order of their offsets, whatever was lost since
    newest: int = 0  # the stream's newest offset ever; 0 while there is no stream
    trimmed: int = 0  # highest offset removed from the mailbox
    cursors: tuple[int, ...] = ()  # for each client; -1 for none
    late: tuple[Request, ...] = ()
    receipts: tuple[tuple[str, int, str], ...] = ()  # node, message, answer; on their way
    router: Router | None = None
    snapshot: Snapshot | None = None
    got: frozenset[tuple[int, int]] = frozenset()  # message, client
    fates: frozenset[int] = frozenset()  # written, answered, or found nobody
    excused: frozenset[int] = frozenset()  # messages the store may have lost with its data
    ghosts: bool = False  # a late registration or a rollback may have left a wrong route
    owners: tuple[int, ...] = ()  # the client of each session opened so far
    bad: str = ""
