"""Steps of a planned leave (node/node.py: stop; `Leases.close`)."""

from collections.abc import Iterator

from tests.model import store
from tests.model.draft import Draft
from tests.model.faults import bury_process
from tests.model.living import end, part
from tests.model.rules import Rules
from tests.model.state import DRAINING, PEEK, STOPPED, UP, Node, State, Step

Steps = Iterator[tuple[Step, Draft]]


def drain(rules: Rules, state: State) -> Steps:
    """SIGTERM: no new sessions from now on."""
    for node in state.nodes:
        d = rules.spend(state, "drain") if node.state == UP else None
        if d is not None:
            d.node(node.name, state=DRAINING)
            yield ("drain", node.name), d


def send_away(rules: Rules, state: State) -> Steps:
    """One session after the other is told to go elsewhere, and its route is to be removed."""
    for node in state.nodes:
        if node.state == DRAINING and node.sessions:
            d = Draft(state)
            part(d, node.sessions[0].id)
            end(d, rules, node, 0)
            yield ("goodbye to", node.name, node.sessions[0].id), d


def close(rules: Rules, state: State) -> Steps:
    """close.lua: the inbox is closed if it is empty, else it is read on; then SREM, and the end."""
    for node in state.nodes:
        if not _quiet(node) or node.at != PEEK:
            continue
        d = Draft(state)
        waiting = store.close(d, rules, node.endpoint)
        if waiting > 0 and "close_unchecked" not in rules.broken:
            continue
        if waiting >= 0:
            store.unlist(d, rules, node.endpoint)
        bury_process(d, node)
        yield ("close", node.name), d


def hand_over(rules: Rules, state: State) -> Steps:
    """The inbox does not get empty: stop reading, `Leases.end`, then rescue it oneself."""
    for node in state.nodes:
        if _quiet(node) and node.at != STOPPED and not rules.closing:
            d = Draft(state)
            d.endpoint(node.endpoint, lease=False)
            d.node(node.name, at=STOPPED, batch=())
            yield ("hand over", node.name), d


def leave(rules: Rules, state: State) -> Steps:
    """The own inbox has been rescued, by whomever: the process ends."""
    for node in state.nodes:
        endpoint = next(each for each in state.endpoints if each.name == node.endpoint)
        if _quiet(node) and node.at == STOPPED and not endpoint.open:
            d = Draft(state)
            bury_process(d, node)
            yield ("exit", node.name), d


def _quiet(node: Node) -> bool:
    return (
        node.state == DRAINING and not node.sessions and not node.goodbyes and node.rescue is None
    )
