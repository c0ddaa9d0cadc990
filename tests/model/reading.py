"""Steps of an inbox's reader (router/store/inbox.py, router/receiving.py, node/delivery.py)."""

from collections.abc import Iterator

from tests.model import ledger, store
from tests.model.draft import Draft
from tests.model.forwarding import send_on, settled
from tests.model.rules import Rules
from tests.model.state import (
    ASK,
    DRAINING,
    GONE,
    HERE,
    LIVE,
    OFFLINE,
    PEEK,
    RANGE,
    REPLAY,
    SEND_ON,
    TRIM,
    UNSURE,
    UP,
    Copy,
    Item,
    Node,
    Session,
    State,
    Step,
)

Steps = Iterator[tuple[Step, Draft]]
RUNNING = (UP, DRAINING)


def ask(rules: Rules, state: State) -> Steps:
    """`InboxReader._positioned`: GET done."""
    for node in state.nodes:
        if node.at == ASK and node.state in RUNNING:
            d = Draft(state)
            d.node(node.name, at=PEEK, position=d.endpoints[node.endpoint].done, batch=())
            yield ("read the position", node.name), d


def peek(rules: Rules, state: State) -> Steps:
    """BLMOVE of the head onto the head; it may time out."""
    for node in state.nodes:
        if node.at != PEEK or node.state not in RUNNING:
            continue
        d = Draft(state)
        head = d.endpoints[node.endpoint].inbox[:1]
        if head or (rules.configuration.idle and not rules.closing):
            d.node(node.name, at=RANGE, batch=tuple(Item(copy, True, "") for copy in head))
            yield ("peek" if head else "peek times out", node.name), d
        elif d.endpoints[node.endpoint].done != node.position and _checks_position(rules):
            d.node(node.name, at=ASK)
            yield ("peek times out, the position is another", node.name), d


def _checks_position(rules: Rules) -> bool:
    return "peek_without_position" not in rules.broken


def read(rules: Rules, state: State) -> Steps:
    """LRANGE and GET done, then `Receiver._batch`: what can be written here is written."""
    for node in state.nodes:
        if node.at != RANGE or node.state not in RUNNING:
            continue
        d = Draft(state)
        found = d.endpoints[node.endpoint]
        copies = tuple(item.copy for item in node.batch) + found.inbox[1:]
        if not node.batch and "range_without_head" not in rules.broken:
            copies = ()  # no head, no batch: the range may begin behind an unread one
        if found.done != node.position and _checks_position(rules):
            d.node(node.name, at=ASK, batch=())
        else:
            _take(d, rules, node, copies)
        yield ("range", node.name), d


def _take(d: Draft, rules: Rules, node: Node, copies: tuple[Copy, ...]) -> None:
    """Hand a batch out (`InboxReader._peeked`, `Receiver._batch`)."""
    if "pop_first" in rules.broken:
        d.endpoint(node.endpoint, inbox=d.endpoints[node.endpoint].inbox[len(copies) :])
    high = node.high if "reread_is_first" not in rules.broken else 0
    batch = []
    for number, copy in enumerate(copies):
        first = node.position + number >= high  # read before: nobody knows what became of it then
        sure = first and (copy.hop == 0 or "offline_any_hop" in rules.broken)
        here = deliver(d, rules, node.name, copy)
        batch.append(Item(copy, sure, HERE if here else GONE, "" if here else node.endpoint))
    d.node(node.name, high=max(node.high, node.position + len(copies)))
    store_batch(d, rules, node.name, tuple(batch))


def store_batch(d: Draft, rules: Rules, node: str, batch: tuple[Item, ...]) -> None:
    """Keep how far a batch has come, and go on to what is due."""
    at = TRIM if settled(batch) else SEND_ON
    if not batch:
        at = PEEK
    if "pop_first" in rules.broken and at == TRIM:
        answer_negatives(d, rules, node, batch)
        at, batch = PEEK, ()
    d.node(node, at=at, batch=batch)


