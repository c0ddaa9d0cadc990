"""All steps of the model together, the state it begins with, and the order that ends it."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.model import (
    draining,
    faults,
    grouping,
    living,
    reading,
    rescuing,
    sending,
)
from tests.model.draft import Draft
from tests.model.rules import Configuration, Rules
from tests.model.state import (
    LIVE,
    Client,
    Endpoint,
    Node,
    Route,
    Router,
    Send,
    Session,
    State,
    Step,
)

Rule = Callable[[Rules, State], Iterator[tuple[Step, Draft]]]

# In this order they bring the model to rest once no more faults happen: first who is there and
# where, then what is under way. While everything is still possible the order means nothing.
RULES: Final[tuple[Rule, ...]] = (
    faults.resume,
    faults.lease_ends,
    faults.token_ends,
    faults.heartbeat,
    living.close,
    draining.send_away,
    living.goodbye,
    living.connect,
    living.index,
    living.register,
    living.resume,
    living.welcome,
    rescuing.unlist,
    rescuing.bury,
    rescuing.routes,
    rescuing.salvage,
    rescuing.forward,
    rescuing.read,
    rescuing.ask,
    rescuing.fence,
    living.replay,
    reading.ask,
    reading.read,
    reading.peek,
    reading.forward,
    reading.trim,
    sending.from_cache,
    sending.look_up,
    sending.push,
    sending.detour,
    grouping.invalidate,
    grouping.publish,
    grouping.look_up,
    grouping.answered,
    grouping.flush,
    grouping.push,
    living.sweep,
    living.renew,
    living.pong,
    living.acknowledge,
    sending.receipt,
    draining.close,
    draining.leave,
    sending.time_is_up,
    faults.routes_end,
)
FAULTS: Final[tuple[Rule, ...]] = (
    faults.kill,
    faults.pause,
    faults.run_late,
    faults.snapshot,
    faults.roll_back,
    living.leave,
    reading.reconnect,
    draining.drain,
    draining.hand_over,
)


def successors(rules: Rules, state: State) -> Iterator[tuple[Step, State]]:
    """Return every state that one step leads to, with the step."""
    if state.bad:
        return
    for rule in RULES + FAULTS:
        for step, draft in rule(rules, state):
            draft.tidy()
            after = draft.freeze()
            if after != state:
                yield step, after


def next_to_rest(rules: Rules, state: State) -> tuple[Step, State] | None:
    """Return the first step that is due, and what it leads to; None at rest.

    `rules` must be closing.
    """
    if state.bad:
        return None
    for rule in RULES:
        for step, draft in rule(rules, state):
            draft.tidy()
            after = draft.freeze()
            if after != state:
                return step, after
    return None


def beginning(rules: Rules) -> State:
    """Return the first state: each device is live on a node, the next one on the next node."""
    c = rules.configuration
    endpoints = {name: Endpoint(f"{name}0") for name in c.nodes}
    nodes = {name: Node(name, f"{name}0") for name in c.nodes}
    routes: set[Route] = set()
    clients: list[Client] = []
    for number, (user, device) in enumerate(rules.people):
        if user in c.absent.split() or f"{user}{device}" in c.absent.split():
            clients.append(Client())
            continue
        name = c.nodes[len(routes) % len(c.nodes)]
        session = Session(len(routes), number, user, phase=LIVE, welcomed=True)
        routes.add((user, f"{name}0", session.id))
        nodes[name] = nodes[name]._replace(sessions=(*nodes[name].sessions, session))
        listed = endpoints[name].users | {user}
        endpoints[name] = endpoints[name]._replace(users=listed)
        clients.append(Client(session.id, name, reachable=True))
    rules.initial_cache.update(
        {user: tuple(sorted({r[1] for r in routes if r[0] == user})) for user in c.cached}
    )
    return State(
        endpoints=tuple(endpoints.values()),
        nodes=tuple(nodes.values()),
        sends=tuple(Send(cached=m.user in c.cached) for m in rules.messages),
        clients=tuple(clients),
        routes=frozenset(routes),
        budget=c.budget,
        cursors=(-1,) * len(clients),
        router=Router(cache=tuple(sorted(rules.initial_cache.items()))) if c.grouped else None,
        owners=tuple(number for number, client in enumerate(clients) if client.node),
    )


def rules_of(
    configuration: Configuration, broken: frozenset[str] = frozenset()
) -> tuple[Rules, Rules]:
    """Return the rules while everything is possible, and those on the way to rest."""
    rules = Rules(configuration, broken)
    closing = Rules(configuration, broken, closing=True)
    closing.initial_cache = rules.initial_cache
    return rules, closing
