"""The draft in which a step changes a state; frozen, it is the next state."""

from typing import Any

from tests.model.state import (
    WAITING,
    Budget,
    Client,
    Endpoint,
    Node,
    Request,
    Route,
    Router,
    Send,
    Session,
    Snapshot,
    State,
)


class Draft:
    """A state that is being changed; the fields are those of `State`."""

    __slots__ = (*State._fields,)

    endpoints: dict[str, Endpoint]
    nodes: dict[str, Node]
    sends: list[Send]
    clients: list[Client]
    routes: frozenset[Route]
    budget: Budget
    mail: tuple[tuple[int, int], ...]
    log: tuple[int, ...]
    newest: int
    trimmed: int
    cursors: tuple[int, ...]
    late: tuple[Request, ...]
    receipts: tuple[tuple[str, int, str], ...]
    router: Router | None
    snapshot: Snapshot | None
    got: frozenset[tuple[int, int]]
    fates: frozenset[int]
    excused: frozenset[int]
    ghosts: bool
    owners: tuple[int, ...]
    bad: str

    def __init__(self, state: State) -> None:
        endpoints, nodes, sends, clients = state[:4]
        self.endpoints = {endpoint[0]: endpoint for endpoint in endpoints}
        self.nodes = {node[0]: node for node in nodes}
        self.sends = list(sends)
        self.clients = list(clients)
        (
            self.routes,
            self.budget,
            self.mail,
            self.log,
            self.newest,
            self.trimmed,
            self.cursors,
            self.late,
            self.receipts,
            self.router,
            self.snapshot,
            self.got,
            self.fates,
            self.excused,
            self.ghosts,
            self.owners,
            self.bad,
        ) = state[4:]

    def freeze(self) -> State:
        """Return the state that the draft has become."""
        endpoints = self.endpoints
        return State(
            tuple([endpoints[name] for name in sorted(endpoints)]),
            tuple(self.nodes.values()),
            tuple(self.sends),
            tuple(self.clients),
            self.routes,
            self.budget,
            self.mail,
            self.log,
            self.newest,
            self.trimmed,
            self.cursors,
            self.late,
            self.receipts,
            self.router,
            self.snapshot,
            self.got,
            self.fates,
            self.excused,
            self.ghosts,
            self.owners,
            self.bad,
        )

    def endpoint(self, name: str, **changes: Any) -> None:
        """Change what the store keeps of an endpoint."""
        self.endpoints[name] = self.endpoints[name]._replace(**changes)

    def node(self, name: str, **changes: Any) -> None:
        """Change what a process remembers."""
        self.nodes[name] = self.nodes[name]._replace(**changes)

    def send(self, number: int, **changes: Any) -> None:
        """Change a sender's ledger."""
        self.sends[number] = self.sends[number]._replace(**changes)

    def client(self, number: int, **changes: Any) -> None:
        """Change what a device knows."""
        self.clients[number] = self.clients[number]._replace(**changes)

    def session(self, node: str, place: int, *new: Session) -> None:
        """Replace the session at a place of a node's list; by nothing to remove it."""
        sessions = self.nodes[node].sessions
        self.node(node, sessions=(*sessions[:place], *new, *sessions[place + 1 :]))

    def run_later(self, *request: Any) -> None:
        """Leave a request on its way: its sender has given it up, and it may still run."""
        self.late = tuple(sorted((*self.late, request)))

    def tidy(self) -> None:
        """Forget what cannot matter any more, so that states differ only where it does.

        A sender that has its word hears nothing more; a session's number is never used again.
        """
        begun = settled = True
        for number, send in enumerate(self.sends):
            begun = begun and send.witnesses is not None
            if send.word and send.phase == WAITING:
                rest = Send(WAITING, pushed=send.pushed, word=send.word, offset=send.offset)
                self.sends[number] = rest._replace(witnesses=frozenset())
            else:
                settled = False
        if begun:
            for number, client in enumerate(self.clients):
                if client.reachable:
                    self.client(number, reachable=False)
        for name, node in self.nodes.items():
            self._tidy_node(name, node, settled=settled)

    def _tidy_node(self, name: str, node: Node, *, settled: bool) -> None:
        if node.ring:
            here = {session.id for session in node.sessions}
            here.add(-1)
            ring = frozenset([noted for noted in node.ring if noted[1] in here])
            if len(ring) != len(node.ring):
                self.node(name, ring=ring)
        if settled and not self.log:
            for place, session in enumerate(node.sessions):
                if session.unproved:
                    self.session(name, place, session._replace(unproved=()))

    def violate(self, what: str) -> None:
        """Note that a promise was broken; the first one counts."""
        self.bad = self.bad or what
