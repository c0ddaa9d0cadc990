"""Steps of one Router that sends all messages in order (router/transport/routed.py, outbox.py)."""

from collections.abc import Iterator

from tests.model import ledger, store
from tests.model.draft import Draft
from tests.model.rules import Rules
from tests.model.sending import copy_of, plan, pushed
from tests.model.state import Router, State, Step

Steps = Iterator[tuple[Step, Draft]]


def publish(rules: Rules, state: State) -> Steps:
    """`RoutedTransport.publish`: one message, to all its users."""
    router = state.router
    if router is None or router.next == len(rules.messages):
        return
    first = rules.messages[router.next]
    parcel = [number for number, other in enumerate(rules.messages) if other.id == first.id]
    d = Draft(state)
    d.router = router._replace(next=parcel[-1] + 1)
    for number in parcel:
        ledger.begin(d, rules, number)
    known = {number: _known(rules, router, number) for number in parcel}
    if None not in known.values():
        for number in parcel:
            plan(d, rules, number, known[number] or ())
    elif router.asking and "behind_shares_answer" in rules.broken:
        d.router = d.router._replace(asking=router.asking + tuple(parcel))
    else:
        d.router = d.router._replace(behind=router.behind + tuple(parcel))
        _ask(d)
    yield ("publish", *parcel), d


def _known(rules: Rules, router: Router, number: int) -> tuple[str, ...] | None:
    """`RoutedTransport._known`: who waits for a look-up is not taken from the cache."""
    user = rules.messages[number].user
    waiting = {rules.messages[other].user for other in router.asking + router.behind}
    if user in waiting and "cache_overtakes" not in rules.broken:
        return None
    return dict(router.cache).get(user)


def _ask(d: Draft) -> None:
    """One look-up at a time; the next one fills meanwhile."""
    assert d.router is not None
    if not d.router.asking and d.router.behind:
        d.router = d.router._replace(asking=d.router.behind, behind=(), answer=None)


def look_up(rules: Rules, state: State) -> Steps:
    """HKEYS of everybody who is asked for, in one pipeline."""
    router = state.router
    if router is None or not router.asking or router.answer is not None:
        return
    d = Draft(state)
    users = sorted({rules.messages[number].user for number in router.asking})
    answer = tuple((user, store.look_up(d, rules, user)) for user in users)
    d.router = router._replace(answer=answer)
    yield ("look up for the group", *users), d


def answered(rules: Rules, state: State) -> Steps:
    """`RoutedTransport._answered`: absence is never cached, nor believed by who came later."""
    router = state.router
    if router is None or router.answer is None:
        return
    d = Draft(state)
    found = dict(router.answer)
    cache = {**dict(router.cache), **{user: routes for user, routes in router.answer if routes}}
    ready = [(number, found.get(rules.messages[number].user, ())) for number in router.asking]
    behind = []
    for number in router.behind:
        user = rules.messages[number].user
        if cache.get(user):
            ready.append((number, cache[user]))
        else:
            behind.append(number)
    d.router = router._replace(
        asking=(), behind=tuple(behind), answer=None, cache=tuple(sorted(cache.items()))
    )
    ready.sort(reverse="freed_unsorted" in rules.broken)
    for number, endpoints in ready:
        plan(d, rules, number, endpoints)
    _ask(d)
    yield ("look-up answered",), d


def invalidate(rules: Rules, state: State) -> Steps:
    """The store tells that a user's routes have changed (CLIENT TRACKING)."""
    router = state.router
    if router is None:
        return
    d = Draft(state)
    kept = tuple(entry for entry in router.cache if store.look_up(d, rules, entry[0]) == entry[1])
    if kept != router.cache:
        d.router = router._replace(cache=kept)
        yield ("invalidate",), d


def flush(rules: Rules, state: State) -> Steps:
    """`Outbox._flush`: one push per endpoint, bounded; what is left goes first the next time."""
    router = state.router
    if router is None or router.flight or not (router.queue or router.rest):
        return
    d = Draft(state)
    taken: list[tuple[str, int]] = []
    rest: list[tuple[str, int]] = []
    for endpoint, number in router.queue:
        already = sum(1 for other, _ in taken if other == endpoint)
        full = already >= rules.configuration.grouped
        (rest if full else taken).append((endpoint, number))
    if "leftover_last" in rules.broken:
        d.router = router._replace(flight=tuple(taken), queue=router.rest, rest=tuple(rest))
    else:
        d.router = router._replace(flight=tuple(taken), queue=tuple(rest))
    yield ("flush",), d


def push(rules: Rules, state: State) -> Steps:
    """push.lua with all copies of one endpoint; the next flush waits for every reply."""
    router = state.router
    if router is None or not router.flight:
        return
    d = Draft(state)
    endpoint = router.flight[0][0]
    numbers = [number for other, number in router.flight if other == endpoint]
    reply = store.push(d, rules, endpoint, tuple(copy_of(d, number) for number in numbers))
    left = tuple(entry for entry in router.flight if entry[0] != endpoint)
    d.router = router._replace(flight=left)
    for number in numbers:
        pushed(d, rules, number, endpoint, reply)
    yield ("push together", endpoint, *numbers), d