def deliver(d: Draft, rules: Rules, name: str, copy: Copy) -> bool:
    """Write a copy to the user's sessions here; False if there is none (`NodeDelivery.message`)."""
    node = d.nodes[name]
    message = rules.messages[copy.message]
    if "ring_by_node" in rules.broken:
        if (message.id, -1) in node.ring:
            return True
        d.node(name, ring=node.ring | {(message.id, -1)})
    here = False
    for place, session in enumerate(node.sessions):
        if session.user == message.user:
            here = True
            d.session(name, place, _to_session(d, rules, name, session, copy))
    return here


def _to_session(d: Draft, rules: Rules, node: str, session: Session, copy: Copy) -> Session:
    if not copy.offset:
        return _once(d, rules, node, session, copy.message)
    if session.phase != LIVE and "live_before_replay" not in rules.broken:
        return session._replace(wanted=max(session.wanted, copy.offset))
    if copy.offset <= session.last:
        return session
    if copy.prev <= session.last or "no_gap_fill" in rules.broken:
        return ledger.write(d, rules, node, session, copy.message, copy.offset)
    return session._replace(phase=REPLAY, wanted=copy.offset)


def _once(d: Draft, rules: Rules, node: str, session: Session, message: int) -> Session:
    """Write, unless it was written to this very session before (node/recent.py)."""
    ring = d.nodes[node].ring
    noted = (rules.messages[message].id, session.id)
    if noted not in ring:
        d.node(node, ring=ring | {noted})
        return ledger.write(d, rules, node, session, message, 0)
    if message in session.unproved or not session.linked:
        return session
    return session._replace(unproved=(*session.unproved, message))


def forward(rules: Rules, state: State) -> Steps:
    """`Receiver._send_on_all`: the next step of the first item that has found nobody."""
    for node in state.nodes:
        if node.at != SEND_ON or node.state not in RUNNING:
            continue
        for step, d, batch in send_on(rules, state, node, node.batch, rescue=False):
            if batch is None:  # the store was lost on the way: the batch is read again
                d.node(node.name, at=ASK, batch=())
            else:
                store_batch(d, rules, node.name, batch)
                _trim_early(d, rules, node, batch)
            yield step, d


def _trim_early(d: Draft, rules: Rules, node: Node, batch: tuple[Item, ...]) -> None:
    looked_up = [item for item in batch if item.to]
    if "trim_before_resend" in rules.broken and looked_up and not settled(batch):
        store.trim(d, rules, node.endpoint, node.position, len(batch))


def trim(rules: Rules, state: State) -> Steps:
    """`InboxReader.dealt`: trim.lua; whatever it answers, the next peek travels with it."""
    for node in state.nodes:
        if node.at != TRIM or node.state not in RUNNING:
            continue
        d = Draft(state)
        count = len(node.batch)
        removed = store.trim(d, rules, node.endpoint, node.position, count)
        if removed == 1:
            answer_negatives(d, rules, node.name, node.batch)
        negative = any(item.fate in (OFFLINE, UNSURE) for item in node.batch)
        at = ASK if negative and removed != 1 else PEEK
        d.node(node.name, at=at, position=node.position + count, batch=())
        yield ("trim", node.name, node.position, count), d


def answer_negatives(d: Draft, rules: Rules, node: str, batch: tuple[Item, ...]) -> None:
    """Bad news leaves only when its copy is known to be removed."""
    for item in batch:
        if item.fate == OFFLINE:
            ledger.answer(d, rules, node, item.copy.message, ledger.OFFLINE)
        elif item.fate == UNSURE:
            ledger.answer(d, rules, node, item.copy.message, ledger.UNKNOWN)


def reconnect(rules: Rules, state: State) -> Steps:
    """The reader's connection is lost; a trim that was sent may still run."""
    for node in state.nodes:
        if node.state in RUNNING and node.at in (PEEK, RANGE, TRIM):
            d = rules.spend(state, "reconnect")
            if d is None:
                return
            if node.at == TRIM:
                d.run_later("trim", node.endpoint, node.position, len(node.batch))
            d.node(node.name, at=ASK, batch=())
            yield ("reader reconnects", node.name), d
