"""Steps of sessions and of their clients (node/presence.py, node/session.py)."""

from collections.abc import Iterator

from tests.model import ledger, store
from tests.model.draft import Draft
from tests.model.reading import RUNNING
from tests.model.rules import Rules
from tests.model.state import (
    IN_VAIN,
    INDEX,
    LIVE,
    PAUSED,
    REFUSED,
    REGISTER,
    REPLAY,
    REPLAYING,
    RESUME,
    UP,
    WELCOME,
    Node,
    Session,
    State,
    Step,
)

Steps = Iterator[tuple[Step, Draft]]


def _sessions(state: State, *phases: str) -> Iterator[tuple[Node, int, Session]]:
    for node in state.nodes:
        if node.state in RUNNING:
            for place, session in enumerate(node.sessions):
                if not phases or session.phase in phases:
                    yield node, place, session


# ---- clients --------------------------------------------------------------------------------


def connect(rules: Rules, state: State) -> Steps:
    """A client opens a socket on any node that takes sessions (`Presence.arrive`)."""
    if not rules.closing and len(state.owners) >= rules.configuration.sessions:
        return
    for number, client in enumerate(state.clients):
        if client.session is not None:
            continue
        for node in state.nodes:
            if node.state == UP:
                d = Draft(state)
                new = Session(len(state.owners), number, rules.people[number][0])
                d.owners += (number,)
                d.node(node.name, sessions=(*node.sessions, new))
                d.client(number, session=new.id, node=node.name, last=0, reachable=False)
                yield ("connect", number, node.name), d


def leave(rules: Rules, state: State) -> Steps:
    """A client goes without a word; from a node that stands still it may always go."""
    for number, client in enumerate(state.clients):
        if client.session is None or rules.closing:
            continue
        paused = next(node for node in state.nodes if node.name == client.node).state == PAUSED
        d = Draft(state) if paused else rules.spend(state, "leave")
        if d is not None:
            part(d, client.session)
            yield ("client leaves", number, client.session), d


def part(d: Draft, session: int) -> None:
    """The link of a session breaks; its node has not noticed."""
    ledger.forsake(d, {session})
    for node in d.nodes.values():
        for place, found in enumerate(node.sessions):
            if found.id == session:
                d.session(node.name, place, found._replace(linked=False))
    for number, client in enumerate(d.clients):
        if client.session == session:
            d.client(number, session=None, node="", reachable=False)


# ---- arriving -------------------------------------------------------------------------------


def index(rules: Rules, state: State) -> Steps:
    """index.lua (`Registry.register`)."""
    for node, place, session in _sessions(state, INDEX):
        d = Draft(state)
        listed = store.index(d, rules, node.endpoint, session.user)
        changed = session._replace(phase=REGISTER if listed else IN_VAIN)
        if "welcome_before_register" in rules.broken and not session.welcomed:
            changed = _welcome(d, rules, changed)
        d.session(node.name, place, changed)
        yield ("index", node.name, session.id), d
        lost = rules.spend(state, "lose")
        if lost is not None:
            lost.run_later("index", node.endpoint, session.user)
            _unregistered(lost, rules, node, place, session)
            yield ("index, reply lost", node.name, session.id), lost


def register(rules: Rules, state: State) -> Steps:
    """register.lua (`Registry.register`)."""
    for node, place, session in _sessions(state, REGISTER, IN_VAIN):
        d = Draft(state)
        newest = store.register(d, rules, session.user, node.endpoint, session.id)
        told = session._replace(wanted=max(newest, session.wanted))
        d.session(node.name, place, _registered(d, rules, node, told))
        yield ("register", node.name, session.id), d
        lost = rules.spend(state, "lose")
        if lost is not None:
            lost.run_later("register", session.user, node.endpoint, session.id)
            _unregistered(lost, rules, node, place, session)
            yield ("register, reply lost", node.name, session.id), lost


