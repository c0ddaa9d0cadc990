"""What goes wrong, what comes late, and what ends by itself in the store."""

from collections.abc import Iterator

from tests.model import ledger, living, store
from tests.model.draft import Draft
from tests.model.reading import RUNNING
from tests.model.rules import Rules
from tests.model.state import (
    ASK,
    DEAD,
    INDEX,
    PAUSED,
    START,
    STOPPED,
    UP,
    Endpoint,
    Node,
    Snapshot,
    State,
    Step,
)

Steps = Iterator[tuple[Step, Draft]]


# ---- processes ------------------------------------------------------------------------------


def kill(rules: Rules, state: State) -> Steps:
    """SIGKILL: what a process knew is gone, and its clients notice."""
    for node in state.nodes:
        d = rules.spend(state, "kill") if node.state != DEAD else None
        if d is not None:
            bury_process(d, node)
            yield ("kill", node.name), d


def bury_process(d: Draft, node: Node) -> None:
    """A process has ended, whatever way."""
    ledger.forsake(d, {session.id for session in node.sessions})
    # A user's listing goes with the first of two goodbyes; dying between them leaves a wrong route.
    d.ghosts |= any(user not in d.endpoints[end].users for user, end, _ in node.goodbyes)
    d.nodes[node.name] = Node(node.name, node.endpoint, state=DEAD)
    d.receipts = tuple(each for each in d.receipts if each[0] != node.name)
    for number, client in enumerate(d.clients):
        if client.node == node.name:
            d.client(number, session=None, node="", reachable=False)


def pause(rules: Rules, state: State) -> Steps:
    """SIGSTOP."""
    for node in state.nodes:
        d = rules.spend(state, "pause") if node.state == UP else None
        if d is not None:
            ledger.forsake(d, {session.id for session in node.sessions})
            d.node(node.name, state=PAUSED)
            yield ("pause", node.name), d


def resume(rules: Rules, state: State) -> Steps:
    """SIGCONT."""
    for node in state.nodes:
        if node.state == PAUSED:
            d = Draft(state)
            d.node(node.name, state=UP)
            yield ("resume", node.name), d


def heartbeat(rules: Rules, state: State) -> Steps:
    """heartbeat.lua; who is fenced takes a new epoch (`EndpointKeeper._beat`)."""
    for node in state.nodes:
        if node.state not in RUNNING:
            continue
        d = Draft(state)
        known = d.endpoints[node.endpoint]
        beats = known.open and known.lease and known.listed
        if beats or node.at == STOPPED:
            continue
        fenced = store.heartbeat(d, rules, node.endpoint) < 0
        if fenced and node.state == UP:
            _next_epoch(d, rules, node)
        yield ("heartbeat", node.name), d


def _next_epoch(d: Draft, rules: Rules, node: Node) -> None:
    """`EndpointKeeper._next_epoch`, `Presence.register_all`: every open socket registers again."""
    endpoint = f"{node.name}{int(node.endpoint[1:]) + 1}"
    store.open_endpoint(d, rules, endpoint)
    sessions, goodbyes = [], list(node.goodbyes)
    for session in node.sessions:
        last = session.last
        if "replay_from_cursor" in rules.broken:
            last = d.cursors[session.client]
        route = (session.user, node.endpoint, session.id)
        listed = session.user in d.endpoints[node.endpoint].users
        if session.phase != INDEX and (listed or route in d.routes):
            goodbyes.append(route)  # else there is nothing to remove, nor will there be
        # What the sweep would register again is registered with all others.
        sessions.append(session._replace(phase=INDEX, last=last, replay=(), doubted=False))
    d.node(
        node.name,
        endpoint=endpoint,
        at=ASK,
        position=0,
        high=0,
        batch=(),
        sessions=tuple(sessions),
        goodbyes=tuple(goodbyes),
    )


# ---- requests -------------------------------------------------------------------------------


