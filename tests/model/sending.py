"""Steps of senders, each message on its own (router/transport/routed.py)."""

from collections.abc import Iterator

from tests.model import ledger, store
from tests.model.draft import Draft
from tests.model.rules import MAX_DETOURS, Rules
from tests.model.state import ABSENT, PUSHING, START, WAITING, Copy, State, Step

Steps = Iterator[tuple[Step, Draft]]


def plan(d: Draft, rules: Rules, message: int, endpoints: tuple[str, ...]) -> None:
    """Push to these endpoints next (`Delivery.planned`); with none, decide."""
    send = d.sends[message]
    d.send(
        message,
        phase=PUSHING if endpoints or send.targets or send.refused else WAITING,
        targets=send.targets + endpoints,
        planned=send.planned | set(endpoints),
        open_copies=send.open_copies + len(endpoints),
    )
    if d.router is not None:
        waiting = tuple((endpoint, message) for endpoint in endpoints)
        d.router = d.router._replace(queue=d.router.queue + waiting)
    ledger.verdict(d, rules, message)


def copy_of(d: Draft, message: int) -> Copy:
    """Return the envelope of a message."""
    send = d.sends[message]
    return Copy(message, send.offset, send.prev, 0)


def from_cache(rules: Rules, state: State) -> Steps:
    """`RoutedTransport.publish`, the user's routes being cached, rightly or not."""
    if state.router is not None:
        return
    for number, send in enumerate(state.sends):
        if send.phase == START and send.cached and not rules.messages[number].durable:
            d = Draft(state)
            ledger.begin(d, rules, number)
            d.send(number, cached=False)
            plan(d, rules, number, rules.initial_cache[rules.messages[number].user])
            yield ("publish from the cache", number), d


def look_up(rules: Rules, state: State) -> Steps:
    """`RoutedTransport._ask`: HKEYS past the cache; for a durable message lookup.lua."""
    for number, send in enumerate(state.sends):
        if send.phase not in (START, ABSENT) or state.router is not None:
            continue
        if rules.messages[number].durable:
            yield from _look_up_durable(rules, state, number)
        elif not (rules.closing and send.cached):
            d = Draft(state)
            ledger.begin(d, rules, number)
            d.send(number, cached=False)
            plan(d, rules, number, store.look_up(d, rules, rules.messages[number].user))
            yield ("look up", number), d


def _look_up_durable(rules: Rules, state: State, number: int) -> Steps:
    user = rules.messages[number].user
    two_steps = "lookup_two_steps" in rules.broken
    d = Draft(state)
    ledger.begin(d, rules, number)
    if two_steps and state.sends[number].phase == START:
        found = store.look_up(d, rules, user)
        if not found:
            d.send(number, phase=ABSENT)
            yield ("look up only", number), d
            return
    offset, prev, endpoints = store.look_up_durable(d, rules, number, user)
    d.send(number, offset=offset, prev=prev)
    plan(d, rules, number, () if state.sends[number].phase == ABSENT else endpoints)
    yield ("store and look up", number), d
    lost = rules.spend(state, "lose")
    if lost is not None and number not in state.log:
        ledger.begin(lost, rules, number)
        store.look_up_durable(lost, rules, number, user)
        yield ("store and look up, reply lost", number), lost


def push(rules: Rules, state: State) -> Steps:
    """`Outbox._flush` to one endpoint, and `RoutedTransport._pushed`."""
    for number, send in enumerate(state.sends):
        if send.phase != PUSHING or not send.targets or state.router is not None:
            continue
        endpoint = send.targets[0]
        d = Draft(state)
        pushed(d, rules, number, endpoint, store.push(d, rules, endpoint, (copy_of(d, number),)))
        yield ("push", number, endpoint), d
        yield from _push_lost(rules, state, number, endpoint)


def _push_lost(rules: Rules, state: State, number: int, endpoint: str) -> Steps:
    """No reply: it may have run. It is repeated (`_again_later`), or the sender's time is up."""
    for gives_up in (False, True):
        d = rules.spend(state, "lose")
        if d is None:
            return
        d.run_later("push", endpoint, (copy_of(d, number),))
        d.send(number, sure=False)
        if gives_up:
            d.send(number, phase=WAITING, targets=(), refused=(), word=ledger.UNKNOWN)
        yield ("push, reply lost" + ", gives up" * gives_up, number, endpoint), d


def pushed(d: Draft, rules: Rules, number: int, endpoint: str, reply: int) -> None:
    """`RoutedTransport._pushed`: in the inbox, or not open."""
    send = d.sends[number]
    targets = tuple(target for target in send.targets if target != endpoint)
    refused = send.refused
    if reply < 0:
        if "offline_from_cache" in rules.broken:
            d.send(number, open_copies=send.open_copies - 1, heard=send.heard or ledger.OFFLINE)
        else:
            refused += (endpoint,)
    phase = PUSHING if targets or refused else WAITING
    d.send(number, targets=targets, refused=refused, phase=phase, pushed=send.pushed or reply > 0)
    ledger.verdict(d, rules, number)


def detour(rules: Rules, state: State) -> Steps:
    """`RoutedTransport._detour`: remove the routes of a closed endpoint, look up past the cache."""
    for number, send in enumerate(state.sends):
        if not send.refused:
            continue
        endpoint = send.refused[0]
        d = Draft(state)
        endpoints = store.forget(d, rules, rules.messages[number].user, endpoint, ())
        if len(send.planned) > MAX_DETOURS:
            d.violate("more detours than there can be moves")
        fresh = tuple(each for each in endpoints if each not in send.planned)
        d.send(
            number,
            refused=send.refused[1:],
            open_copies=send.open_copies - 1,
            heard=send.heard or ledger.OFFLINE,
        )
        plan(d, rules, number, fresh)
        yield ("detour", number, endpoint), d


def receipt(rules: Rules, state: State) -> Steps:
    """A receipt reaches its sender, or is lost on the way: nobody asks for a reply (ADR 5)."""
    seen = set()
    for place, (node, message, word) in enumerate(state.receipts):
        if node in seen:
            continue
        seen.add(node)
        for lost in (False, True):
            d = rules.spend(state, "receipt") if lost else Draft(state)
            if d is None:
                continue
            d.receipts = state.receipts[:place] + state.receipts[place + 1 :]
            if not lost:
                ledger.hear(d, rules, message, word)
            yield ("receipt lost" if lost else "receipt", node, message, word), d


def time_is_up(rules: Rules, state: State) -> Steps:
    """`router/sending.py`: nobody has answered in time; the word is `unknown`."""
    if not rules.configuration.slow_receipts:
        return
    for number, send in enumerate(state.sends):
        if send.phase == WAITING and not send.word and not state.receipts:
            d = Draft(state)
            word = ledger.UNKNOWN
            if "silence_is_offline" in rules.broken:
                word = ledger.OFFLINE
            d.send(number, word=word)
            yield ("time is up", number), d