def _registered(d: Draft, rules: Rules, node: Node, session: Session) -> Session:
    if session.phase == IN_VAIN:
        return session._replace(phase=REFUSED)
    if not session.welcomed:
        return session._replace(phase=RESUME if rules.durable else WELCOME)
    if d.endpoints[node.endpoint].open:
        ledger.reachable(d, session)
    return session._replace(phase=_after(session))


def _after(session: Session) -> str:
    """Say whether a session must read its mailbox."""
    return REPLAY if session.wanted > session.last else LIVE


def _unregistered(d: Draft, rules: Rules, node: Node, place: int, session: Session) -> None:
    """No reply: a new session is closed with 1013, one that was welcomed is registered later."""
    if not session.welcomed:
        part(d, session.id)
        end(d, rules, node, place)


def resume(rules: Rules, state: State) -> Steps:
    """resume.lua (`Replays.resume`): from where the session goes on reading its mailbox."""
    for node, place, session in _sessions(state, RESUME):
        d = Draft(state)
        since = None
        if rules.configuration.since:
            since = max(state.clients[session.client].offsets, default=None)
        after, whole = store.resume(d, rules, session.client, since)
        if not whole:  # the welcome says so; one that is lost on the way is not said again
            base = max(state.clients[session.client].base, after)
            d.client(session.client, base=base)
        d.session(node.name, place, session._replace(phase=WELCOME, last=after))
        yield ("resume", node.name, session.id), d


def welcome(rules: Rules, state: State) -> Steps:
    """The reply has come: `ClientSession.welcome`, and what has waited behind it."""
    for node, place, session in _sessions(state, WELCOME):
        d = Draft(state)
        changed = session if session.welcomed else _welcome(d, rules, session)
        if d.endpoints[node.endpoint].open:
            ledger.reachable(d, changed)
        d.session(node.name, place, changed._replace(phase=_after(changed)))
        yield ("welcome", node.name, session.id), d


def _welcome(d: Draft, rules: Rules, session: Session) -> Session:
    """Tell the client where it stands: after which offset it will get everything, or not."""
    client = d.clients[session.client]
    if session.linked and rules.durable and not client.promised:
        d.client(session.client, promised=True)
    session = session._replace(welcomed=True)
    if "welcome_before_register" in rules.broken:
        ledger.reachable(d, session)
    for message, offset in session.behind:
        ledger.arrive(d, rules, session, message, offset)
    return session._replace(behind=())


# ---- living ---------------------------------------------------------------------------------


def replay(rules: Rules, state: State) -> Steps:
    """The mailbox is read, then written to the session; live messages wait meanwhile."""
    for node, place, session in _sessions(state, REPLAY, REPLAYING):
        d = Draft(state)
        if session.phase == REPLAY:
            entries = tuple(
                entry
                for entry in d.mail
                if entry[0] > session.last and rules.messages[entry[1]].user == session.user
            )
            # What is wanted and not found was trimmed: it is not waited for again.
            changed = session._replace(phase=REPLAYING, replay=entries, wanted=0)
            d.session(node.name, place, changed)
            yield ("read the mailbox", node.name, session.id), d
            continue
        written = session
        for offset, message in session.replay:
            if offset > written.last or "live_before_replay" in rules.broken:
                written = ledger.write(d, rules, node.name, written, message, offset)
        phase = LIVE if written.wanted <= written.last else REPLAY
        d.session(node.name, place, written._replace(phase=phase, replay=()))
        yield ("replay", node.name, session.id), d


def sweep(rules: Rules, state: State) -> Steps:
    """`Registry.refresh`: look whether a session's routes and offset are as they should be."""
    for node, place, session in _sessions(state, LIVE):
        if session.doubted or "sweep_only_pings" in rules.broken:
            continue
        d = Draft(state)
        known = d.endpoints[node.endpoint]
        listed = known.open and session.user in known.users
        routed = (session.user, node.endpoint, session.id) in state.routes
        behind = "refresh_ignores_mail" not in rules.broken and _is_behind(rules, state, session)
        if listed and routed and not behind:
            continue
        d.session(node.name, place, session._replace(doubted=True))
        yield ("sweep", node.name, session.id), d


