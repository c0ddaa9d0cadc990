"""What really reaches clients and senders, and the promises that can be broken on the way.

`write` stands for `node/delivery.py: NodeDelivery._to_user` and `node/session.py: put`; `verdict`
for `router/transport/base.py: Delivery.verdict`.
"""

from tests.model.draft import Draft
from tests.model.rules import Rules
from tests.model.state import WAITING, Session

DELIVERED, UNKNOWN, OFFLINE, QUEUED = "delivered", "unknown", "offline", "queued"


def write(
    d: Draft, rules: Rules, node: str, session: Session, message: int, offset: int
) -> Session:
    """Write one frame into a session's socket; before the welcome it waits behind it."""
    d.fates |= {message}
    unproved = session.unproved
    session = session._replace(
        unproved=unproved if message in unproved else (*unproved, message),
        last=offset or session.last,
    )
    if session.welcomed:
        arrive(d, rules, session, message, offset)
    elif "write_before_welcome" in rules.broken:
        d.violate("a message came before the welcome")
    else:
        session = session._replace(behind=(*session.behind, (message, offset)))
    if "cursor_on_write" in rules.broken and offset:
        session = session._replace(ack=offset)
    if "delivered_on_write" in rules.broken:
        answer(d, rules, node, message, DELIVERED)
    return session


def arrive(d: Draft, rules: Rules, session: Session, message: int, offset: int) -> None:
    """One frame comes to the client, if the link is open."""
    if not session.linked:
        return
    if rules.configuration.grouped and not any(rules.configuration.budget):
        _check_order(d, rules, session.client, message)
    d.got |= {(message, session.client)}
    if not offset:
        return
    client = d.clients[session.client]
    if offset <= client.last:
        d.violate("offsets fell within one connection")
    for earlier in range(client.base + 1, offset):
        if earlier not in client.offsets and d.log[earlier - 1] not in d.excused:
            d.violate(f"a hole before offset {offset}")
    d.client(session.client, offsets=client.offsets | {offset}, last=offset)


def _check_order(d: Draft, rules: Rules, client: int, message: int) -> None:
    user = rules.people[client][0]
    for later in range(message + 1, len(rules.messages)):
        if rules.messages[later].user == user and (later, client) in d.got:
            d.violate("a later message of the same sender came first")


def answer(d: Draft, rules: Rules, node: str, message: int, word: str) -> None:
    """Tell the sender of a message what became of one copy (`router/receipts.py`)."""
    d.fates |= {message}
    if rules.configuration.slow_receipts:
        d.receipts = tuple(sorted((*d.receipts, (node, message, word)), key=lambda each: each[0]))
    else:
        hear(d, rules, message, word)


def hear(d: Draft, rules: Rules, message: int, word: str) -> None:
    """A receipt arrives (`Delivery.answered`)."""
    send = d.sends[message]
    if word == DELIVERED:
        if not any(found[0] == message for found in d.got):
            d.violate("delivered, but the client has not got it")
        if not send.word:
            d.send(message, word=DELIVERED)
        return
    heard = UNKNOWN if UNKNOWN in (word, send.heard) else OFFLINE
    d.send(message, open_copies=send.open_copies - 1, heard=heard)
    verdict(d, rules, message)


def verdict(d: Draft, rules: Rules, message: int) -> None:
    """Decide a negative word, once every copy has been answered (`Delivery.verdict`)."""
    send = d.sends[message]
    if send.word or send.phase != WAITING or send.open_copies > 0:
        return
    word = send.heard or OFFLINE
    if word == OFFLINE and not send.sure and "offline_after_retry" not in rules.broken:
        word = UNKNOWN
    if rules.messages[message].durable:
        word = QUEUED
    d.send(message, word=word)
    if word == OFFLINE:
        d.fates |= {message}
        if send.witnesses:
            d.violate("offline, but a session was reachable throughout")


def begin(d: Draft, rules: Rules, message: int) -> None:
    """A send begins: note who is reachable now."""
    if d.sends[message].witnesses is not None:
        return
    user = rules.messages[message].user
    present = [
        client.session
        for client, person in zip(d.clients, rules.people, strict=True)
        if person[0] == user and client.reachable and client.session is not None
    ]
    d.send(message, witnesses=frozenset(present))


def forsake(d: Draft, sessions: set[int]) -> None:
    """These sessions cannot be counted on any more: `offline` may be said from now on."""
    for number, client in enumerate(d.clients):
        if client.session in sessions and client.reachable:
            d.client(number, reachable=False)
    for number, send in enumerate(d.sends):
        if send.witnesses and not send.witnesses.isdisjoint(sessions):
            d.send(number, witnesses=send.witnesses - sessions)


def reachable(d: Draft, session: Session) -> None:
    """A session is welcomed and registered under its endpoint: from now on it must be found."""
    client = d.clients[session.client]
    if session.linked and client.session == session.id:
        d.client(session.client, reachable=True)