def run_late(rules: Rules, state: State) -> Steps:
    """A request whose sender has given it up runs after all."""
    if rules.closing:
        return
    for request in sorted(set(state.late)):
        d = Draft(state)
        late = list(state.late)
        late.remove(request)
        d.late = tuple(late)
        d.ghosts = d.ghosts or request[0] in ("register", "goodbye")
        store.LATE[request[0]](d, rules, *request[1:])
        yield ("late", *request), d


# ---- TTLs -----------------------------------------------------------------------------------


def lease_ends(rules: Rules, state: State) -> Steps:
    """Nobody renews the lease: the process is gone, stands still, or has another epoch."""
    renewed = {
        node.endpoint for node in state.nodes if node.state in RUNNING and node.at != STOPPED
    }
    for endpoint in state.endpoints:
        if endpoint.lease and endpoint.name not in renewed:
            d = Draft(state)
            d.endpoint(endpoint.name, lease=False)
            yield ("lease ends", endpoint.name), d


def token_ends(rules: Rules, state: State) -> Steps:
    """A rescuer's token ends: freely when nobody holds it, else within the budget."""
    for endpoint in state.endpoints:
        if not endpoint.rescuer:
            continue
        held = any(
            node.name == endpoint.rescuer
            and node.state in RUNNING
            and node.rescue is not None
            and node.rescue.endpoint == endpoint.name
            for node in state.nodes
        )
        d = rules.spend(state, "token") if held else Draft(state)
        if d is not None:
            d.endpoint(endpoint.name, rescuer="")
            yield ("token ends", endpoint.name), d


def routes_end(rules: Rules, state: State) -> Steps:
    """At rest: the routes of a user whom nobody refreshes end by their TTL."""
    if not rules.closing:
        return
    here = {session.user for node in state.nodes for session in node.sessions}
    kept = frozenset(route for route in state.routes if route[0] in here)
    if kept != state.routes:
        d = Draft(state)
        d.routes = kept
        yield ("routes end",), d


# ---- loss of data ---------------------------------------------------------------------------


def snapshot(rules: Rules, state: State) -> Steps:
    """The store's data as they are now is what it will go back to."""
    if state.budget.rollback and state.snapshot is None and not rules.closing:
        d = Draft(state)
        d.snapshot = Snapshot(
            *(state.endpoints, state.routes, state.mail),
            *(state.newest, state.trimmed, state.cursors),
        )
        yield ("snapshot",), d


def roll_back(rules: Rules, state: State) -> Steps:
    """A restart with older data, or a failover: every connection breaks, what was sent is gone."""
    old = state.snapshot
    d = rules.spend(state, "rollback") if old is not None else None
    if d is None or old is None:
        return
    later = set(d.endpoints) - {endpoint.name for endpoint in old.endpoints}
    unknown = [Endpoint(name, open=False, lease=False, listed=False) for name in later]
    d.endpoints = {endpoint.name: endpoint for endpoint in (*old.endpoints, *unknown)}
    d.routes, d.mail, d.newest = old.routes, old.mail, old.newest
    d.trimmed, d.cursors = old.trimmed, old.cursors
    d.snapshot, d.late, d.ghosts = None, (), True
    ledger.forsake(d, set(range(len(d.owners))))
    for node in state.nodes:
        if node.state in RUNNING or node.state == PAUSED:
            d.node(node.name, at=ASK, batch=(), rescue=None)
            _close_unregistered(d, rules, node)
    started = {number for number, send in enumerate(state.sends) if send.phase != START}
    d.excused |= started
    for number in range(len(d.sends)):
        d.send(number, cached=False)
    yield ("roll back",), d


def _close_unregistered(d: Draft, rules: Rules, node: Node) -> None:
    """The reply to a registration does not come: the client is told to try another node."""
    for session in node.sessions:
        if not session.welcomed and session.phase != INDEX:
            living.part(d, session.id)
            places = [each.id for each in d.nodes[node.name].sessions]
            living.end(d, rules, d.nodes[node.name], places.index(session.id))