def renew(rules: Rules, state: State) -> Steps:
    """`Presence._attach`: register once more what the sweep found wrong, and compare its offset."""
    for node, place, session in _sessions(state):
        if not session.doubted:
            continue
        d = Draft(state)
        listed = store.index(d, rules, node.endpoint, session.user)
        newest = store.register(d, rules, session.user, node.endpoint, session.id)
        changed = session._replace(doubted=False, wanted=max(newest, session.wanted))
        if listed:
            ledger.reachable(d, session)
        if listed and changed.phase == LIVE:
            changed = changed._replace(phase=_after(changed))
        d.session(node.name, place, changed)
        yield ("renew", node.name, session.id), d


def _is_behind(rules: Rules, state: State, session: Session) -> bool:
    """At rest a live push does its work by itself, unless it was lost."""
    if rules.closing and not state.excused:
        if not any(send.word == ledger.UNKNOWN for send in state.sends):
            return False
    return any(
        offset > session.last and rules.messages[message].user == session.user
        for offset, message in state.mail
    )


def pong(rules: Rules, state: State) -> Steps:
    """The client's stack answers the ping: all before it has arrived (`ClientSession.pong`)."""
    for node, place, session in _sessions(state):
        if session.linked and session.welcomed and session.unproved:
            d = Draft(state)
            ack = max(session.ack, session.last)
            d.session(node.name, place, session._replace(unproved=(), ack=ack))
            for message in session.unproved:
                ledger.answer(d, rules, node.name, message, ledger.DELIVERED)
            yield ("pong", node.name, session.id), d


def acknowledge(rules: Rules, state: State) -> Steps:
    """The node brings a device's cursor into the store."""
    for node, place, session in _sessions(state):
        if session.ack:
            d = Draft(state)
            store.acknowledge(d, rules, session.client, session.ack)
            d.session(node.name, place, session._replace(ack=0))
            yield ("acknowledge", node.name, session.id, session.ack), d


# ---- leaving --------------------------------------------------------------------------------


def close(rules: Rules, state: State) -> Steps:
    """The node notices that a link is gone (`ClientSession.gone`, `Presence.leave`)."""
    for node, place, session in _sessions(state):
        if not session.linked:
            d = Draft(state)
            end(d, rules, node, place)
            yield ("close", node.name, session.id), d


def end(d: Draft, rules: Rules, node: Node, place: int) -> None:
    """A session ends: what it has not proved is unknown, and its route is to be removed."""
    session = d.nodes[node.name].sessions[place]
    d.session(node.name, place)
    if session.phase != INDEX and ("drain_leaves_routes" not in rules.broken or node.state == UP):
        route = (session.user, node.endpoint, session.id)
        d.node(node.name, goodbyes=(*d.nodes[node.name].goodbyes, route))
    for message in session.unproved:
        ledger.answer(d, rules, node.name, message, ledger.UNKNOWN)


def goodbye(rules: Rules, state: State) -> Steps:
    """unregister.lua and the ZREM behind it (`Registry.unregister`)."""
    for node in state.nodes:
        if node.state not in RUNNING or not node.goodbyes:
            continue
        user, endpoint, session = node.goodbyes[0]
        here = endpoint == node.endpoint and any(other.user == user for other in node.sessions)
        d = Draft(state)
        store.goodbye(d, rules, user, endpoint, session, last_here=not here)
        d.node(node.name, goodbyes=node.goodbyes[1:])
        yield ("goodbye", node.name, user, endpoint, session), d
        lost = rules.spend(state, "lose")
        if lost is not None:  # it is said again (`Presence._remove_ghosts`)
            lost.run_later("goodbye", user, endpoint, session, not here)
            yield ("goodbye, reply lost", node.name, user, endpoint, session), lost
