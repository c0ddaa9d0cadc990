"""Steps of rescuers (router/rescue.py, router/store/remains.py); a rescuer's token is its name."""

from collections.abc import Iterator

from tests.model import ledger, store
from tests.model.draft import Draft
from tests.model.forwarding import Batch, send_on, settled
from tests.model.reading import RUNNING, answer_negatives
from tests.model.rules import Rules
from tests.model.state import (
    ASK,
    BURY,
    GONE,
    RANGE,
    ROUTES,
    SEND_ON,
    STOPPED,
    TRIM,
    UNLIST,
    Item,
    Node,
    Rescue,
    State,
    Step,
)

Steps = Iterator[tuple[Step, Draft]]


def _at(state: State, *where: str) -> Iterator[tuple[Node, Rescue]]:
    for node in state.nodes:
        if node.rescue is not None and node.rescue.at in where and node.state in RUNNING:
            yield node, node.rescue


def fence(rules: Rules, state: State) -> Steps:
    """fence.lua: of an endpoint without a lease, or go on where another rescuer stopped."""
    for node in state.nodes:
        if node.rescue is not None or node.state not in RUNNING:
            continue
        for endpoint in state.endpoints:
            dead = endpoint.listed and not (endpoint.open and endpoint.lease)
            own = endpoint.name == node.endpoint and node.at != STOPPED
            if own or not dead:
                continue
            d = Draft(state)
            if store.fence(d, rules, endpoint.name, node.name) == 1:
                routes = [route[2] for route in d.routes if route[1] == endpoint.name]
                if endpoint.open:
                    ledger.forsake(d, set(routes))
                d.node(node.name, rescue=Rescue(endpoint.name))
                yield ("fence", node.name, endpoint.name), d


def ask(rules: Rules, state: State) -> Steps:
    """`Remains.read`, first half: GET done."""
    for node, rescue in _at(state, ASK):
        d = Draft(state)
        position = d.endpoints[rescue.endpoint].done
        asked = rescue._replace(at=RANGE, position=position)
        # The range travels along. Only another rescuer's salvage can come between the two.
        budget = rules.configuration.budget
        if not budget.token and not budget.lose:
            asked = _read(d, asked)
        d.node(node.name, rescue=asked)
        yield ("rescuer reads the position", node.name), d


def read(rules: Rules, state: State) -> Steps:
    """`Remains.read`, second half: LRANGE of what was rescued."""
    for node, rescue in _at(state, RANGE):
        d = Draft(state)
        d.node(node.name, rescue=_read(d, rescue))
        yield ("rescuer reads", node.name), d


def _read(d: Draft, rescue: Rescue) -> Rescue:
    found = d.endpoints[rescue.endpoint]
    batch = tuple(Item(copy, False, GONE, rescue.endpoint) for copy in found.rescued)
    if batch:
        return rescue._replace(at=SEND_ON, batch=batch)
    return rescue._replace(at=ROUTES if found.users else BURY)  # a closed endpoint lists nobody new


def forward(rules: Rules, state: State) -> Steps:
    """`Rescuer._send_on`."""
    for node, rescue in _at(state, SEND_ON):
        for step, d, batch in send_on(rules, state, node, rescue.batch, rescue=True):
            d.node(node.name, rescue=None if batch is None else _with(rescue, batch))
            yield step, d


def _with(rescue: Rescue, batch: Batch) -> Rescue:
    return rescue._replace(at=TRIM if settled(batch) else SEND_ON, batch=batch)


def salvage(rules: Rules, state: State) -> Steps:
    """salvage.lua: refused, the rescue is somebody else's; else bad news may leave."""
    for node, rescue in _at(state, TRIM):
        d = Draft(state)
        arguments = (rescue.endpoint, node.name, rescue.position, len(rescue.batch))
        if store.salvage(d, rules, *arguments):
            answer_negatives(d, rules, node.name, rescue.batch)
            d.node(node.name, rescue=Rescue(rescue.endpoint))
        else:
            d.node(node.name, rescue=None)
        yield ("salvage", *arguments), d
        lost = rules.spend(state, "lose")
        if lost is not None:
            lost.run_later("salvage", *arguments)
            lost.node(node.name, rescue=None)
            yield ("salvage, reply lost", *arguments), lost


def routes(rules: Rules, state: State) -> Steps:
    """`Remains.remove_routes`: forget.lua for each user listed, and the ZREM; keep the token."""
    for node, rescue in _at(state, ROUTES):
        d = Draft(state)
        for user in sorted(d.endpoints[rescue.endpoint].users):
            store.forget(d, rules, user, rescue.endpoint, ())
            store.unlist_user(d, rules, rescue.endpoint, user)
        d.node(node.name, rescue=rescue._replace(at=BURY))
        yield ("rescuer removes routes", node.name, rescue.endpoint), d


def bury(rules: Rules, state: State) -> Steps:
    """bury.lua: refused when the rescue is not ours any more, or something waits."""
    for node, rescue in _at(state, BURY):
        d = Draft(state)
        done = store.bury(d, rules, rescue.endpoint, node.name)
        if done and not rules.configuration.budget.kill:
            store.unlist(d, rules, rescue.endpoint)  # a step of its own only where one can die
            done = 0
        d.node(node.name, rescue=rescue._replace(at=UNLIST) if done else None)
        yield ("bury", rescue.endpoint, node.name), d


def unlist(rules: Rules, state: State) -> Steps:
    """`Remains.bury`, last step: SREM from the list."""
    for node, rescue in _at(state, UNLIST):
        d = Draft(state)
        store.unlist(d, rules, rescue.endpoint)
        d.node(node.name, rescue=None)
        yield ("unlist", node.name, rescue.endpoint), d
