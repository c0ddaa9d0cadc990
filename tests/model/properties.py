"""What must be true of every state, and what must be true at rest (docs/protocol.md, section 8)."""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.state import RANGE, UP, State


def broken_always(rules: Rules, state: State) -> str:
    """Return which promise is broken in a state; "" for none."""
    if state.bad:
        return state.bad
    kept = {message for _, message in state.mail}
    for number, message in enumerate(rules.messages):
        send = state.sends[number]
        if send.word == "offline" and number not in state.excused:
            if any(found == number for found, _ in state.got):
                return f"{message.id}: offline, but the client has it"
        if message.durable and number in state.log and number not in state.excused:
            lacking = next(_lacking(rules, state, number), None)
            if lacking is not None and number not in kept:
                return f"durable {message.id} is neither with {_name(rules, lacking)} nor stored"
    return ""


def _lacking(rules: Rules, state: State, number: int) -> Iterator[int]:
    """Yield the devices that are promised a durable message and have not got it."""
    offset = state.log.index(number) + 1
    for number_of_client, (client, person) in enumerate(
        zip(state.clients, rules.people, strict=True)
    ):
        known = state.cursors[number_of_client] >= 0 or client.promised
        if not known or person[0] != rules.messages[number].user or offset <= client.base:
            continue
        if (number, number_of_client) not in state.got:
            yield number_of_client


def _name(rules: Rules, client: int) -> str:
    user, device = rules.people[client]
    return f"{user}'s device {device}"


def broken_at_rest(rules: Rules, state: State) -> str:
    """Return which promise is broken when nothing can happen any more; "" for none."""
    if not any(node.state == UP for node in state.nodes):
        return broken_always(rules, state)  # nobody is left to do anything
    return (
        broken_always(rules, state)
        or _left_behind(state)
        or _wrong_routes(rules, state)
        or _lost(rules, state)
    )


def _left_behind(state: State) -> str:
    for endpoint in state.endpoints:
        if endpoint.inbox or endpoint.rescued or (not endpoint.open and endpoint.listed):
            return f"stuck: {endpoint.name} with {len(endpoint.inbox + endpoint.rescued)} copies"
        if not endpoint.listed and (endpoint.users or endpoint.done or endpoint.rescuer):
            return f"left behind for ever: keys of {endpoint.name}"
    if any(node.at == RANGE for node in state.nodes):
        return "stuck: a reader"
    return ""


def _wrong_routes(rules: Rules, state: State) -> str:
    live = {
        (session.user, node.endpoint, session.id)
        for node in state.nodes
        for session in node.sessions
    }
    for client in state.clients:
        if client.session is not None and not any(
            route[2] == client.session and route in live for route in state.routes
        ):
            return f"connected but not in the registry: session {client.session}"
    if state.routes - live and not state.ghosts:
        return f"a route of no session: {min(state.routes - live)}"
    return ""


def _lost(rules: Rules, state: State) -> str:
    for number, message in enumerate(rules.messages):
        send = state.sends[number]
        if number in state.excused:
            continue
        if message.durable and number in state.log:
            for client in _lacking(rules, state, number):
                if state.clients[client].session is not None:
                    return f"durable {message.id} never reaches {_name(rules, client)}"
        elif not message.durable and send.pushed and number not in state.fates:
            return f"{message.id} lost: neither written nor answered"
    return ""
